"""An operator without an event loop: a test moves the reconciler step by step on the in-memory cluster."""

from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from tests.unit.operator.api_server import NAMESPACE, WATCHED
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.samples import CA, CONFIG
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.plan import Kind
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.errors import ApiError
from trainyard_operator.kube.port import Resource
from trainyard_operator.runtime.admission import AdmissionControl
from trainyard_operator.runtime.controller import Parts
from trainyard_operator.runtime.controllers.training_job import TrainingJobController
from trainyard_operator.runtime.reconciler import Outcome, Reconciler
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.runtime.reports import Reports
from trainyard_operator.runtime.resync import resync
from trainyard_operator.runtime.store import Store

T = TypeVar("T")


class Killed(BaseException):
    """The operator process is killed here."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise AssertionError("the in-memory cluster never waits")


class FaultyWrite:
    """A hook that fails the ``at``-th write from now on, before or after the write took effect."""

    def __init__(self, at: int, *, after: bool, error: BaseException) -> None:
        self._left = at
        self._after = after
        self._error = error

    def __call__(self, verb: str, resource: Resource, after: bool) -> None:  # noqa: ARG002
        if not after:
            self._left -= 1
        if self._left == 0 and after == self._after:
            self._left = -1
            raise self._error


class FaultyList:
    """A hook that fails the list requests of one resource, in one namespace or in all."""

    def __init__(self, resource: Resource | None, error: ApiError, namespace: str | None = None) -> None:
        self._resource = resource
        self._error = error
        self._namespace = namespace

    def __call__(self, resource: Resource, namespace: str | None) -> None:
        if self._resource in (None, resource) and self._namespace in (None, namespace):
            raise self._error


class StepOperator:
    """Store, reports and reconciler of one process. Watch events arrive when the test delivers them.

    As in the real operator, an object is reconciled only if an event or a timer made it due.
    """

    def __init__(self, cluster: Cluster, config: OperatorConfig = CONFIG) -> None:
        self.cluster = cluster
        self.config = config
        self.restart()

    def restart(self) -> None:
        """Start with an empty memory and a full list, as a new process does."""
        self.due: dict[Key, datetime] = {}
        self.admission = AdmissionControl(KINDS, self.config.admission, wake=self.wake)
        self.store = Store(KINDS, self.admission.changed, wake=self.wake)
        self.reports = Reports(wake=self.wake)
        parts = Parts(self.store, self.admission, self.reports, self.config, CA, clock=lambda: self.cluster.now)
        jobs = TrainingJobController(parts)
        self.reconciler = Reconciler(
            self.cluster,
            self.store,
            {jobs.kind: jobs},
            instance="test",
            clock=lambda: self.cluster.now,
        )
        self.resync()
        self.read: dict[Kind, int] = dict.fromkeys(WATCHED.values(), len(self.cluster.log))

    def resync(self) -> None:
        """List every resource whose list requests succeed."""
        run(resync(self.cluster, self.store, ()))

    def wake(self, key: Key, seconds: float = 0.0) -> None:
        """Make an object due after some seconds. If the object is due earlier already, the earlier time stays."""
        time = self.cluster.now + timedelta(seconds=seconds)
        self.due[key] = min(self.due.get(key, time), time)

    def deliver(self, kind: Kind, count: int | None = None) -> None:
        """Deliver the next watch events of one kind. There is no order between the watches of two kinds."""
        while self.read[kind] < len(self.cluster.log) and count != 0:
            event_kind, event, body = self.cluster.log[self.read[kind]]
            self.read[kind] += 1
            if event_kind == kind:
                self.store.apply(kind, body, deleted=event == "DELETED")
                count = None if count is None else count - 1

    def lose_events(self) -> None:
        """Drop all pending watch events, as a broken watch does. The next list shows the changes."""
        self.read = dict.fromkeys(WATCHED.values(), len(self.cluster.log))

    def deliver_all(self) -> None:
        for kind in WATCHED.values():
            self.deliver(kind)

    def reconcile(self, name: str) -> Outcome | ApiError:
        """Reconcile once. Returns an error of the API server; a kill restarts the process."""
        return self._reconcile(Key(NAMESPACE, name))

    def _reconcile(self, key: Key) -> Outcome | ApiError:
        try:
            outcome = run(self.reconciler.reconcile(key))
        except ApiError as error:
            self.wake(key)
            return error
        except Killed:
            self.restart()
            return Outcome(again=True)
        if outcome.again or outcome.after is not None:
            self.wake(key, outcome.after or 0.0)
        return outcome

    def settle(self) -> None:
        """Reconcile until no object is due now."""
        for _ in range(200):
            self.deliver_all()
            now = self.cluster.now
            keys = sorted(key for key, time in self.due.items() if key.kind == "TrainingJob" and time <= now)
            if not keys:
                return
            for key in keys:
                self.due.pop(key, None)
                self._reconcile(key)
        raise AssertionError("the operator did not come to rest in 200 rounds")
