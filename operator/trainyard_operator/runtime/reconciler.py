"""One turn: observe, plan, do, until the plan is empty or only time can help."""

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from trainyard_api import meta
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.observed import Fact, Need, Observed, PodView, Refusal, TrainingJobView, VersionView
from trainyard_operator.core.plan import Action, DeleteJob, Plan
from trainyard_operator.core.training_job import plan
from trainyard_operator.kube import views
from trainyard_operator.kube.apply import apply
from trainyard_operator.kube.errors import AlreadyExistsError, ApiError, ConflictError, NotFoundError
from trainyard_operator.kube.events import event_body
from trainyard_operator.kube.patch import merge_patch
from trainyard_operator.kube.port import EVENTS, JOBS, MODEL_VERSIONS, PODS, TRAINING_JOBS, KubePort
from trainyard_operator.runtime.keys import Key
from trainyard_operator.runtime.reports import Reports
from trainyard_operator.runtime.store import Store

DELETED_SECONDS = 5.0
"""How long the watch may take to tell of a deletion before it is asked for again."""

MAX_STEPS = 10
"""A plan that is not at its fixed point after so many steps would never be."""

log = logging.getLogger(__name__)


class Clock(Protocol):
    """Where the planner's ``now`` comes from."""

    def __call__(self) -> datetime:
        """Return the time, with a time zone."""
        ...


def utc_now() -> datetime:
    """Return the machine's time."""
    return datetime.now(UTC)


class NotSettledError(Exception):
    """A plan went on asking for steps: a bug in the planner, never the cluster's state."""


@dataclass
class Turn:
    """Facts read during one turn, on demand."""

    pods: dict[str, tuple[PodView, ...]] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    versions: dict[str, VersionView | None] = field(default_factory=dict)
    refused: Refusal | None = None


@dataclass(frozen=True)
class Outcome:
    """What a turn asks for: another one soon (it changed something), or after some seconds, or nothing."""

    again: bool = False
    after: float | None = None


class Reconciler:
    """Carry out turns. Everything that is written to the cluster about a TrainingJob is written here."""

    def __init__(
        self,
        port: KubePort,
        store: Store,
        reports: Reports,
        config: OperatorConfig,
        *,
        ca: str,
        instance: str,
        clock: Clock,
    ) -> None:
        self._port = port
        self._store = store
        self._reports = reports
        self._config = config
        self._ca = ca
        self._instance = instance
        self._clock = clock

    async def turn(self, key: Key) -> Outcome:
        """Bring one TrainingJob as far as it can go now.

        Raises
        ------
        ApiError
            When the API server does not answer; the turn is repeated later and starts from what is true then.
        """
        facts = Turn()
        for _ in range(MAX_STEPS):
            job = self._store.training_job(key)
            if job is None or job.finished:
                self._reports.forget(key)
            if job is None:
                return Outcome()
            step = plan(self._observe(key, job, facts))
            if step.needs:
                await self._read(job, step.needs, facts)
            elif step.actions:
                await self._act(job, step, facts)
                if facts.refused is None:
                    return _after(step.actions)
            elif step.status is not None:
                await self._tell(job, step)
                await self._write_status(key, job, step)
            else:
                return Outcome(after=step.requeue_after)
        raise NotSettledError(f"TrainingJob {key} was not settled after {MAX_STEPS} steps")

    def _observe(self, key: Key, job: TrainingJobView, facts: Turn) -> Observed:
        children = self._store.children(job.uid)
        attempt = max((child.attempt for child in children), default=0)
        return Observed(
            job=job,
            children=children,
            now=self._clock(),
            config=self._config,
            ca=self._ca,
            reported=self._reports.latest(key, job.uid, attempt),
            pods=facts.pods,
            missing=frozenset(facts.missing),
            versions=facts.versions,
            refused=facts.refused,
        )

    async def _read(self, job: TrainingJobView, needs: tuple[Need, ...], facts: Turn) -> None:
        namespace = job.namespace
        for need in needs:
            match need.fact:
                case Fact.PODS:
                    selector = f"batch.kubernetes.io/job-name={need.name},{meta.MANAGED_BY_LABEL}={meta.MANAGED_BY}"
                    found = self._port.list(PODS, namespace, selector=selector)
                    facts.pods[need.name] = tuple([views.pod(body) async for body in found])
                case Fact.JOB:
                    try:
                        body = await self._port.get(JOBS, namespace, need.name)
                    except NotFoundError:
                        facts.missing.add(need.name)
                    else:
                        self._store.apply("Job", body)
                        if all(child.name != need.name for child in self._store.children(job.uid)):
                            facts.missing.add(need.name)  # the name is there, but not our Job
                case Fact.VERSION:
                    try:
                        body = await self._port.get(MODEL_VERSIONS, namespace, need.name)
                        facts.versions[need.name] = views.model_version(body)
                    except NotFoundError:
                        facts.versions[need.name] = None

    async def _act(self, job: TrainingJobView, step: Plan, facts: Turn) -> None:
        """Carry actions out, up to the first that is refused."""
        applied = await apply(self._port, job.namespace, step.actions)
        for body in applied.jobs:
            self._store.apply("Job", body)
        facts.refused = applied.refused

    async def _tell(self, job: TrainingJobView, step: Plan) -> None:
        """Write Events. They inform; a job must not fail because one could not be written."""
        for note in step.events:
            body = event_body(job, note, instance=self._instance, now=self._clock())
            try:
                await self._port.create(EVENTS, job.namespace, body)
            except AlreadyExistsError:
                continue  # told before, by a turn that did not get to its end
            except ApiError as error:
                log.warning(
                    "event %s of TrainingJob %s/%s not written: %s", note.reason, job.namespace, job.name, error
                )

    async def _write_status(self, key: Key, job: TrainingJobView, step: Plan) -> None:
        if step.status is None:
            return
        changes = merge_patch(self._store.stored_status(key), step.status.wire())
        patch = {"metadata": {"resourceVersion": job.resource_version}, "status": changes}
        try:
            body = await self._port.patch_status(TRAINING_JOBS, job.namespace, job.name, patch)
        except ConflictError:
            body = await self._port.get(TRAINING_JOBS, job.namespace, job.name)
        except NotFoundError:
            self._store.forget(key)
            return
        self._store.apply("TrainingJob", body)


def _after(actions: tuple[Action, ...]) -> Outcome:
    """Go on at once after a creation, whose answer is in the store; a deletion is seen only when the watch tells."""
    if any(isinstance(action, DeleteJob) for action in actions):
        return Outcome(after=DELETED_SECONDS)
    return Outcome(again=True)
