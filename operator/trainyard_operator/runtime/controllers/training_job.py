"""TrainingJobs: the job, its Jobs, the newest progress report, and whether it may start."""

from typing import Final

from trainyard_operator.core.admission.decision import ADMITTED
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.objects import ModelVersionView, TrainingJobView
from trainyard_operator.core.plan import Create, Kind, Plan
from trainyard_operator.core.training.estimate import estimated_seconds
from trainyard_operator.core.training.planner import plan
from trainyard_operator.core.training.state import TrainingState
from trainyard_operator.kinds.base import Key, model_term
from trainyard_operator.kinds.model_version import MODEL_VERSION
from trainyard_operator.kinds.training_job import TRAINING_JOB
from trainyard_operator.runtime.admission import AdmissionControl
from trainyard_operator.runtime.clock import Clock
from trainyard_operator.runtime.controller import Facts, Parts, Step
from trainyard_operator.runtime.reports import Reports
from trainyard_operator.runtime.store import Store


class TrainingJobController:
    """Plan for TrainingJobs."""

    kind: Final[Kind] = TRAINING_JOB.name

    def __init__(
        self,
        store: Store,
        admission: AdmissionControl,
        reports: Reports,
        config: OperatorConfig,
        *,
        ca: str,
        clock: Clock,
    ) -> None:
        self._store = store
        self._admission = admission
        self._reports = reports
        self._config = config
        self._ca = ca
        self._clock = clock

    @classmethod
    def of(cls, parts: Parts) -> "TrainingJobController":
        """Make it from the parts of an operator."""
        return cls(parts.store, parts.admission, parts.reports, parts.config, ca=parts.ca, clock=parts.clock)

    def step(self, key: Key, facts: Facts) -> Step | None:
        """Observe and plan. A job that is to start has its place before anyone else is asked."""
        self._admission.catch_up(self._store, key)
        job = self._store.get(TRAINING_JOB, key.namespace, key.name)
        if job is None or job.finished:
            self._reports.forget(key)
        if job is None:
            return None
        if facts.refused is not None:
            self._admission.release(key)
        observed = self._observe(key, job, facts)
        try:
            found = plan(observed)
        except Exception:
            self._admission.defer(key)
            raise
        if any(isinstance(action, Create) and action.kind in TRAINING_JOB.owns for action in found.actions):
            self._admission.reserve(key)
        elif observed.admission == ADMITTED and found == Plan(requeue_after=found.requeue_after):
            self._admission.defer(key)
        return Step(job, found)

    def _earlier(self, job: TrainingJobView) -> tuple[ModelVersionView, ...]:
        """Return the versions of its model that were made by a TrainingJob of its name."""
        versions = self._store.find(MODEL_VERSION, model_term(job.namespace, job.model))
        return tuple(view for view in versions if (view.spec.get("trainingJob") or {}).get("name") == job.name)

    def _observe(self, key: Key, job: TrainingJobView, facts: Facts) -> TrainingState:
        workloads = self._store.workloads(TRAINING_JOB, job.namespace, job.uid)
        attempt = max((workload.attempt for workload in workloads), default=0)
        estimate = None
        ref = job.status.model_version if job.finished else None
        if job.status.phase is None:
            estimate = estimated_seconds(job, self._store.find(TRAINING_JOB, model_term(job.namespace, job.model)))
        return TrainingState(
            job=job,
            workloads=workloads,
            now=self._clock(),
            config=self._config,
            ca=self._ca,
            reported=self._reports.latest(key, job.uid, attempt),
            pods=facts.pods,
            missing=frozenset(facts.missing),
            versions=facts.versions,
            earlier=() if job.finished or job.status.attempts or workloads else self._earlier(job),
            made=self._store.get(MODEL_VERSION, job.namespace, ref.name) if ref is not None else None,
            rivals=facts.rivals,
            warnings=facts.warnings,
            refused=facts.refused,
            admission=self._admission.decision(key),
            wanted=self._admission.is_wanted(key),
            estimate=estimate,
        )
