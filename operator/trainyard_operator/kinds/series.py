"""How a kind adds its metrics to a scrape: families, one series for each object, counts, and bounded reasons."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from trainyard_operator.core.plan import Kind
from trainyard_operator.core.times import from_rfc3339

MOST_REASONS: Final = 100
"""Maximum number of reasons that have their own label value. The number of reasons from kubelets is not limited."""

OTHER: Final = "Other"

Json = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """A metric: its name, its help text, and its type."""

    name: str
    what: str
    type: Literal["gauge", "counter"] = "gauge"


@dataclass(frozen=True)
class Seen:
    """An object of the store. ``named``: whether it has its own series."""

    namespace: str
    name: str
    phase: str
    status: Json
    named: bool

    @property
    def labels(self) -> str:
        """The labels of the object's own series."""
        return f'namespace="{self.namespace}",name="{self.name}"'


@dataclass
class Page:
    """The series of one scrape: those of single objects, and counts by label values.

    Attributes
    ----------
    spec_of
        Return the kept part of an object's spec, by namespace, name and kind.
    """

    spec_of: Callable[[str, str, Kind], Json]
    series: dict[Family, list[str]] = field(default_factory=lambda: defaultdict(list))
    counts: dict[Family, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    reasons: set[str] = field(default_factory=set)

    def reason(self, status: Json, condition: str) -> str:
        """Return the reason of a condition as the value of a label."""
        return bounded(self.reasons, str(condition_of(status, condition).get("reason") or ""))

    def add(self, family: Family, labels: str, value: float) -> None:
        """Add one series."""
        self.series[family].append(f"{family.name}{{{labels}}} {value!r}\n")

    def text(self, family: Family) -> bytes:
        """Return one metric in Prometheus' text format."""
        for labels, number in self.counts.pop(family, {}).items():
            self.add(family, labels, number)
        head = f"# HELP {family.name} {family.what}\n# TYPE {family.name} {family.type}\n"
        return "".join([head, *self.series.pop(family, ())]).encode()


def family_of(kind: str, name: str, what: str, type_: Literal["gauge", "counter"] = "gauge") -> Family:
    """Return a metric of the objects of one kind."""
    return Family(f"trainyard_{kind.lower()}_{name}", what, type_)


def bounded(known: set[str], reason: str) -> str:
    """Return a reason, or ``Other`` if there are too many. ``known`` contains the earlier reasons."""
    if reason not in known:
        if len(known) >= MOST_REASONS:
            return OTHER
        known.add(reason)
    return reason


def condition_of(status: Json, kind: str) -> Json:
    """Return a condition by its type; empty if it does not exist."""
    return next((each for each in status.get("conditions") or () if each["type"] == kind), {})


def labels_of(**labels: str) -> str:
    """Return labels in Prometheus' text format."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def seconds_of(moment: str | None) -> int | None:
    """Return a time of a status in seconds since 1970. The API server stores whole seconds."""
    return None if moment is None else int(from_rfc3339(moment).timestamp())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
