"""TrainingSchedules. They depend only on themselves and their runs."""

from typing import Final, Literal

from trainyard_operator.core.objects import TrainingScheduleView
from trainyard_operator.core.schedule.saved import SAVES
from trainyard_operator.kinds.base import WatchedKind
from trainyard_operator.kinds.series import Family, Page, Seen, family_of, seconds_of
from trainyard_operator.kube import views
from trainyard_operator.kube.port import TRAINING_SCHEDULES


def _family(name: str, what: str, type_: Literal["gauge", "counter"] = "gauge") -> Family:
    return family_of("TrainingSchedule", name, what, type_)


_ACCEPTED: Final = _family("accepted_timestamp_seconds", "Time when a version was last accepted, in seconds since 1970")
_REJECTIONS: Final = _family("rejections", "Versions that were rejected since the last accepted one")
_LAST_SUCCESS: Final = _family(
    "last_success_timestamp_seconds", "Time when the last successful run ended, in seconds since 1970"
)
_LAST_RUN: Final = _family("last_run_timestamp_seconds", "Scheduled time of the last run, in seconds since 1970")
_NEXT_RUN: Final = _family("next_run_timestamp_seconds", "Scheduled time of the next run, in seconds since 1970")
_MISSED: Final = _family("missed_runs_total", "Runs that were due and did not start", "counter")
_FAILURES: Final = _family("consecutive_failures", "Failed runs in a row")

_TIMES: Final = {
    _ACCEPTED: "lastAcceptedTime",
    _LAST_SUCCESS: "lastSuccessfulTime",
    _LAST_RUN: "lastScheduleTime",
    _NEXT_RUN: "nextScheduleTime",
}
_NUMBERS: Final = {_REJECTIONS: "consecutiveRejections", _MISSED: "missed", _FAILURES: "consecutiveFailures"}


def _series(page: Page, schedule: Seen) -> None:
    if not schedule.named:
        return
    for family, name in _TIMES.items():
        if (moment := seconds_of(schedule.status.get(name))) is not None:
            page.add(family, schedule.labels, moment)
    for family, name in _NUMBERS.items():
        page.add(family, schedule.labels, schedule.status.get(name) or 0)


TRAINING_SCHEDULE: Final[WatchedKind[TrainingScheduleView]] = WatchedKind(
    name="TrainingSchedule",
    resource=TRAINING_SCHEDULES,
    read=views.training_schedule,
    saves=SAVES,
    families=(*_TIMES, *_NUMBERS),
    series=_series,
    is_named=True,
)
