"""The saved part of a TrainingSchedule's status: its last runs, and the version that was accepted.

``nextScheduleTime`` is not saved: runs are due from the restore on, so that no run is started for a missed time.
"""

from typing import Any, Final

from trainyard_api.trainingschedule import TrainingScheduleStatus
from trainyard_operator.core.saved import Saves, dumped

_FIELDS: Final = (
    "last_schedule_time",
    "last_successful_time",
    "missed",
    "consecutive_failures",
    "last_accepted_version",
    "last_accepted_time",
    "consecutive_rejections",
    "last_template_hash",
    "last_handled_run_now",
    "last_run",
    "conditions",
)
_CONDITIONS: Final = frozenset({"ModelAccepted"})
"""The conditions that cannot be computed from other facts."""


def _kept(status: TrainingScheduleStatus) -> dict[str, Any]:
    own = [each for each in status.conditions or () if each.type in _CONDITIONS]
    return dumped(status.model_copy(update={"conditions": own or None}), _FIELDS)


SAVES: Final = Saves(_kept)
