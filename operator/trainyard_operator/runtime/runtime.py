"""The running operator without its shell: store, queue, workers and resync."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.plan import Kind
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.errors import ApiError, log_level
from trainyard_operator.kube.port import KubePort
from trainyard_operator.runtime import metrics
from trainyard_operator.runtime.admission import AdmissionControl
from trainyard_operator.runtime.clock import Clock, utc_now
from trainyard_operator.runtime.controller import Parts
from trainyard_operator.runtime.directory import Directory
from trainyard_operator.runtime.queue import WorkQueue
from trainyard_operator.runtime.reconciler import Outcome, Reconciler
from trainyard_operator.runtime.registry import ENTRIES, KINDS, SHARES
from trainyard_operator.runtime.reports import Reports
from trainyard_operator.runtime.resync import Listed, Lists, nobody
from trainyard_operator.runtime.retention import Retention
from trainyard_operator.runtime.scope import Everywhere, Scope
from trainyard_operator.runtime.store import Store
from trainyard_operator.runtime.updates import Updates

FIRST_RESYNC_SECONDS = 10
"""Delay before the first resync. No watch reports a deletion between the first list and the start of the watches."""
MOVED_SECONDS = 30.0
MOVED_PER_SECOND = 50
"""The shown queue position of a job may be one second old for each 50 waiting jobs, and 30 seconds at most.

