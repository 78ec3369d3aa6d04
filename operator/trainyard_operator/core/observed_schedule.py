"""What the planner of TrainingSchedules looks at: one schedule, the TrainingJobs it created, and the time."""

from dataclasses import dataclass
from datetime import datetime

from trainyard_operator.core.objects import TrainingJobView, TrainingScheduleView
from trainyard_operator.core.observed import Refusal


@dataclass(frozen=True)
class ObservedSchedule:
    """Everything one decision about a schedule may depend on.

    Attributes
    ----------
    jobs
        Its TrainingJobs, in any order.
    missing
        Names of TrainingJobs that were looked for and are not there.
    refused
        The API server's no to the run that was to be created in this very turn.
    """

    schedule: TrainingScheduleView
    jobs: tuple[TrainingJobView, ...]
    now: datetime
    missing: frozenset[str] = frozenset()
    refused: Refusal | None = None
