"""Cron schedules of a Kubernetes CronJob: parser and search in a time zone.

A schedule is due at every minute whose local time matches the expression. A time that a clock change skips is not due
that day, and a repeated time is due twice, as with CronJob. The grammar is CronJob's (robfig/cron), not that of cron
daemons: ``?`` is ``*``, Sunday is 0 and not 7, and ``5/15`` is ``5-59/15``. If neither day field is a plain ``*``, a
day matches if either field does. docs/decisions/ lists the differences.

All times are aware and in UTC. The search tries days, not minutes, and only clock changes split it. Therefore a year of
downtime costs as much as a day.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)
TICK: Final = timedelta(microseconds=1)
"""The resolution of a :class:`~datetime.datetime`."""

FEBRUARY_29: Final = 29
SEARCHED_DAYS: Final = 366 * 40
"""29 February may be eight years away. No time of a schedule is further away than this limit."""


class ScheduleError(ValueError):
    """The expression or its time zone is invalid. The message says what to write instead."""


class UnknownZoneError(ScheduleError):
    """The time zone does not exist."""


@dataclass(frozen=True)
class Schedule:
    """A parsed cron expression.

    Attributes
    ----------
    times
        Minutes of the day, sorted: 90 is half past one.
    days, months, weekdays
        As the expression numbers them; Sunday is 0.
    either_day
        Both day fields are restricted: a day matches if one of them does.
    zone
        The time zone of the expression.
    """

    times: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    zone: ZoneInfo


def next_after(schedule: Schedule, moment: datetime) -> datetime | None:
    """Return the first time after ``moment``, or ``None`` if there is none within forty years."""
    position = moment + TICK
    while True:
        offset = _offset(schedule.zone, position)
        found = _first_at_or_after(schedule, _wall(position, offset))
        if found is None:
            return None
        due = (found - offset).replace(tzinfo=UTC)
        change = _first_change(schedule.zone, position, due)
        if change is None:
            return due
        position = change


def last_at_or_before(schedule: Schedule, moment: datetime, after: datetime) -> datetime | None:
    """Return the last time up to ``moment`` that is later than ``after``, or ``None``."""
    position = moment
    while position > after:
        offset = _offset(schedule.zone, position)
        found = _last_at_or_before(schedule, _wall(position, offset))
        bound = after if found is None else max(after, (found - offset).replace(tzinfo=UTC))
        change = _last_change(schedule.zone, bound, position)
        if change is None:
            return bound if bound > after else None
        position = change - TICK
    return None


def count_between(schedule: Schedule, after: datetime, until: datetime, limit: int) -> int:
    """Return the number of times later than ``after`` and up to ``until``, at most ``limit``."""
    count, moment = 0, next_after(schedule, after)
    while moment is not None and moment <= until and count < limit:
        count, moment = count + 1, next_after(schedule, moment)
    return count


# ---- local time ------------------------------------------------------------------------------------------------------


def _first_at_or_after(schedule: Schedule, wall: datetime) -> datetime | None:
    """Return the first match in local time without clock changes."""
    minute = wall.hour * 60 + wall.minute + bool(wall.second or wall.microsecond)
    start = bisect_left(schedule.times, minute)
    if start < len(schedule.times) and _day_matches(schedule, wall.date()):
        return _at(wall.date(), schedule.times[start])
    day = _matching_day(schedule, wall.date(), DAY)
    return None if day is None else _at(day, schedule.times[0])


def _last_at_or_before(schedule: Schedule, wall: datetime) -> datetime | None:
    """Return the last match in local time without clock changes."""
    end = bisect_right(schedule.times, wall.hour * 60 + wall.minute)
    if end and _day_matches(schedule, wall.date()):
        return _at(wall.date(), schedule.times[end - 1])
    day = _matching_day(schedule, wall.date(), -DAY)
    return None if day is None else _at(day, schedule.times[-1])


def _matching_day(schedule: Schedule, day: date, step: timedelta) -> date | None:
    for _ in range(SEARCHED_DAYS):
        day += step
        if _day_matches(schedule, day):
            return day
    return None


def _day_matches(schedule: Schedule, day: date) -> bool:
    if day.month not in schedule.months:
        return False
    of_month, of_week = day.day in schedule.days, day.isoweekday() % 7 in schedule.weekdays
    return (of_month or of_week) if schedule.either_day else (of_month and of_week)


def _at(day: date, minute: int) -> datetime:
    return datetime(day.year, day.month, day.day, minute // 60, minute % 60)  # noqa: DTZ001 - a wall clock has no zone


# ---- clock changes ---------------------------------------------------------------------------------------------------


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _wall(moment: datetime, offset: timedelta) -> datetime:
    return moment.replace(tzinfo=None) + offset


def _first_change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """Return the first clock change in ``(start, end]``. No zone changes its clocks twice within a day."""
    low, offset = start, _offset(zone, start)
    while low < end:
        high = min(low + DAY, end)
        if _offset(zone, high) != offset:
            return _change_between(zone, low, high)
        low = high
    return None


def _last_change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """Return the last clock change in ``(start, end]``."""
    high, offset = end, _offset(zone, end)
    while high > start:
        low = max(high - DAY, start)
        if _offset(zone, low) != offset:
            return _change_between(zone, low, high)
        high = low
    return None


def _change_between(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """Return the second at which the offset of ``high`` begins. The offset of ``low`` must differ."""
    offset = _offset(zone, high)
    early, late = int(low.timestamp()), int(high.timestamp())
    while late - early > 1:
        middle = (early + late) // 2
        if _offset(zone, datetime.fromtimestamp(middle, UTC)) == offset:
            late = middle
        else:
            early = middle
    return datetime.fromtimestamp(late, UTC)


# ---- expression ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Field:
    """Allowed values of one field of an expression."""

    title: str
    first: int
    last: int
    names: Mapping[str, int]


def _numbered(names: str, first: int) -> dict[str, int]:
    return {name: number for number, name in enumerate(names.split(), first)}


_FIELDS: Final = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, _numbered("jan feb mar apr may jun jul aug sep oct nov dec", 1)),
    _Field("day of week", 0, 6, _numbered("sun mon tue wed thu fri sat", 0)),
)

_MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_LONGEST_MONTHS: Final = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}


def parse(text: str, zone: str = "") -> Schedule:
    """Return the schedule of a cron expression in a time zone of the tz database. An empty zone is UTC.

    Raises
    ------
    ScheduleError
        If the expression or the zone is invalid, or if the schedule is never due.
    """
    if "TZ=" in text:
        raise ScheduleError(f'schedule "{text}" sets a time zone: remove TZ= and set timeZone')
    words = text.split()
    if len(words) == 1 and words[0].startswith("@"):
        words = _macro(words[0]).split()
    if len(words) != len(_FIELDS):
        raise ScheduleError(
            f'schedule "{text}" has {len(words)} fields: write five (minute, hour, day of month, month, day of week)'
        )
    values = [_values(word, field) for word, field in zip(words, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = values
    either_day = not (_has_star(words[2]) or _has_star(words[4]))
    if not either_day and all(min(days) > _LONGEST_MONTHS[month] for month in months):
        raise ScheduleError(
            f'schedule "{text}" is never due: no month in its fourth field has a day {min(days)}; change '
            "the day or the month"
        )
    times = tuple(sorted(hour * 60 + minute for hour in hours for minute in minutes))
    return Schedule(times, days, months, weekdays, either_day, _zone(zone))


def _macro(word: str) -> str:
    if word not in _MACROS:
        raise ScheduleError(f'schedule "{word}" is not known: write five fields or one of {", ".join(_MACROS)}')
    return _MACROS[word]


def _has_star(text: str) -> bool:
    """Return whether a day field does not restrict the day. ``*/2`` does restrict it."""
    items = (item.partition("/") for item in text.split(","))
    return any(span in ("*", "?") and (not step or int(step) == 1) for span, _, step in items)


def _values(text: str, field: _Field) -> frozenset[int]:
    return frozenset(value for item in text.split(",") for value in _range(item, field))


def _range(item: str, field: _Field) -> range:
    """Parse ``*``, ``a``, ``a-b``, ``*/step``, ``a/step`` (to the end of the field) or ``a-b/step``."""
    span, slash, step_text = item.partition("/")
    low_text, hyphen, high_text = span.partition("-")
    step = _number(step_text, item, field, {}) if slash else 1
    if span in ("*", "?"):
        low, high = field.first, field.last
    else:
        low = _number(low_text, item, field, field.names)
        high = _number(high_text, item, field, field.names) if hyphen else field.last if slash else low
    if step < 1:
        raise ScheduleError(f'"{item}" in the {field.title} of the schedule has the step 0: write 1 or more')
    if low < field.first or high > field.last:
        raise ScheduleError(
            f'"{item}" in the {field.title} of the schedule is out of range: write {field.first} to {field.last}'
        )
    if low > high:
        raise ScheduleError(f'"{item}" in the {field.title} of the schedule ends before it starts: swap its two values')
    return range(low, high + 1, step)


def _number(text: str, item: str, field: _Field, names: Mapping[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if text.isascii() and text.isdigit():
        return int(text)
    allowed = f"{field.first} to {field.last}" + (f" or a name like {next(iter(field.names))}" if field.names else "")
    raise ScheduleError(
        f'"{item}" in the {field.title} of the schedule is invalid: write {allowed}, a range, a list or a step'
    )


# ---- time zone -------------------------------------------------------------------------------------------------------


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(name: str) -> ZoneInfo:
    if name and name not in _zones():
        like = get_close_matches(name, _zones(), n=1) or ["Europe/Paris"]
        raise UnknownZoneError(f'timeZone "{name}" is not known: write an IANA time zone, for example {like[0]}')
    return ZoneInfo(name or "UTC")
