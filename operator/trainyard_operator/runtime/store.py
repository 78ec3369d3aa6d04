"""What is known of the cluster: our objects and their children, never older than what was seen before.

Watch events, lists and the answers to our own writes all come in through :meth:`Store.apply`, and the newest
resourceVersion wins. So a decision never rests on a state from before our own last write.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from trainyard_operator.core.objects import (
    DeploymentView,
    DisruptionBudgetView,
    JobView,
    ModelDeploymentView,
    ModelVersionView,
    ServiceView,
    TrainingJobView,
    TrainingScheduleView,
)
from trainyard_operator.kube import views
from trainyard_operator.kube.port import Body
from trainyard_operator.kube.slim import at_rest, slim
from trainyard_operator.kube.watched import WATCHED, Kind
from trainyard_operator.runtime.keys import Key
from trainyard_operator.runtime.relations import (
    Term,
    concerned,
    is_child,
    model_term,
    orphan_term,
    owner_term,
    terms,
)

Listener = Callable[[Kind, Key], None]
"""Told of each change: its kind, and the object of ours whose decisions it may change."""
Wake = Callable[[Key], None]
"""Told of each object of ours that has to look again."""


VIEWS_AT_REST: Final = 2_000
"""So many views of objects at rest are kept, those used last: a view takes more memory than the object itself."""


def nobody(key: Key) -> None:
    """Wake nobody."""


_READ: Final[dict[Kind, Callable[[Body], Any]]] = {
    "TrainingJob": views.training_job,
    "TrainingSchedule": views.training_schedule,
    "ModelVersion": views.model_version,
    "ModelDeployment": views.model_deployment,
    "Job": views.job,
    "Deployment": views.deployment,
    "Service": views.service,
    "PodDisruptionBudget": views.disruption_budget,
}


class ModelState(NamedTuple):
    """A model that has versions: how many there are, and what tells this state of them and who serves from another."""

    namespace: str
    model: str
    versions: int
    state: int


class Store:
    """The objects, by key. Holds JSON and reads it into views when a decision needs it.

    The deleted are remembered until the next list: the answer to a write can arrive after the news of the deletion.
    Views are read on first use; those of objects at rest are let go when there are many. Whoever changes the store, it
    wakes whom the change concerns: in the same step, so that a change and its wake-up cannot come apart.
    """

    def __init__(self, listener: Listener | None = None, wake: Wake = nobody) -> None:
        self._listener = listener
        self._wake = wake
        self._bodies: dict[Kind, dict[Key, Body]] = {kind: {} for kind in WATCHED}
        self._buried: dict[Kind, dict[Key, int]] = {kind: {} for kind in WATCHED}
        self._found: dict[Kind, dict[Term, dict[Key, None]]] = {kind: {} for kind in WATCHED}
        self._views: dict[Key, Any] = {}
        self._resting: OrderedDict[Key, Any] = OrderedDict()

    # ---- what comes in -----------------------------------------------------------------------------------------------

    def apply(self, kind: Kind, body: Mapping[str, Any], *, deleted: bool = False, turn: Key | None = None) -> set[Key]:
        """Take in a state of an object. Return whose decisions it may change; nobody's if it was old news.

        ``turn`` is the object in whose turn this happens: it goes on by itself and is not woken.
        """
        metadata = body["metadata"]
        key = Key(metadata["namespace"], metadata["name"], kind)
        known = self._bodies[kind].get(key)
        version = int(metadata["resourceVersion"])
        if version <= self._buried[kind].get(key, 0) or (known is not None and not _is_news(version, known, deleted)):
            return set()
        if not is_child(kind, body):
            if known is None:
                return set()
            body, deleted = known, True  # its labels were taken away: no child any more
        if deleted:
            self._buried[kind][key] = version
        keys = self._concerned(kind, body)
        if known is not None:
            keys |= self._concerned(kind, known)
            self._remove(key)
        if not deleted:
            self._insert(key, slim(kind, body))
        return self._told(kind, keys, turn)

    def prune(
        self, kind: Kind, before: Mapping[Key, str], listed: Iterable[Key], namespace: str | None = None
    ) -> set[Key]:
        """Remove what a list no longer had and return whose decisions that may change.

        A watch that breaks can lose a deletion. ``before`` is :meth:`names` of the list's namespace from before it
        began: an object that was known then, has not changed since and is not listed is gone.
        """
        buried = self._buried[kind]
        for key in [key for key in buried if namespace in (None, key.namespace)]:
            del buried[key]  # an answer that was under way at a deletion has long arrived
        keys: set[Key] = set()
        for key in before.keys() - set(listed):
            body = self._bodies[kind].get(key)
            if body is not None and body["metadata"]["resourceVersion"] == before[key]:
                keys |= self._concerned(kind, body)
                self._remove(key)
        return self._told(kind, keys)

    def forget(self, key: Key, *, turn: Key | None = None) -> set[Key]:
        """Remove an object that the API server says is gone; return whose decisions that may change."""
        body = self._bodies[key.kind].get(key)
        if body is None:
            return set()
        self._remove(key)
        return self._told(key.kind, self._concerned(key.kind, body), turn)

    # ---- one object --------------------------------------------------------------------------------------------------

    def training_job(self, key: Key) -> TrainingJobView | None:
        """Return a TrainingJob."""
        view: TrainingJobView | None = self._view(key)
        return view

    def training_schedule(self, key: Key) -> TrainingScheduleView | None:
        """Return a TrainingSchedule."""
        view: TrainingScheduleView | None = self._view(key)
        return view

    def model_version(self, key: Key) -> ModelVersionView | None:
        """Return a ModelVersion."""
        view: ModelVersionView | None = self._view(key)
        return view

    def model_deployment(self, key: Key) -> ModelDeploymentView | None:
        """Return a ModelDeployment."""
        view: ModelDeploymentView | None = self._view(key)
        return view

    def knows(self, key: Key) -> bool:
        """Tell whether there is such an object."""
        return key in self._bodies[key.kind]

    def resource_version(self, key: Key) -> str:
        """Return the resourceVersion of an object as it is known; empty for one that is not."""
        body = self._bodies[key.kind].get(key)
        return str(body["metadata"]["resourceVersion"]) if body is not None else ""

    def stored_status(self, key: Key) -> dict[str, Any]:
        """Return the status as the API server has it, to patch against."""
        body = self._bodies[key.kind].get(key) or {}
        return body.get("status") or {}

    def stored_spec(self, key: Key) -> dict[str, Any]:
        """Return what is kept of the spec; nothing of an object that is not known."""
        body = self._bodies[key.kind].get(key) or {}
        return body.get("spec") or {}

    def is_new(self, key: Key) -> bool:
        """Tell whether the operator has not yet written anything about an object."""
        body = self._bodies[key.kind].get(key)
        return body is not None and "phase" not in (body.get("status") or {})

    # ---- many --------------------------------------------------------------------------------------------------------

    def children(self, namespace: str, uid: str) -> tuple[JobView, ...]:
        """Return the Jobs of a TrainingJob."""
        return self._find("Job", owner_term(namespace, uid))

    def deployments(self, namespace: str, uid: str) -> tuple[DeploymentView, ...]:
        """Return the Deployments of a ModelDeployment."""
        return self._find("Deployment", owner_term(namespace, uid))

    def exchanging(self) -> Iterator[Key]:
        """Iterate over the ModelDeployments with a Deployment that exchanges its pods."""
        for key, body in self._bodies["Deployment"].items():
            if self._view(key).exchanging:
                yield from concerned("Deployment", body).keys

    def services(self, namespace: str, uid: str) -> tuple[ServiceView, ...]:
        """Return the Services of a ModelDeployment."""
        return self._find("Service", owner_term(namespace, uid))

    def disruption_budgets(self, namespace: str, uid: str) -> tuple[DisruptionBudgetView, ...]:
        """Return the PodDisruptionBudgets of a ModelDeployment."""
        return self._find("PodDisruptionBudget", owner_term(namespace, uid))

    def jobs_of_schedule(self, namespace: str, uid: str) -> tuple[TrainingJobView, ...]:
        """Return the TrainingJobs that a TrainingSchedule created."""
        return self._find("TrainingJob", owner_term(namespace, uid))

    def jobs_of_model(self, namespace: str, model: str) -> tuple[TrainingJobView, ...]:
        """Return the TrainingJobs that train a model."""
        return self._find("TrainingJob", model_term(namespace, model))

    def versions_of_model(self, namespace: str, model: str) -> tuple[ModelVersionView, ...]:
        """Return the ModelVersions of a model."""
        return self._find("ModelVersion", model_term(namespace, model))

    def models(self) -> list[ModelState]:
        """Return each model that has versions."""
        return [self._model(term) for term in self._found["ModelVersion"]]

    def expiring_jobs(self) -> list[Key]:
        """Return the TrainingJobs that ask to be deleted some time after their end."""
        bodies = self._bodies["TrainingJob"].items()
        return [key for key, body in bodies if "deleteSecondsAfterFinished" in (body.get("spec") or {})]

    def orphans_of_schedule(self, namespace: str, name: str) -> tuple[TrainingJobView, ...]:
        """Return TrainingJobs that name a schedule and that none owns: they were restored from a backup."""
        return self._find("TrainingJob", orphan_term(namespace, name))

    def deployments_of_model(self, namespace: str, model: str) -> tuple[ModelDeploymentView, ...]:
        """Return the ModelDeployments of a model."""
        return self._find("ModelDeployment", model_term(namespace, model))

    def names(self, kind: Kind, namespace: str | None = None) -> dict[Key, str]:
        """Return every object's resourceVersion, for a comparison with a list of a namespace, ``None`` for all."""
        return {
            key: body["metadata"]["resourceVersion"]
            for key, body in self._bodies[kind].items()
            if namespace in (None, key.namespace)
        }

    def keys(self, kind: Kind) -> list[Key]:
        """Return every object of a kind."""
        return list(self._bodies[kind])

    def count(self, kind: Kind) -> int:
        """Return how many objects of a kind there are."""
        return len(self._bodies[kind])

    def _model(self, term: Term) -> ModelState:
        versions, deployments = self._found["ModelVersion"][term], self._found["ModelDeployment"].get(term, {})
        seen = frozenset((key, self.resource_version(key)) for key in (*versions, *deployments))
        return ModelState(term[1], term[2], len(versions), hash(seen))

    # ---- within ------------------------------------------------------------------------------------------------------

    def _view(self, key: Key) -> Any:
        if (view := self._views.get(key)) is not None:
            return view
        if (view := self._resting.get(key)) is not None:
            self._resting.move_to_end(key)
            return view
        body = self._bodies[key.kind].get(key)
        if body is None:
            return None
        view = _READ[key.kind](body)
        if at_rest(key.kind, body):
            self._resting[key] = view
            if len(self._resting) > VIEWS_AT_REST:
                self._resting.popitem(last=False)
        else:
            self._views[key] = view
        return view

    def _find(self, kind: Kind, term: Term) -> tuple[Any, ...]:
        return tuple(self._view(key) for key in self._found[kind].get(term, ()))

    def _concerned(self, kind: Kind, body: Mapping[str, Any]) -> set[Key]:
        keys, versions, terms = concerned(kind, body)
        keys.update(filter(self.knows, versions), *(self._found[of].get(term, ()) for of, term in terms))
        return keys

    def _told(self, kind: Kind, keys: set[Key], turn: Key | None = None) -> set[Key]:
        if self._listener is not None:
            for key in keys:
                self._listener(kind, key)
        for key in keys - {turn}:
            self._wake(key)
        return keys

    def _insert(self, key: Key, body: Body) -> None:
        self._bodies[key.kind][key] = body
        for term in terms(key.kind, body):
            self._found[key.kind].setdefault(term, {})[key] = None

    def _remove(self, key: Key) -> None:
        body = self._bodies[key.kind].pop(key)
        self._views.pop(key, None)
        self._resting.pop(key, None)
        for term in terms(key.kind, body):
            found = self._found[key.kind][term]
            del found[key]
            if not found:
                del self._found[key.kind][term]


def _is_news(version: int, known: Body, deleted: bool) -> bool:  # noqa: FBT001
    """Compare resourceVersions as numbers, which Kubernetes allows since 1.35 and etcd has always made them.

    They count every write of a resource, so they also tell an object from an earlier one of the same name.
    """
    old = int(known["metadata"]["resourceVersion"])
    return version > old or (deleted and version == old)
