"""Observed state for the planner of a kind that runs to completion: typed, immutable facts without decisions."""

from dataclasses import dataclass, field
from datetime import datetime

from trainyard_api.batch import BatchStatus, TrainerStatus
from trainyard_operator.core.admission.decision import ADMITTED, Decision
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.facts import Refusal
from trainyard_operator.core.objects import BatchView, PodView, WarningView, WorkloadView


@dataclass(frozen=True)
class BatchState:
    """Input of one planning decision. Each kind adds its own facts."""

    job: BatchView[BatchStatus]
    workloads: tuple[WorkloadView, ...]
    """The existing workloads of its attempts."""
    now: datetime
    config: OperatorConfig
    ca: str
    """Certificate authority (PEM) of the progress endpoint, passed to each attempt."""
    reported: TrainerStatus | None = None
    """The newest progress report of the current attempt."""
    pods: dict[str, tuple[PodView, ...]] = field(default_factory=dict)
    """Pods by workload name, for the workloads that were read."""
    missing: frozenset[str] = frozenset()
    """Names of workloads that were read and do not exist."""
    warnings: dict[str, tuple[WarningView, ...]] = field(default_factory=dict)
    """Warning Events by the uid of their object, for the objects that were read."""
    refused: Refusal | None = None
    admission: Decision = ADMITTED
    wanted: bool = False
    """Whether another job waits for the slot of this job."""
    estimate: int | None = None
    """Estimated duration in seconds from earlier runs of the same model, for a job without a status."""
