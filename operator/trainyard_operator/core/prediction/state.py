"""Input of the PredictionJob planner, in addition to the shared state."""

from dataclasses import dataclass

from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.champion import ModelObjects
from trainyard_operator.core.objects import ModelDeploymentView, PredictionJobView


@dataclass(frozen=True)
class PredictionState(BatchState):
    """Input of one planning decision about a PredictionJob."""

    job: PredictionJobView
    deployment: ModelDeploymentView | None = None
    """The ModelDeployment that the spec names, if it exists."""
    model_objects: ModelObjects | None = None
    """The versions and deployments of its model, if they were requested."""
