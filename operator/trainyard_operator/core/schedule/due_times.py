"""Times of a TrainingSchedule: which run is due, and which comes next.

``status.nextScheduleTime`` is the first nominal time whose run was neither started nor given up. A time is due only if
it is not before this time and still matches the cron expression. After a change of the expression or the time zone, the
schedule starts again from now, and no run starts at once. While the schedule is suspended, the time is stored in
``status.heldScheduleTime`` instead. After a restore, the schedule also starts again from now, because runs that were
due between the backup and the restore may have run.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from trainyard_api.trainingschedule import TrainingScheduleSpec
from trainyard_operator.core.plan import EventNote
from trainyard_operator.core.schedule.cron import TICK, Schedule, count_between, last_at_or_before, next_after
from trainyard_operator.core.schedule.state import ScheduleState
from trainyard_operator.core.times import from_rfc3339, to_rfc3339

MISSED_LIMIT: Final = 100
"""Maximum number of missed runs that are counted at once."""


@dataclass(frozen=True)
class DueTimes:
    """The due run and the next one.

    Attributes
    ----------
    first
        The first nominal time that is not settled. It is in the past while a run is due or blocked.
    due
        The nominal time to start for: the latest one that has come. At most one run is due, whatever was missed.
    missed
        The number to store: all runs that were due and never started.
    """

    first: datetime | None
    due: datetime | None
    missed: int
    events: tuple[EventNote, ...] = ()


def due_times_of(state: ScheduleState, spec: TrainingScheduleSpec, cron: Schedule, last: datetime | None) -> DueTimes:
    """Return the due run and the next time. ``last`` is the nominal time of the newest run that was started."""
    view, now = state.schedule, state.now
    floor = max(now, view.created, last or view.created)
    first = _time(view.status.next_schedule_time or view.status.held_schedule_time)
    missed = view.status.missed or 0
    if first is None and view.status.observed_generation < 0 and not view.recalled_from:
        first = next_after(cron, last or view.created)  # the schedule is new, so no run was started
    elif first is None or first > now or next_after(cron, first - TICK) != first:
        first = next_after(cron, floor)
    elif last is not None and first <= last:
        missed += count_between(cron, first - TICK, last - TICK, MISSED_LIMIT)
        first = next_after(cron, last)
    if spec.suspend or first is None or first > now:
        return DueTimes(first, None, missed)
    due = last_at_or_before(cron, now, after=first - TICK)
    late = latest_start(spec, due)
    if due is None or (late is not None and late < now):
        missed += count_between(cron, first - TICK, now, MISSED_LIMIT)
        return DueTimes(next_after(cron, floor), None, missed, (_missed_event(due or first),))
    return DueTimes(first, due, missed)


def latest_start(spec: TrainingScheduleSpec, due: datetime | None) -> datetime | None:
    """Return the latest time at which a run may start, ``None`` without a limit."""
    if due is None or spec.starting_deadline_seconds is None:
        return None
    return due + timedelta(seconds=spec.starting_deadline_seconds)


def _missed_event(due: datetime) -> EventNote:
    moment = to_rfc3339(due)
    message = f"missed the run of {moment}: startingDeadlineSeconds had passed before it could start"
    return EventNote("Warning", "MissSchedule", message, f"missed-{moment}")


def _time(text: str | None) -> datetime | None:
    return from_rfc3339(text) if text else None
