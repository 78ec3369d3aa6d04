"""Delete expired objects, a few at a time, and never what a ModelDeployment uses."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from prometheus_client import Counter

from trainyard_api import meta
from trainyard_operator.core import retention
from trainyard_operator.core.champion import ModelObjects
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.objects import ModelDeploymentView
from trainyard_operator.core.plan import EventNote, Kind
from trainyard_operator.core.retention import LEAST_AGE, Expired
from trainyard_operator.kinds.base import MODEL, BatchWatchedKind, model_term
from trainyard_operator.kinds.model_deployment import MODEL_DEPLOYMENT
from trainyard_operator.kinds.model_version import MODEL_VERSION
from trainyard_operator.kube.errors import ApiError, ConflictError
from trainyard_operator.kube.events import event_body
from trainyard_operator.kube.port import CORE_EVENTS, MODEL_DEPLOYMENTS, KubePort
from trainyard_operator.runtime.clock import Clock
from trainyard_operator.runtime.store import Store

SWEEP_SECONDS: Final = 60.0
MOST_AT_ONCE: Final = 50
"""Maximum number of deletions in one sweep, so that a wrong policy is noticed in time."""

LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)

DELETED: Final = Counter("trainyard_retention_deleted_total", "Objects that retention deleted", ["kind"])

log = logging.getLogger(__name__)


class ModelState(NamedTuple):
    """A model with versions: their number, and a hash of the versions and the deployments."""

    namespace: str
    model: str
    versions: int
    state: int


class Retention:
    """Search the store for expired objects at intervals."""

    def __init__(
        self,
        port: KubePort,
        store: Store,
        config: OperatorConfig,
        *,
        may: Callable[[str], bool],
        instance: str,
        clock: Clock,
    ) -> None:
        """Create the sweeper.

        ``may`` returns whether a namespace is complete in the store and covered by this process.
        """
        self._port = port
        self._store = store
        self._config = config
        self._may = may
        self._deleting = asyncio.Lock()
        self._rests = False
        self._instance = instance
        self._clock = clock
        self._settled: dict[ModelState, datetime] = {}
        """Models without expired versions, with the time of the check.

        Until they change, only time can expire a version.
        """

    async def run(self) -> None:
        """Sweep forever. Errors are logged, and the next sweep tries again."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except ApiError as error:
                log.warning("retention: %s; next try in %.0f s", error, SWEEP_SECONDS)
            except Exception:  # a bug here must not stop the operator
                log.exception("retention: a sweep failed; next try in %.0f s", SWEEP_SECONDS)

    async def sweep(self) -> int:
        """Delete expired objects up to a limit. Return the number of deleted objects.

        Raises
        ------
        ApiError
            If the API server does not respond or refuses a request. The next sweep continues.
        """
        deleted = 0
        async with aclosing(self._expired()) as expired:
            async for kind, found in expired:
                deleted += await self._delete(kind, found)
                if deleted == MOST_AT_ONCE:
                    break
        return deleted

    async def _expired(self) -> AsyncGenerator[tuple[Kind, Expired], None]:
        now = self._clock()
        for kind in self._store.kinds.batch.values():
            for job in self._jobs(kind, now):
                yield kind.name, job
        live: dict[str, list[ModelDeploymentView]] = {}
        models = self._models()
        self._settled = {model: since for model in models if (since := self._settled.get(model)) is not None}
        for model in models:
            if not self._may(model.namespace) or now - self._settled.get(model, LONG_AGO) < LEAST_AGE:
                continue
            await asyncio.sleep(0)  # many models must not delay reconciles
            deployments = self._store.find(MODEL_DEPLOYMENT, model_term(model.namespace, model.model))
            if not self._of_model(model, now, deployments):
                self._settled[model] = now
                continue
            if model.namespace not in live:  # the watch may be late
                bodies = self._port.list(MODEL_DEPLOYMENTS, model.namespace)
                live[model.namespace] = [MODEL_DEPLOYMENT.view(body) async for body in bodies]
            deployments = tuple(each for each in live[model.namespace] if each.spec.get("modelName") == model.model)
            for found in self._of_model(model, now, deployments):
                yield "ModelVersion", found

    def _jobs(self, kind: BatchWatchedKind[Any], now: datetime) -> Iterator[Expired]:
        """Yield the expired objects of a batch kind."""
        for key in self._store.keys(kind.name):
            if "deleteSecondsAfterFinished" not in self._store.stored_spec(key) or not self._may(key.namespace):
                continue
            job = self._store.get(kind, key.namespace, key.name)
            if job is None:
                continue
            schedule = None
            if kind.schedule:
                made_by = job.labels.get(meta.SCHEDULE_LABEL, "")
                schedule = self._store.get(self._store.kinds[kind.schedule], key.namespace, made_by)
            if (found := retention.job(job, schedule, now)) is not None:
                yield found

    def _models(self) -> list[ModelState]:
        """Return each model that has versions."""
        terms = (term for term in self._store.terms(MODEL_VERSION) if term[0] == MODEL)
        return [self._state(namespace, model) for _, namespace, model in terms]

    def _state(self, namespace: str, model: str) -> ModelState:
        term = model_term(namespace, model)
        versions, deployments = self._store.found(MODEL_VERSION, term), self._store.found(MODEL_DEPLOYMENT, term)
        seen = frozenset((key, self._store.resource_version(key)) for key in (*versions, *deployments))
        return ModelState(namespace, model, len(versions), hash(seen))

    def _of_model(
        self, model: ModelState, now: datetime, deployments: tuple[ModelDeploymentView, ...]
    ) -> tuple[Expired, ...]:
        """Return the expired versions of a model, with its deployments from the store or the API server."""
        policy = retention.policy_of(self._config, model.namespace, deployments)
        if policy.keeps_all(model.versions):
            return ()
        versions = self._store.find(MODEL_VERSION, model_term(model.namespace, model.model))
        model_objects = ModelObjects(versions, deployments)
        return retention.versions(model_objects, policy, now)

    async def rest(self) -> None:
        """Wait for the current deletion, and start no other one."""
        async with self._deleting:
            self._rests = True

    async def _delete(self, kind: Kind, found: Expired) -> bool:
        async with self._deleting:
            return not self._rests and await self._delete_now(kind, found)

    async def _delete_now(self, kind: Kind, found: Expired) -> bool:
        view = found.view
        resource = self._store.kinds[kind].resource
        try:
            await self._port.delete(
                resource, view.namespace, view.name, uid=view.uid, resource_version=view.resource_version
            )
        except ConflictError:
            return False  # it has changed and is checked again later
        DELETED.labels(kind).inc()
        fields = {"kind": kind, "namespace": view.namespace, "name": view.name, "phase": "", "reason": "Expired"}
        log.info("%s %s/%s: Expired, deleted: %s", kind, view.namespace, view.name, found.why, extra={"object": fields})
        note = EventNote("Normal", "Expired", f"deleted: {found.why}", "expired")
        body = event_body(kind, view, note, instance=self._instance, now=self._clock())
        try:
            await self._port.create(CORE_EVENTS, view.namespace, body)
        except ApiError as error:  # it only informs
            log.warning("Event of %s %s/%s was not written: %s", kind, view.namespace, view.name, error)
        return True
