"""What the planner of a kind that runs to an end looks at: the world as typed, frozen facts, and no decision."""

from dataclasses import dataclass, field
from datetime import datetime

from trainyard_api.batch import BatchStatus, TrainerStatus
from trainyard_operator.core.admission.decision import ADMITTED, Decision
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.facts import Refusal
from trainyard_operator.core.objects import BatchView, PodView, WarningView, WorkloadView


@dataclass(frozen=True)
class BatchState:
    """Everything that one decision may depend on, whatever the kind. A kind adds its own facts."""

    job: BatchView[BatchStatus]
    workloads: tuple[WorkloadView, ...]
    """What its attempts run as, as far as it is there."""
    now: datetime
    config: OperatorConfig
    ca: str
    """Certificate authority (PEM) of the progress endpoint, handed to each attempt."""
    reported: TrainerStatus | None = None
    """The newest progress report of the current attempt."""
    pods: dict[str, tuple[PodView, ...]] = field(default_factory=dict)
    """Pods by workload name, for the workloads that were asked about."""
    missing: frozenset[str] = frozenset()
    """Workloads by name that were looked for and are not there."""
    warnings: dict[str, tuple[WarningView, ...]] = field(default_factory=dict)
    """Warning Events by the uid of what they are about, for the objects that were asked about."""
    refused: Refusal | None = None
    admission: Decision = ADMITTED
    wanted: bool = False
    """Whether another job waits for the place that this one holds."""
    estimate: int | None = None
    """Seconds that earlier runs of the same took; for a job that has no status yet."""
