"""The time step of a series: detect or parse it, count steps, and derive seasons."""

import re
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries.frequencies import to_offset

from trainyard_trainer.data.dataset import Clock
from trainyard_trainer.data.values.opening import BUSINESS, Opening, find
from trainyard_trainer.data.values.zones import instants_of, wall_times
from trainyard_trainer.errors import ConfigError

_DAY: Final = 86_400_000_000_000
"""One day in nanoseconds."""

_MONTHS: Final = {"MS": 1, "ME": 1, "BMS": 1, "BME": 1, "QS": 3, "QE": 3, "BQS": 3, "BQE": 3, "YS": 12, "YE": 12}
_CALENDAR_STEPS: Final = ((28, 31, "ME", "MS"), (90, 92, "QE", "QS"), (181, 184, "6ME", "6MS"), (365, 366, "YE", "YS"))
"""Shortest and longest step in days, and the aliases for times at the end and at the start of a month."""

_CHANGE: Final = 3_600_000_000_000
"""Largest change of a clock, one hour, in nanoseconds."""

_WEEKDAYS: Final = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_WEEKS_TO_DETECT_CLOSED: Final = 5
_SHORTEST_OPEN: Final = 60_000_000_000
"""Opening hours are not detected for steps shorter than a minute."""

_ROWS_TO_DETECT_WEEKENDS: Final = 10
_STEPS_TO_DETECT_MONTHS: Final = 6
"""Among this many consecutive months, the lengths differ."""

_DAYS_PER_YEAR: Final = 365.25
_HALF_YEAR: Final = 6
"""In months. A longer step has no season within a year."""
_WHOLE: Final = 0.01
"""Largest difference of a season from a whole number of steps."""
_EXACT: Final = 0.9
_SHORTEST_MONTH: Final = 28
_MOSTLY: Final = 0.6
_JITTER: Final = 0.4
_NEARBY: Final = 0.02
_UNITS: Final = (
    *(("D", _DAY), ("h", 3_600_000_000_000), ("min", 60_000_000_000), ("s", 1_000_000_000)),
    *(("ms", 1_000_000), ("us", 1_000)),
)
_HOURS, _SIXTIETHS, _FRACTIONS = (1, 2, 3, 4, 6, 8, 12), (1, 2, 5, 10, 15, 20, 30), (1, 2, 5, 10, 20, 50, 100, 200, 500)
_ROUND_STEPS: Final = tuple(
    count * size
    for (_, size), counts in zip(_UNITS[1:], (_HOURS, _SIXTIETHS, _SIXTIETHS, _FRACTIONS, _FRACTIONS), strict=True)
    for count in counts
)
"""Common steps in nanoseconds."""


