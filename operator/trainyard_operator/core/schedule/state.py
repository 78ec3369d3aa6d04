"""What the planner of TrainingSchedules looks at: one schedule, the TrainingJobs it created, and the time."""

from dataclasses import dataclass
from datetime import datetime

from trainyard_operator.core.facts import Refusal
from trainyard_operator.core.objects import TrainingJobView, TrainingScheduleView


@dataclass(frozen=True)
class ScheduleState:
    """Everything one decision about a schedule may depend on.

    Attributes
    ----------
    jobs
        Its TrainingJobs, in any order.
    orphans
        TrainingJobs that name it and that no schedule owns: a restore gives it another uid.
    listed
        The schedule and its TrainingJobs were read from the API server in this very turn.
    refused
        The API server's no to the run that was to be created in this very turn.
    """

    schedule: TrainingScheduleView
    jobs: tuple[TrainingJobView, ...]
    now: datetime
    listed: bool = False
    refused: Refusal | None = None
    orphans: tuple[TrainingJobView, ...] = ()
