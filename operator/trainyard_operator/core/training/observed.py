"""What the planner of TrainingJobs looks at: the world as typed, frozen facts. Nothing in here was decided."""

from dataclasses import dataclass, field
from datetime import datetime

from trainyard_api.batch import TrainerStatus
from trainyard_operator.core.admission.verdict import ADMITTED, Verdict
from trainyard_operator.core.champion import Rivals
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.facts import Refusal
from trainyard_operator.core.objects import JobView, ModelVersionView, PodView, TrainingJobView, WarningView


@dataclass(frozen=True)
class Observed:
    """Everything one decision may depend on."""

    job: TrainingJobView
    children: tuple[JobView, ...]
    now: datetime
    config: OperatorConfig
    ca: str
    """Certificate authority (PEM) of the progress endpoint, handed to each attempt."""
    reported: TrainerStatus | None = None
    """The newest progress report of the current attempt."""
    pods: dict[str, tuple[PodView, ...]] = field(default_factory=dict)
    """Pods by Job name, for the Jobs that were asked about."""
    missing: frozenset[str] = frozenset()
    """Jobs by name that were looked for and are not there."""
    versions: dict[str, ModelVersionView | None] = field(default_factory=dict)
    """ModelVersions by name, ``None`` for one that was looked for and is not there."""
    made: ModelVersionView | None = None
    """The ModelVersion that a finished job names, as far as the watch has told of it."""
    earlier: tuple[ModelVersionView, ...] = ()
    """The versions of its model that a TrainingJob of its name made, as long as it has not begun itself."""
    rivals: Rivals | None = None
    """The versions and deployments of its model, once they were asked about."""
    warnings: dict[str, tuple[WarningView, ...]] = field(default_factory=dict)
    """Warning Events by the uid of what they are about, for the objects that were asked about."""
    refused: Refusal | None = None
    admission: Verdict = ADMITTED
    """Whether a first attempt may start now; an attempt that runs or is tried again has its place."""
    wanted: bool = False
    """Whether another TrainingJob waits for the place that this one holds."""
    estimate: int | None = None
    """Seconds that the model's earlier runs took; for a job that has no status yet."""
