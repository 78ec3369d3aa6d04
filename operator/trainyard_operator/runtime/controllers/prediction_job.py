"""PredictionJobs: what the store knows of one, for its planner."""

from trainyard_operator.core.objects import PredictionJobView
from trainyard_operator.core.plan import Plan
from trainyard_operator.core.prediction.planner import plan
from trainyard_operator.core.prediction.state import PredictionState
from trainyard_operator.kinds.base import Key
from trainyard_operator.kinds.model_deployment import MODEL_DEPLOYMENT
from trainyard_operator.kinds.prediction_job import PREDICTION_JOB
from trainyard_operator.runtime.controller import Facts, Parts
from trainyard_operator.runtime.controllers.batch import BatchController


class PredictionJobController(BatchController[PredictionJobView, PredictionState]):
    """Plan for PredictionJobs."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(PREDICTION_JOB, parts)

    def plan(self, state: PredictionState) -> Plan:
        """Return the next step."""
        return plan(state)

    def observe(self, key: Key, job: PredictionJobView, facts: Facts) -> PredictionState:
        """Return the state of a PredictionJob, with the ModelDeployment that it names."""
        name = (job.spec.get("model") or {}).get("deployment")
        deployment = self._store.get(MODEL_DEPLOYMENT, key.namespace, str(name)) if name else None
        return PredictionState(**self.common(key, job, facts), deployment=deployment, model_objects=facts.model_objects)
