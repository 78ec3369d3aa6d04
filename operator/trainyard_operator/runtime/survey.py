"""What the store holds, as metrics: how many objects in which phase, what they wait for, what serves and how old it is.

Counted anew for each scrape, so that it is always true, after a restart too, and what is gone is no series any more.
A scrape of ten thousand objects takes long beside a turn, so it is done in slices: others have their turns in between.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from trainyard_operator.core.naming import version_name
from trainyard_operator.core.plan import Kind
from trainyard_operator.core.times import from_rfc3339
from trainyard_operator.kinds.base import Key
from trainyard_operator.runtime.store import Store

SLICE: Final = 200
"""So many objects are read between two pauses."""

MOST_NAMED: Final = 10_000
"""Of each kind at most so many objects have series of their own; all of them are counted."""

NAMED: Final = frozenset({"TrainingSchedule", "ModelDeployment"})
"""The kinds whose objects have series of their own."""

MOST_REASONS: Final = 100
"""So many reasons have a label of their own. Ours are fewer; the causes that a kubelet tells are not ours to bound."""

OTHER: Final = "Other"

WAITING: Final = frozenset({"Pending", "Queued", "Starting", "Retrying"})

Json = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """A metric: its name, its type, and what it tells."""

    name: str
    what: str
    type: Literal["gauge", "counter"] = "gauge"


def _named(kind: str, name: str, what: str, type_: Literal["gauge", "counter"] = "gauge") -> Family:
    return Family(f"trainyard_{kind.lower()}_{name}", what, type_)


OBJECTS: Final = Family("trainyard_objects", "Objects in the store by kind")
UNNAMED: Final = Family("trainyard_objects_without_series", "Objects that are counted, and have no series of their own")
JOBS_WAITING: Final = Family("trainyard_trainingjobs_waiting", "TrainingJobs that wait to train, by what they wait for")
JOBS_FAILED: Final = Family("trainyard_trainingjobs_failed", "TrainingJobs that have failed and still exist, by reason")

ACCEPTED: Final = _named("TrainingSchedule", "accepted_timestamp_seconds", "When one of its versions was accepted last")
REJECTIONS: Final = _named("TrainingSchedule", "rejections", "Versions that were rejected since the last accepted one")
LAST_SUCCESS: Final = _named("TrainingSchedule", "last_success_timestamp_seconds", "When the last good run ended")
LAST_RUN: Final = _named("TrainingSchedule", "last_run_timestamp_seconds", "The nominal time of the last run")
NEXT_RUN: Final = _named("TrainingSchedule", "next_run_timestamp_seconds", "The nominal time of the next run")
MISSED: Final = _named("TrainingSchedule", "missed_runs_total", "Runs that were due and did not start", "counter")
FAILURES: Final = _named("TrainingSchedule", "consecutive_failures", "Failed runs in a row")

TRAINED: Final = _named("ModelDeployment", "trained_timestamp_seconds", "When the active version was made")
ACTIVE: Final = _named("ModelDeployment", "active_version", "The number of the version that serves")
OBJECTIVE: Final = _named("ModelDeployment", "objective", "What the active version reached in its training")
READY: Final = _named("ModelDeployment", "ready", "1 while a pod of the active version answers, else 0")
CONDITION: Final = _named("ModelDeployment", "condition", "1 for each of its conditions that asks for attention")
ATTENTION: Final = ("Stalled", "RolledBack", "NewerVersionRejected")

FAMILIES: Final = (
    *(OBJECTS, UNNAMED, JOBS_WAITING, JOBS_FAILED),
    *(ACCEPTED, REJECTIONS, LAST_SUCCESS, LAST_RUN, NEXT_RUN, MISSED, FAILURES),
    *(TRAINED, ACTIVE, OBJECTIVE, READY, CONDITION),
)


@dataclass(frozen=True)
class _Seen:
    """An object of the store; ``named`` tells whether it has series of its own."""

    key: Key
    phase: str
    status: Json
    named: bool


@dataclass
class _Page:
    """The series so far: lines of single objects, and counts by label values."""

    store: Store
    series: dict[Family, list[str]] = field(default_factory=lambda: defaultdict(list))
    counts: dict[Family, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    reasons: set[str] = field(default_factory=set)

    def reason(self, status: Json, condition: str) -> str:
        """Return the reason of a condition as the value of a label."""
        return bounded(self.reasons, str(_condition(status, condition).get("reason") or ""))

    def add(self, family: Family, labels: str, value: float) -> None:
        """Add one series."""
        self.series[family].append(f"{family.name}{{{labels}}} {value!r}\n")

    def text(self, family: Family) -> bytes:
        """Return one metric in Prometheus' text format."""
        for labels, number in self.counts.pop(family, {}).items():
            self.add(family, labels, number)
        head = f"# HELP {family.name} {family.what}\n# TYPE {family.name} {family.type}\n"
        return "".join([head, *self.series.pop(family, ())]).encode()


