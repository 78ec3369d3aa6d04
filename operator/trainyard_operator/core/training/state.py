"""What the planner of TrainingJobs looks at, beside what all kinds have that run to an end."""

from dataclasses import dataclass, field

from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.champion import Rivals
from trainyard_operator.core.objects import ModelVersionView, TrainingJobView


@dataclass(frozen=True)
class TrainingState(BatchState):
    """Everything that one decision about a TrainingJob may depend on."""

    job: TrainingJobView
    versions: dict[str, ModelVersionView | None] = field(default_factory=dict)
    """ModelVersions by name, ``None`` for one that was looked for and is not there."""
    made: ModelVersionView | None = None
    """The ModelVersion that a finished job names, as far as the watch has told of it."""
    earlier: tuple[ModelVersionView, ...] = ()
    """The versions of its model that a TrainingJob of its name made, as long as it has not begun itself."""
    rivals: Rivals | None = None
    """The versions and deployments of its model, once they were asked about."""