@dataclass(frozen=True)
class Frequency:
    """The step between two times, as a pandas offset alias and as a length.

    Exactly one of ``months`` and ``nanoseconds`` is positive. With ``opening``, only open steps are counted; closed
    times are not steps. With ``zone``, the times are in UTC but counted by the wall clock of that zone. Then each day
    has 24 steps of an hour: one is skipped in spring, and one has two rows in autumn. Opening hours refer to a wall
    clock, so their zone is a part of the alias: ``h-1111110-0800-2000@Europe/Paris``.
    """

    alias: str
    season: int
    months: int = 0
    nanoseconds: int = 0
    opening: Opening | None = None
    zone: str = ""

    @property
    def per_year(self) -> float:
        """Number of steps per year."""
        if self.opening is not None:
            return _DAYS_PER_YEAR * self.opening.per_week / 7
        return 12 / self.months if self.months else _DAYS_PER_YEAR * _DAY / self.nanoseconds

    @property
    def seasons(self) -> list[int]:
        """Day, week and year in steps, if they have more than one. A year is 52 whole weeks, to keep the weekday."""
        if self.opening is not None:
            in_day, in_week = self.opening.per_day, self.opening.per_week
            return [*([in_day] if in_day > 1 else []), in_week, 52 * in_week]
        if self.months:
            return [12 // self.months] if self.months <= _HALF_YEAR else []
        day = self.per_year / _DAYS_PER_YEAR
        lengths = (day, 7 * day, 364 * day)
        return [round(length) for length in lengths if round(length) > 1 and abs(length - round(length)) < _WHOLE]

    def ordinals(self, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
        """Return step numbers. Neighbors differ by 1; a gap of one row is 2. ``times`` are ``datetime64[ns]``."""
        if self.zone:
            times = wall_times(times, self.zone)
        if self.months:
            return times.astype("datetime64[M]").astype(np.int64) // self.months
        if self.opening is not None:
            return self.opening.ordinals(times)
        since = times.astype("datetime64[ns]").astype(np.int64)
        if len(since) == 0:
            return since
        # The median offset defines the step boundaries, because the first time may be early or late.
        late = (since - since[0] + self.nanoseconds // 2) % self.nanoseconds - self.nanoseconds // 2
        phase = (since[0] + int(np.median(late))) % self.nanoseconds
        return np.asarray((since - phase + self.nanoseconds // 2) // self.nanoseconds, dtype=np.int64)

    def after(self, ends: npt.NDArray[np.datetime64], steps: int) -> npt.NDArray[np.datetime64]:
        """Return the times of the steps after each end, as in the data; shape (ends, steps).

        For months, the day of the month is kept if the month has it. With an alias for month ends, the last day stays
        the last day. The same applies to the first or last business day.

        Parameters
        ----------
        ends
            ``datetime64[ns]``; shape (ends,).
        """
        ahead = np.arange(1, steps + 1)
        if self.months:
            return self._months_after(ends, ahead * self.months)
        if self.opening is not None:
            return self.open_after(ends, ahead)
        return np.asarray(ends[:, None] + (ahead * self.nanoseconds).astype("timedelta64[ns]"))

    def open_after(self, ends: npt.NDArray[np.datetime64], ahead: npt.NDArray[np.int64]) -> npt.NDArray[np.datetime64]:
        """Return the open steps ``ahead`` steps after each end; shape (ends, steps).

        Raises ValueError without ``opening``.
        """
        if self.opening is None:
            raise ValueError(f"{self.alias} has no opening hours")
        if not self.zone:
            return self.opening.after(ends, ahead)
        return instants_of(self.opening.after(wall_times(ends, self.zone), ahead), self.zone)

    def closed(self, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.bool_]:
        """Return a mask of the times that are closed."""
        if self.opening is None:
            return np.zeros(len(times), dtype=bool)
        return ~self.opening.is_open(wall_times(times, self.zone) if self.zone else times)

    def _months_after(
        self, ends: npt.NDArray[np.datetime64], months: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.datetime64]:
        name = self.alias.lstrip("0123456789").split("-")[0]
        by_end, by_business = name.endswith("E"), name.startswith("B")
        days, month = ends.astype("datetime64[D]"), ends.astype("datetime64[M]")
        wanted: npt.NDArray[np.datetime64] = month[:, None] + months.astype("timedelta64[M]")
        first, last = _edges(wanted, business=by_business)
        edge = last if by_end else first
        is_edge = days == _edges(month, business=by_business)[1 if by_end else 0]
        same_day = np.minimum(wanted.astype("datetime64[D]") + (days - month)[:, None], _edges(wanted)[1])
        found = np.where(is_edge[:, None], edge, same_day)
        return np.asarray(found.astype("datetime64[ns]") + (ends - days)[:, None])

    @property
    def steps_per_change(self) -> int:
        """Maximum number of steps that a clock change adds between two times. 0 without ``zone``."""
        return -(-_CHANGE // self.nanoseconds) if self.zone else 0


def _edges(
    months: npt.NDArray[np.datetime64], *, business: bool = False
) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.datetime64]]:
    """Return the first and the last day of months, or the first and last business day."""
    first, behind = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]")
    if business:
        return np.busday_offset(first, 0, roll="forward"), np.busday_offset(behind, -1, roll="forward")
    return first, behind - 1


def frequency_by(alias: str, clock: Clock) -> Frequency:
    """Parse an offset alias for times of a clock. Steps shorter than a day are counted by the wall clock of the zone.

    Human activity follows the wall clock. So a lag of 24 hours is the same time on the previous day, also across a
    clock change. Raises ConfigError.
    """
    frequency = frequency_of(alias)
    is_shorter = 0 < frequency.nanoseconds < _DAY and frequency.opening is None
    return replace(frequency, zone=clock.zone) if clock.zone and not clock.wall and is_shorter else frequency


def frequency_of(alias: str) -> Frequency:
    """Parse an offset alias such as ``D``, ``W-MON``, ``MS``, ``15min``, or one with open days and hours.

    ``B-1111110`` has no Sundays. ``h-1111110-0800-2000`` has no Sundays and no nights. Their zone follows an ``@``.

    Raises
    ------
    ConfigError
        If the alias is unknown. The message lists known ones.
    """
    if (match := re.fullmatch(r"(.+?)-([01]{7}[^@]*)(?:@(.+))?", alias)) is not None:
        base = "D" if match[1] == "B" else match[1]
        return _opened(alias, frequency_of(base).nanoseconds, match[2], match[3] or "")
    try:
        offset = to_offset(_modern(alias))
    except ValueError as error:
        raise ConfigError(
            f"forecast.frequency {alias!r} is not known; use Auto, D, B, W, MS, QS, YS, h, 15min, or B-1111110"
        ) from error
    base, count = offset.name.split("-")[0], offset.n
    months = _MONTHS.get(base)
    if months is not None:
        step = months * count
        return Frequency(offset.freqstr, season=max(1, 12 // step), months=step)
    if base == "B":
        return Frequency(offset.freqstr, season=5, nanoseconds=_DAY, opening=Opening(_DAY, BUSINESS))
    if base == "W":
        return Frequency(offset.freqstr, season=52, nanoseconds=7 * _DAY * count)
    try:
        step = int(offset.nanos)
    except ValueError as error:
        raise ConfigError(
            f"forecast.frequency {alias!r} has no regular step; use D, B, W, MS, QS, YS, h or min"
        ) from error
    return Frequency(offset.freqstr, season=_season(step), nanoseconds=step)


def opened_in(frequency: Frequency, clock: Clock) -> Frequency:
    """Return a frequency whose opening hours are in the zone of the data. Other frequencies are unchanged."""
    is_shorter = frequency.opening is not None and frequency.nanoseconds < _DAY
    zone = "" if clock.wall or not is_shorter or frequency.zone else clock.zone or ""
    return frequency_of(f"{frequency.alias}@{zone}") if zone else frequency


def _opened(alias: str, step: int, text: str, zone: str) -> Frequency:
    opening = Opening.read(step, text) if step and _DAY % step == 0 else None
    if opening is None or not opening.per_week:
        raise ConfigError(
            f"forecast.frequency {alias!r} is not known; write open days as B-1111110, Monday first, and open hours as "
            "h-1111110-0800-2000"
        )
    season = opening.per_week if step == _DAY else opening.per_day
    return Frequency(alias, season=season, nanoseconds=step, opening=opening, zone=zone)


def _season(step: int) -> int:
    """Return the number of steps in a season: a day for shorter steps, a week for days, a year for weeks and longer
    steps.

    For steps of whole weeks, a year has 364 days, so that it has 13 steps of four weeks.
    """
    if step < _DAY:
        return max(1, round(_DAY / step))
    days = step / _DAY
    if days == 1:
        return 7
    if days % 7 == 0:
        return max(1, round(364 / days))
    return max(1, round(365.25 / days)) if days >= _SHORTEST_MONTH else 1


def _modern(alias: str) -> str:
    """Convert aliases that pandas 2.2 deprecated: H, T, S, M, Q, Y, A."""
    match = re.fullmatch(r"(\d*)(H|T|S|M|Q|Y|A)", alias)
    names = {"H": "h", "T": "min", "S": "s", "M": "ME", "Q": "QE", "Y": "YE", "A": "YE"}
    return f"{match[1]}{names[match[2]]}" if match else alias


def detect_frequency(
    times: npt.NDArray[np.datetime64],
    same_series: npt.NDArray[np.bool_],
    *,
    may_close: bool = True,
    clock: Clock | None = None,
) -> Frequency | None:
    """Return the most common step, or ``None`` if no series has two different times.

    If ``may_close``, days of the week and hours of the day without any row are closed, so they are not steps.

    Parameters
    ----------
    times
        ``datetime64[ns]``, sorted by series and time; shape (rows,).
    same_series
        Whether row ``i + 1`` belongs to the series of row ``i``; shape (rows - 1,).
    clock
        The clock of the times. Opening hours are by the wall clock of its zone.
    """
    steps: npt.NDArray[np.int64] = np.diff(times.astype("datetime64[ns]").astype(np.int64))[same_series].astype(
        np.int64
    )
    steps = steps[steps > 0]
    if len(steps) == 0:
        return None
    values, counts = np.unique(steps, return_counts=True)
    step, share = int(values[counts.argmax()]), counts.max() / len(steps)
    if share < _MOSTLY and step < _DAY:
        step = _typical(steps) or step
    if clock is not None and clock.zone and not clock.wall and step < _DAY:
        times = wall_times(times, clock.zone)
    found = frequency_of(_alias(step, float(share), len(steps), times, may_close=may_close))
    return found if clock is None else opened_in(found, clock)


def _typical(steps: npt.NDArray[np.int64]) -> int | None:
    """Return the step of irregular times, or ``None`` if the steps differ too much.

    It is a common step close to the mean, else the mean: for 60 rows per second, no common step fits.
    """
    middle = float(np.median(steps))
    near = steps[np.abs(steps - middle) < _JITTER * middle]
    if len(near) < _MOSTLY * len(steps):
        return None
    mean = float(near.mean())
    best = min(_ROUND_STEPS, key=lambda size: abs(size - mean))
    return best if abs(best - mean) < _NEARBY * best else max(1, round(mean))


def _alias(step: int, share: float, count: int, times: npt.NDArray[np.datetime64], *, may_close: bool) -> str:
    index = pd.DatetimeIndex(times)
    days = step / _DAY
    is_exact = share >= _EXACT and count >= _STEPS_TO_DETECT_MONTHS  # months and years do not all have the same length
    for shortest, longest, end, start in _CALENDAR_STEPS:
        if shortest <= days <= longest and not is_exact:
            return end if bool(index.is_month_end.all()) else start
    if days == 7:
        return f"W-{_WEEKDAYS[index[0].weekday()]}"
    if days <= 1 and may_close and len(index) >= _ROWS_TO_DETECT_WEEKENDS:
        return _with_opening(step, times)
    return _fixed_alias(step)


def _with_opening(step: int, times: npt.NDArray[np.datetime64]) -> str:
    """Return the alias of a step without closed times.

    Business days need no minimum of weeks; others need five weeks.
    """
    if step == _DAY and not (pd.DatetimeIndex(times).dayofweek >= 5).any():
        return "B"
    found = find(times, step, _WEEKS_TO_DETECT_CLOSED) if step >= _SHORTEST_OPEN else None
    base = "B" if step == _DAY else _fixed_alias(step)
    return _fixed_alias(step) if found is None else f"{base}-{found}"


def _fixed_alias(step: int) -> str:
    for alias, size in _UNITS:
        if step % size == 0:
            return alias if step == size else f"{step // size}{alias}"
    return f"{step}ns"
