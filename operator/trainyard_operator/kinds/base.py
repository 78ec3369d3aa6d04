"""What the engine knows of a kind: where its objects lie, how one is read, found and owned, and what of it is kept."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

from trainyard_api import GROUP, meta
from trainyard_operator.core.batch.workload import Workload
from trainyard_operator.core.plan import Body, Kind
from trainyard_operator.core.saved import Saves, recall
from trainyard_operator.kinds.series import Family, Page, Seen
from trainyard_operator.kube.port import Resource

OURS: Final = f"{meta.MANAGED_BY_LABEL}={meta.MANAGED_BY}"
"""The label selector of what the operator creates."""

Term = tuple[str, ...]
"""What objects are found by."""

MODEL: Final = "model"
"""Begins the terms that find what concerns a model."""

View = TypeVar("View")


class Key(NamedTuple):
    """An object by namespace, name and kind."""

    namespace: str
    name: str
    kind: Kind = "TrainingJob"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class Concern(NamedTuple):
    """Whose decisions hang on an object.

    Attributes
    ----------
    keys
        Those that it names.
    versions
        ModelVersions that it names; some may not be there.
    terms
        What finds the others, by their kind.
    """

    keys: set[Key]
    versions: frozenset[Key] = frozenset()
    terms: tuple[tuple[Kind, Term], ...] = ()


def owner_term(namespace: str, uid: str) -> Term:
    """Return the term that finds what an object controls, in its own namespace: an owner has no children elsewhere."""
    return ("owner", namespace, uid)


def model_term(namespace: str, model: str) -> Term:
    """Return the term that finds what concerns one model."""
    return (MODEL, namespace, model)


def controller_of(body: Mapping[str, Any], *kinds: Kind) -> Mapping[str, Any] | None:
    """Return the reference to the object of these kinds that controls an object, ``None`` if there is none."""
    owners: Iterable[Mapping[str, Any]] = body["metadata"].get("ownerReferences") or ()
    return next((each for each in owners if each.get("controller") and each.get("kind") in kinds), None)


def phase_of(body: Mapping[str, Any]) -> str | None:
    """Return the phase in a status; ``None`` before the first one."""
    phase: str | None = (body.get("status") or {}).get("phase")
    return phase


def _itself(body: Mapping[str, Any], kind: Kind) -> Concern:
    metadata = body["metadata"]
    return Concern({Key(metadata["namespace"], metadata["name"], kind)})


@dataclass(frozen=True, kw_only=True)
class WatchedKind(Generic[View]):
    """A kind that is watched.

    Attributes
    ----------
    name, resource
        How Kubernetes calls it, and where its objects lie.
    selector
        The label selector that picks out what concerns us; empty for all of it.
    read
        Reads an object into what planners see.
    owns
        The kinds of its children, which have no planner of their own. A TrainingJob has one, so it is no child of its
        TrainingSchedule.
    is_named_after
        Of a child: tells by their names whether it can be an owner's. Labels do not tell: people copy them.
    terms
        What finds an object; a child is found by its owner.
    concerns
        Whose decisions hang on an object as it is: its own, and others'; on a child hang its owner's.
    kept
        What of a spec is kept in memory.
    is_at_rest
        Tells whether an object is done with. Nearly all are in the long run, and hardly change any more.
    saves
        What of the status of an object of ours outlives it, as after a restore.
    families, series
        Metrics beside the count by phase, and what adds those of one object to a scrape.
    is_named
        Objects of this kind have series of their own.
    in_place
        A child that changes in place. It is created by an apply, too: a field that a later apply leaves out is taken
        away only from the manager that applied it.
    """

    name: Kind
    resource: Resource
    read: Callable[[Body], View]
    selector: str = ""
    owns: tuple[Kind, ...] = ()
    is_named_after: Callable[[str, str], bool] = lambda _child, _owner: True
    terms: Callable[[Mapping[str, Any]], tuple[Term, ...]] = lambda _: ()
    concerns: Callable[[Mapping[str, Any], Kind], Concern] = _itself
    kept: Callable[[Body], Body] = lambda spec: spec
    is_at_rest: Callable[[Mapping[str, Any]], bool] = lambda _: False
    saves: Saves[Any] | None = None
    families: tuple[Family, ...] = ()
    series: Callable[[Page, Seen], None] | None = None
    is_named: bool = False
    in_place: bool = False

    def view(self, body: Body) -> View:
        """Return an object as planners see it: one without a status of its own has the saved one."""
        view: Any = self.read(body)
        found: View = view if self.saves is None else recall(self.saves, view)
        return found


@dataclass(frozen=True, kw_only=True)
class BatchWatchedKind(WatchedKind[View]):
    """A kind that runs to an end: it asks for admission, and has attempts.

    Attributes
    ----------
    workload
        What its attempts run as. Its kinds are the kinds of the object's children.
    """

    workload: Workload


class Kinds(Mapping[Kind, WatchedKind[Any]]):
    """All kinds that are watched, by name; answers what hangs on more than one of them."""

    def __init__(self, *kinds: WatchedKind[Any]) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        owners: dict[Kind, tuple[Kind, ...]] = {}
        for kind in kinds:
            for child in kind.owns:
                owners[child] = (*owners.get(child, ()), kind.name)
        self._owners = owners
        self._batch = {kind.name: kind for kind in kinds if isinstance(kind, BatchWatchedKind)}

    def __getitem__(self, name: Kind) -> WatchedKind[Any]:
        return self._kinds[name]

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    @property
    def planned(self) -> tuple[Kind, ...]:
        """Our own kinds: each has a planner and turns of its own. The others are their children."""
        return tuple(name for name, kind in self._kinds.items() if kind.resource.group == GROUP)

    @property
    def batch(self) -> Mapping[Kind, BatchWatchedKind[Any]]:
        """Those of our own kinds that run to an end."""
        return self._batch

    def owner(self, kind: Kind, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the reference to the object of ours that controls a child."""
        return controller_of(body, *self._owners.get(kind, ()))

    def is_ours(self, kind: Kind, body: Mapping[str, Any]) -> bool:
        """Tell whether an object concerns us: a child is controlled by an object of ours and named after it.

        Labels only say whether a watch of ours would tell of it: a child that has lost them is not seen any more.
        """
        if kind not in self._owners:
            return True
        owner = self.owner(kind, body)
        if owner is None or (body["metadata"].get("labels") or {}).get(meta.MANAGED_BY_LABEL) != meta.MANAGED_BY:
            return False
        return self[kind].is_named_after(body["metadata"]["name"], owner["name"])

    def terms(self, kind: Kind, body: Mapping[str, Any]) -> tuple[Term, ...]:
        """Return the terms that find an object."""
        if kind not in self._owners:
            return self[kind].terms(body)
        owner = self.owner(kind, body)
        return (owner_term(body["metadata"]["namespace"], owner["uid"]),) if owner else ()

    def concerned(self, kind: Kind, body: Mapping[str, Any]) -> Concern:
        """Return whose decisions hang on an object as it is; whoever changes it asks for its state before, too."""
        if kind not in self._owners:
            return self[kind].concerns(body, kind)
        owner = self.owner(kind, body)
        return Concern({Key(body["metadata"]["namespace"], owner["name"], owner["kind"])} if owner else set())