def survey(store: Store) -> Generator[None, None, bytes]:
    """Return the series of a store in Prometheus' text format; pauses after each slice of the work.

    The store may change meanwhile: an object that is gone by then is left out, and one that came is told next time.
    """
    page = _Page(store)
    for kind in store.kinds:
        page.counts[OBJECTS][_labels(kind=kind)] = store.count(kind)
    read = 0
    by_phase = {kind: Family(f"trainyard_{kind.lower()}s", f"{kind}s by phase") for kind in store.kinds.planned}
    for kind, phases in by_phase.items():
        keys, add_series = store.keys(kind), _SERIES.get(kind)
        for number, key in enumerate(keys):
            if store.knows(key):
                status = store.stored_status(key)
                phase = str(status.get("phase") or "Pending")
                page.counts[phases][_labels(namespace=key.namespace, phase=phase)] += 1
                if add_series is not None:
                    add_series(page, _Seen(key, phase, status, number < MOST_NAMED))
            read += 1
            if read % SLICE == 0:
                yield
        if kind in NAMED:
            page.counts[UNNAMED][_labels(kind=kind)] = max(0, len(keys) - MOST_NAMED)
    parts = []
    for family in (*by_phase.values(), *FAMILIES):
        parts.append(page.text(family))
        yield
    return b"".join(parts)


def _training_job(page: _Page, job: _Seen) -> None:
    if job.phase in WAITING:
        reason = page.reason(job.status, "Ready")
        page.counts[JOBS_WAITING][_labels(namespace=job.key.namespace, phase=job.phase, reason=reason)] += 1
    elif job.phase == "Failed":
        reason = page.reason(job.status, "Failed")
        page.counts[JOBS_FAILED][_labels(namespace=job.key.namespace, reason=reason)] += 1


def _training_schedule(page: _Page, schedule: _Seen) -> None:
    if not schedule.named:
        return
    whose = _name_of(schedule.key)
    for family, name in _MOMENTS:
        if (moment := _seconds(schedule.status.get(name))) is not None:
            page.add(family, whose, moment)
    for family, name in _NUMBERS:
        page.add(family, whose, schedule.status.get(name) or 0)


_MOMENTS: Final = (
    (ACCEPTED, "lastAcceptedTime"),
    (LAST_SUCCESS, "lastSuccessfulTime"),
    (LAST_RUN, "lastScheduleTime"),
    (NEXT_RUN, "nextScheduleTime"),
)
_NUMBERS: Final = ((REJECTIONS, "consecutiveRejections"), (MISSED, "missed"), (FAILURES, "consecutiveFailures"))


def _model_deployment(page: _Page, deployment: _Seen) -> None:
    if not deployment.named:
        return
    status, whose = deployment.status, _name_of(deployment.key)
    ready = _condition(status, "Ready").get("status") == "True"
    page.add(READY, whose, int(ready))
    for name in ATTENTION:
        if _condition(status, name).get("status") == "True":
            labels = _labels(condition=name, reason=page.reason(status, name))
            page.add(CONDITION, f"{whose},{labels}", 1)
    active = status.get("activeVersion")
    if active is None:
        return
    page.add(ACTIVE, whose, active)
    if (moment := _seconds(status.get("activeTrainedTime"))) is not None:
        page.add(TRAINED, whose, moment)
    model = str(page.store.stored_spec(deployment.key).get("modelName") or "")
    version = page.store.stored_spec(Key(deployment.key.namespace, version_name(model, active), "ModelVersion"))
    if (value := version.get("objectiveValue")) is not None:
        metric = version.get("objectiveMetric") or (version.get("objective") or {}).get("metric") or ""
        page.add(OBJECTIVE, f"{whose},{_labels(metric=metric)}", float(value))


_SERIES: Final[dict[Kind, Callable[[_Page, _Seen], None]]] = {
    "TrainingJob": _training_job,
    "TrainingSchedule": _training_schedule,
    "ModelDeployment": _model_deployment,
}


def bounded(known: set[str], reason: str) -> str:
    """Return a reason, or ``Other`` once there are too many; ``known`` remembers them."""
    if reason not in known:
        if len(known) >= MOST_REASONS:
            return OTHER
        known.add(reason)
    return reason


def _condition(status: Json, kind: str) -> Json:
    return next((each for each in status.get("conditions") or () if each["type"] == kind), {})


def _name_of(key: Key) -> str:
    return f'namespace="{key.namespace}",name="{key.name}"'


def _labels(**labels: str) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _seconds(moment: str | None) -> int | None:
    """Return a time of a status in seconds since 1970; the API server holds times to whole seconds."""
    return None if moment is None else int(from_rfc3339(moment).timestamp())
