"""What the controllers of all kinds share that run to completion: admission, and the facts that every one needs."""

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from trainyard_api.batch import BatchStatus
from trainyard_operator.core.admission.decision import ADMITTED
from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.objects import BatchView
from trainyard_operator.core.plan import Create, Kind, Plan
from trainyard_operator.kinds.base import BatchWatchedKind, Key
from trainyard_operator.runtime.controller import Facts, Parts, Step

StateT = TypeVar("StateT", bound=BatchState)
ViewT = TypeVar("ViewT", bound=BatchView[Any])


class BatchController(ABC, Generic[ViewT, StateT]):
    """Plan for one kind. A kind adds its own facts (:meth:`observe`), and its planner."""

    def __init__(self, watched: BatchWatchedKind[ViewT], parts: Parts) -> None:
        self._watched = watched
        self._parts = parts
        self._store = parts.store

    @property
    def kind(self) -> Kind:
        """The kind whose objects it plans for."""
        return self._watched.name

    @abstractmethod
    def observe(self, key: Key, job: ViewT, facts: Facts) -> StateT:
        """Return the state of an object: what all kinds have (:meth:`common`), and the kind's own facts."""

    @abstractmethod
    def plan(self, state: StateT) -> Plan:
        """Return the next step."""

    def step(self, key: Key, facts: Facts) -> Step | None:
        """Observe and plan. An object that is to start gets its slot before any other object is asked."""
        admission = self._parts.admission
        admission.catch_up(self._store, key)
        job = self._store.get(self._watched, key.namespace, key.name)
        if job is None or job.finished:
            self._parts.reports.forget(key)
        if job is None:
            return None
        if facts.refused is not None:
            admission.release(key)
        state = self.observe(key, job, facts)
        try:
            found = self.plan(state)
        except Exception:
            admission.defer(key)
            raise
        if any(isinstance(action, Create) and action.kind in self._watched.owns for action in found.actions):
            admission.reserve(key)
        elif state.admission == ADMITTED and found == Plan(requeue_after=found.requeue_after):
            admission.defer(key)
        return Step(job, found)

    def common(self, key: Key, job: BatchView[BatchStatus], facts: Facts) -> dict[str, Any]:
        """Return the facts that all kinds need, by the names of :class:`BatchState`."""
        parts = self._parts
        workloads = self._store.workloads(self._watched, job.namespace, job.uid)
        attempt = max((workload.attempt for workload in workloads), default=0)
        return {
            "job": job,
            "workloads": workloads,
            "now": parts.clock(),
            "config": parts.config,
            "ca": parts.ca,
            "reported": parts.reports.latest(key, job.uid, attempt),
            "pods": facts.pods,
            "missing": frozenset(facts.missing),
            "warnings": facts.warnings,
            "refused": facts.refused,
            "admission": parts.admission.decision(key),
            "wanted": parts.admission.is_wanted(key),
        }
