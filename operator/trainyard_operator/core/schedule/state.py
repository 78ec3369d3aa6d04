"""Input of the TrainingSchedule planner: one schedule, its TrainingJobs, and the time."""

from dataclasses import dataclass
from datetime import datetime

from trainyard_operator.core.facts import Refusal
from trainyard_operator.core.objects import TrainingJobView, TrainingScheduleView


@dataclass(frozen=True)
class ScheduleState:
    """Input of one decision about a schedule.

    Attributes
    ----------
    jobs
        Its TrainingJobs, in any order.
    orphans
        TrainingJobs without an owner whose labels name the schedule. After a restore, the schedule has another uid.
    listed
        Whether the schedule and its TrainingJobs were read from the API server in this reconcile.
    refused
        The API server's refusal of the run to be created in this reconcile.
    """

    schedule: TrainingScheduleView
    jobs: tuple[TrainingJobView, ...]
    now: datetime
    listed: bool = False
    refused: Refusal | None = None
    orphans: tuple[TrainingJobView, ...] = ()
