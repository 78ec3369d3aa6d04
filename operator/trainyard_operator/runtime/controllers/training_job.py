"""TrainingJobs: what the store knows of one, for its planner."""

from trainyard_operator.core.objects import ModelVersionView, TrainingJobView
from trainyard_operator.core.plan import Plan
from trainyard_operator.core.training.estimate import estimated_seconds
from trainyard_operator.core.training.planner import plan
from trainyard_operator.core.training.state import TrainingState
from trainyard_operator.kinds.base import Key, model_term
from trainyard_operator.kinds.model_version import MODEL_VERSION
from trainyard_operator.kinds.training_job import TRAINING_JOB
from trainyard_operator.runtime.controller import Facts, Parts
from trainyard_operator.runtime.controllers.batch import BatchController


class TrainingJobController(BatchController[TrainingJobView, TrainingState]):
    """Plan for TrainingJobs."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(TRAINING_JOB, parts)

    def plan(self, state: TrainingState) -> Plan:
        """Return the next step."""
        return plan(state)

    def observe(self, key: Key, job: TrainingJobView, facts: Facts) -> TrainingState:
        """Return the state of a TrainingJob, with the versions of its model as far as a decision needs them."""
        common = self.common(key, job, facts)
        ref = job.status.model_version if job.finished else None
        estimate = None
        if job.status.phase is None:
            estimate = estimated_seconds(job, self._store.find(TRAINING_JOB, model_term(job.namespace, job.model)))
        has_begun = job.finished or job.status.attempts or common["workloads"]
        return TrainingState(
            **common,
            estimate=estimate,
            versions=facts.versions,
            earlier=() if has_begun else self._earlier(job),
            made=self._store.get(MODEL_VERSION, job.namespace, ref.name) if ref is not None else None,
            model_objects=facts.model_objects,
        )

    def _earlier(self, job: TrainingJobView) -> tuple[ModelVersionView, ...]:
        """Return the versions of its model that a TrainingJob of its name created."""
        versions = self._store.find(MODEL_VERSION, model_term(job.namespace, job.model))
        return tuple(view for view in versions if (view.spec.get("trainingJob") or {}).get("name") == job.name)
