"""Description of a watched kind: its resource, how objects are parsed, indexed and owned, and what is kept of them."""

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
"""Label selector of the objects that the operator creates."""

Term = tuple[str, ...]
"""An index term for finding objects."""

MODEL: Final = "model"
"""First part of the terms for objects of a model."""

View = TypeVar("View")


class Key(NamedTuple):
    """Namespace, name and kind of an object."""

    namespace: str
    name: str
    kind: Kind = "TrainingJob"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class Concern(NamedTuple):
    """Custom resources that an object affects.

    Attributes
    ----------
    keys
        Keys that the object names.
    versions
        ModelVersions that the object names. They may not exist.
    terms
        Index terms of the others, by their kind.
    """

    keys: set[Key]
    versions: frozenset[Key] = frozenset()
    terms: tuple[tuple[Kind, Term], ...] = ()


def owner_term(namespace: str, uid: str) -> Term:
    """Return the index term of an object's children. Children are in the namespace of their owner."""
    return ("owner", namespace, uid)


def model_term(namespace: str, model: str) -> Term:
    """Return the index term of a model's objects."""
    return (MODEL, namespace, model)


def controller_of(body: Mapping[str, Any], *kinds: Kind) -> Mapping[str, Any] | None:
    """Return the owner reference to the controller of one of these kinds, ``None`` if there is none."""
    owners: Iterable[Mapping[str, Any]] = body["metadata"].get("ownerReferences") or ()
    return next((each for each in owners if each.get("controller") and each.get("kind") in kinds), None)


def phase_of(body: Mapping[str, Any]) -> str | None:
    """Return the phase in a status, ``None`` before the first one."""
    phase: str | None = (body.get("status") or {}).get("phase")
    return phase


def _itself(body: Mapping[str, Any], kind: Kind) -> Concern:
    metadata = body["metadata"]
    return Concern({Key(metadata["namespace"], metadata["name"], kind)})


@dataclass(frozen=True, kw_only=True)
class WatchedKind(Generic[View]):
    """A watched kind.

    Attributes
    ----------
    name, resource
        Its Kubernetes kind and its REST resource.
    selector
        Label selector of the relevant objects; empty for all of them.
    read
        Parse an object into the view for planners.
    owns
        Kinds of its children, which have no planner of their own. A TrainingJob has one, so it is not a child of its
        TrainingSchedule.
    is_named_after
        For a child: return whether its name matches an owner's name. Labels are no proof, because they can be copied.
    terms
        Index terms of an object. A child is found by its owner.
    concerns
        Custom resources that an object affects: itself and others. A child affects its owner.
    kept
        Return the part of a spec that is kept in memory.
    is_at_rest
        Return whether an object rarely changes any more. In the long run, this applies to nearly all objects.
    saves
        The part of the status that is saved for a restore.
    families, series
        Metrics in addition to the count by phase, and a function that adds the series of one object to a scrape.
    is_named
        Whether objects of this kind have series of their own.
    in_place
        Whether a child is updated in place. Then it is also created by an apply. A later apply removes a field only if
        the same field manager has applied it.
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
        """Return the planners' view of an object. If the object has no status, the view has the saved status."""
        view: Any = self.read(body)
        found: View = view if self.saves is None else recall(self.saves, view)
        return found


@dataclass(frozen=True, kw_only=True)
class BatchWatchedKind(WatchedKind[View]):
    """A kind that runs to completion. It needs admission and has attempts.

    Attributes
    ----------
    workload
        Workload type of its attempts. The kinds of the workload are the kinds of the object's children.
    schedule
        Kind of the schedules that create its objects; empty if there is none.
    """

    workload: Workload
    schedule: Kind = ""


class Kinds(Mapping[Kind, WatchedKind[Any]]):
    """All watched kinds by name, with functions that need several of them."""

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
        """The custom resources. Each has a planner and its own reconciles. The other kinds are their children."""
        return tuple(name for name, kind in self._kinds.items() if kind.resource.group == GROUP)

    @property
    def batch(self) -> Mapping[Kind, BatchWatchedKind[Any]]:
        """The custom resources that run to completion."""
        return self._batch

    def runs(self, schedule: Kind) -> tuple[BatchWatchedKind[Any], ...]:
        """Return the kinds of the objects that a kind of schedule creates."""
        return tuple(kind for kind in self._batch.values() if kind.schedule == schedule)

    def owner(self, kind: Kind, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the owner reference from a child to its custom resource."""
        return controller_of(body, *self._owners.get(kind, ()))

    def is_ours(self, kind: Kind, body: Mapping[str, Any]) -> bool:
        """Return whether an object is relevant.

        A child needs a custom resource as controller and a name that matches it.

        The label only decides whether a watch delivers the object. A child without it is not observed any more.
        """
        if kind not in self._owners:
            return True
        owner = self.owner(kind, body)
        if owner is None or (body["metadata"].get("labels") or {}).get(meta.MANAGED_BY_LABEL) != meta.MANAGED_BY:
            return False
        return self[kind].is_named_after(body["metadata"]["name"], owner["name"])

    def terms(self, kind: Kind, body: Mapping[str, Any]) -> tuple[Term, ...]:
        """Return the index terms of an object."""
        if kind not in self._owners:
            return self[kind].terms(body)
        owner = self.owner(kind, body)
        return (owner_term(body["metadata"]["namespace"], owner["uid"]),) if owner else ()

    def concerned(self, kind: Kind, body: Mapping[str, Any]) -> Concern:
        """Return the custom resources that an object affects.

        After a change, the caller also asks for the previous version.
        """
        if kind not in self._owners:
            return self[kind].concerns(body, kind)
        owner = self.owner(kind, body)
        return Concern({Key(body["metadata"]["namespace"], owner["name"], owner["kind"])} if owner else set())