In a long queue that moves fast, nearly all writes would otherwise report positions.
"""
STUCK_SECONDS = 180.0
"""Maximum duration of a reconcile. It makes a few API calls with time-outs of 30 s each."""

RECONCILES = Counter("trainyard_reconcile_total", "Reconciles by result", ["result"])
RECONCILE_SECONDS = Histogram(
    "trainyard_reconcile_seconds", "Duration of a reconcile in seconds", buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60)
)
QUEUE_LENGTH = Gauge("trainyard_queue_length", "Objects that wait for a worker")
ADMITTED = Gauge("trainyard_trainingjobs_admitted", "TrainingJobs that hold a slot of the admission limits")
QUEUED = Gauge("trainyard_trainingjobs_queued", "TrainingJobs that wait for a slot")

log = logging.getLogger(__name__)


class Runtime:
    """Own the store and the workers. A runtime belongs to one event loop.

    A follower calls :meth:`follow`. It observes everything, but decides and writes nothing. After its election it calls
    :meth:`lead`. It cannot become a follower again. A process that loses the leadership creates a new runtime, because
    the decisions that this one has not observed yet are no longer valid.
    """

    def __init__(
        self,
        port: KubePort,
        config: OperatorConfig,
        *,
        ca: str,
        instance: str = "trainyard-operator",
        clock: Clock = utc_now,
        listed: Listed = nobody,
        scope: Scope | None = None,
    ) -> None:
        """Create a runtime.

        ``listed`` is called for each successful list, and ``scope`` defines where this process may decide.
        """
        self._config = config
        self._scope: Scope = scope or Everywhere()
        self._leads = asyncio.Event()
        self._draining = False
        self._drained = asyncio.Event()
        self._queue = WorkQueue(SHARES)
        self._admission = AdmissionControl(
            KINDS, config.admission, wake=self._add, moved=self._add_later, covers=self._scope.covers
        )
        ADMITTED.set_function(lambda: self._admission.holding)
        QUEUED.set_function(lambda: self._admission.waiting)
        self._store = Store(KINDS, self._admission.changed, wake=self._add)
        self._tasks: list[asyncio.Task[None]] = []
        self._listed = listed
        self._lists = Lists(port, self._store, config.namespaces, self._note_list, self._wake_all)
        self._answered = 0.0
        self.reports = Reports(wake=self._queue.add)
        self.directory = Directory(self._store)
        parts = Parts(self._store, self._admission, self.reports, config, ca, clock)
        self._controllers = {entry.kind.name: entry.controller(parts) for entry in ENTRIES}
        updates = Updates(self._store, config.serving.max_concurrent_updates, clock=clock, covers=self._scope.covers)
        self._reconciler = Reconciler(
            port,
            self._store,
            self._controllers,
            instance=instance,
            clock=clock,
            may_update=updates.allow,
        )
        self._retention = Retention(port, self._store, config, may=self._may_tidy, instance=instance, clock=clock)

    @property
    def ready(self) -> bool:
        """Whether the store was filled once, so that decisions use the complete state."""
        return bool(self._tasks)

    def observe(self, kind: Kind, event: str | None, body: Mapping[str, Any]) -> None:
        """Process a watch event; ``event`` is ``None`` for an object from a list.

        This method never raises and never waits.
        """
        self._store.apply(kind, body, deleted=event == "DELETED")

    def _add(self, key: Key) -> None:
        if key.kind not in self._controllers or not self._lists.knows(key.namespace):
            return
        if self._leads.is_set() and not self._scope.covers(key.namespace):
            self._scope.want(key.namespace)  # all its objects are woken when it is covered
        else:
            self._queue.add(key, new=key.kind in KINDS.batch and self._store.is_new(key))

    def _add_later(self, key: Key) -> None:
        self._queue.add_after(key, min(MOVED_SECONDS, self._admission.waiting / MOVED_PER_SECOND))

    def _wake_all(self, namespace: str | None) -> None:
        for kind in self._controllers:
            for key in self._store.names(kind, namespace):
                self._add(key)

    @property
    def leads(self) -> bool:
        """Whether this process makes decisions."""
        return self._leads.is_set() and not self._draining

    def namespaces(self) -> set[str]:
        """Return the namespaces that contain custom resources."""
        return {key.namespace for kind in KINDS.planned for key in self._store.names(kind)}

    def scope_changed(self, namespace: str | None) -> None:
        """Process a change of the covered namespaces.

        ``namespace`` is covered from now on or no longer; ``None`` means all of them.
        """
        for kind in KINDS.batch:
            for key in self._store.names(kind, namespace):
                self._admission.changed(kind, key)
        self._wake_all(namespace)

    async def start(self) -> None:
        """Fill the store and start as the only operator.

        Raises
        ------
        ApiError
            If the first lists fail.
        """
        await self.follow()
        metrics.expose(self._store)
        self._leads.set()

    async def follow(self) -> None:
        """Fill the store and keep it up to date.

        Raises
        ------
        ApiError
            If the first lists fail.
        """
        await self._lists.first()
        self._tasks = [asyncio.create_task(self._work(), name=f"worker-{n}") for n in range(self._config.workers)]
        self._tasks.append(asyncio.create_task(self._resync_forever(), name="resync"))
        self._tasks.append(asyncio.create_task(self._retention.run(), name="retention"))

    async def lead(self) -> None:
        """Start to decide and write. Everything is listed first, to observe the writes of the last leader.

        Raises
        ------
        ApiError
            If the lists fail. Nothing is decided then.
        """
        await self._lists.anew()
        metrics.expose(self._store)
        self._leads.set()
        self.scope_changed(None)

    async def drain(self, seconds: float) -> bool:
        """Start no further reconcile and wait for the running ones.

        Return whether all have ended, so that no write is open.
        """
        self._draining = True
        self._drained.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._retention.rest()
                if self._queue.oldest_active is not None:
                    await self._drained.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Stop the workers between two API calls. The next start completes unfinished work."""
        self._draining = True  # a worker that ends from here on is no reason to restart
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        metrics.expose(None)
        self._queue.close()

    def health(self) -> str | None:
        """Return why only a restart helps, ``None`` if no restart is needed.

        A reconcile that waits for an unreachable API server ends with a time-out and is repeated. If the API server has
        responded to a list long after the reconcile began, the reconcile hangs for another reason.
        """
        for task in self._tasks:
            if task.done() and not self._draining:
                return f"task {task.get_name()} has ended"
        oldest = self._queue.oldest_active
        if oldest is not None and self._answered - oldest > STUCK_SECONDS:
            age = asyncio.get_running_loop().time() - oldest
            return f"a reconcile has been running for {age:.0f} s although the API server answers"
        return None

    def _note_list(self, kind: Kind, namespace: str | None) -> None:
        self._answered = asyncio.get_running_loop().time()
        self._listed(kind, namespace)

    async def _work(self) -> None:
        await self._leads.wait()
        while not self._draining:
            key = await self._queue.get()
            QUEUE_LENGTH.set(len(self._queue))
            try:
                if not self._may(key):
                    continue
                with RECONCILE_SECONDS.time():
                    await self._reconcile(key)
            finally:
                self._queue.done(key)
                if self._queue.oldest_active is None:
                    self._drained.set()

    def _may(self, key: Key) -> bool:
        """Return whether an object may be reconciled now. If its namespace is not covered, it is reconciled later."""
        if self._draining:
            return False
        if not self._scope.covers(key.namespace):
            self._scope.want(key.namespace)
            return False
        return True

    def _may_tidy(self, namespace: str) -> bool:
        """Return whether retention may delete objects of a namespace. It must be complete in the store and covered."""
        return self.leads and self._lists.knows(namespace) and self._scope.covers(namespace)

    async def _reconcile(self, key: Key) -> None:
        try:
            outcome: Outcome = await self._reconciler.reconcile(key)
        except ApiError as error:
            RECONCILES.labels("api_error").inc()
            pause = self._queue.failed(key, at_least=error.retry_after or 0.0)
            log.log(log_level(error), "%s: %s; next try in %.1f s", key, error, pause)
        except Exception:  # a bug of one object must not stop the others
            RECONCILES.labels("bug").inc()
            pause = self._queue.failed(key, at_least=5.0)
            log.exception("%s: reconcile failed; next try in %.1f s", key, pause)
        else:
            RECONCILES.labels("ok").inc()
            self._queue.succeeded(key)
            if outcome.again:
                self._queue.add(key)
            elif outcome.after is not None:
                self._queue.add_after(key, outcome.after)
            elif not self._store.knows(key):
                self._queue.forget(key)

    async def _resync_forever(self) -> None:
        pause = float(min(FIRST_RESYNC_SECONDS, self._config.resync_seconds))
        while True:
            await asyncio.sleep(pause)
            pause = self._config.resync_seconds
            await self._lists.refresh()
