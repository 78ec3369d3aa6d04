"""Input of the TrainingJob planner, in addition to the shared state."""

from dataclasses import dataclass, field

from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.champion import ModelObjects
from trainyard_operator.core.objects import ModelVersionView, TrainingJobView


@dataclass(frozen=True)
class TrainingState(BatchState):
    """Input of one planning decision about a TrainingJob."""

    job: TrainingJobView
    versions: dict[str, ModelVersionView | None] = field(default_factory=dict)
    """ModelVersions by name. ``None`` means that it was read and does not exist."""
    made: ModelVersionView | None = None
    """The ModelVersion that a finished job names, if the watch has delivered it."""
    earlier: tuple[ModelVersionView, ...] = ()
    """Versions of its model from a TrainingJob of the same name, until the job begins."""
    model_objects: ModelObjects | None = None
    """The versions and deployments of its model, if they were requested."""
