"""TrainingSchedules: nothing but themselves and their runs concerns them."""

from typing import Final

from trainyard_operator.core.objects import TrainingScheduleView
from trainyard_operator.kinds.base import WatchedKind
from trainyard_operator.kube import views
from trainyard_operator.kube.port import TRAINING_SCHEDULES

TRAINING_SCHEDULE: Final[WatchedKind[TrainingScheduleView]] = WatchedKind(
    name="TrainingSchedule", resource=TRAINING_SCHEDULES, read=views.training_schedule
)
