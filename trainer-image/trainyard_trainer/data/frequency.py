"""The step between the times of a series: found or given, counted, and how many make a season."""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries.frequencies import to_offset

from trainyard_trainer.errors import ConfigError

_DAY: Final = 86_400_000_000_000
"""Nanoseconds."""

_MONTHS: Final = {"MS": 1, "ME": 1, "BMS": 1, "BME": 1, "QS": 3, "QE": 3, "BQS": 3, "BQE": 3, "YS": 12, "YE": 12}
_CALENDAR_STEPS: Final = ((28, 31, "ME", "MS"), (90, 92, "QE", "QS"), (181, 184, "6ME", "6MS"), (365, 366, "YE", "YS"))
"""Days from the shortest to the longest step, and the alias for times at the end and at the start of a month."""

_WEEKDAYS: Final = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_ROWS_TO_TELL_WEEKENDS: Final = 10


@dataclass(frozen=True)
class Frequency:
    """The step between two times, as a pandas offset alias and as a count.

    Exactly one of ``months`` and ``nanoseconds`` is positive; business days have one day and ``business``.
    """

    alias: str
    season: int
    months: int = 0
    nanoseconds: int = 0
    business: bool = False

    @property
    def per_year(self) -> float:
        """How many steps a year has."""
        if self.business:
            return 261.0
        return 12 / self.months if self.months else 365.25 * _DAY / self.nanoseconds

    def ordinals(self, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
        """Number the steps: neighbours differ by 1, a gap of one row by 2. ``times`` are ``datetime64[ns]``."""
        if self.months:
            return times.astype("datetime64[M]").astype(np.int64) // self.months
        if self.business:
            return np.busday_count(np.datetime64("1970-01-01"), times.astype("datetime64[D]")).astype(np.int64)
        since = times.astype("datetime64[ns]").astype(np.int64)
        phase = since[0] % self.nanoseconds if len(since) else 0
        return (since - phase + self.nanoseconds // 2) // self.nanoseconds

    def after(self, ends: npt.NDArray[np.datetime64], steps: int) -> npt.NDArray[np.datetime64]:
        """Return the times of the steps behind each end, as the data would have them; shape (ends, steps).

        Of months the day stays, as far as the month has it; the last day of one stays the last day where the alias
        counts by ends, and so does the first or last business day.

        Parameters
        ----------
        ends
            ``datetime64[ns]``; shape (ends,).
        """
        ahead = np.arange(1, steps + 1)
        if self.months:
            return self._months_after(ends, ahead * self.months)
        if self.business:
            days = ends.astype("datetime64[D]")
            moved = np.busday_offset(days[:, None], ahead[None, :], roll="backward")
            return np.asarray(moved.astype("datetime64[ns]") + (ends - days)[:, None])
        return np.asarray(ends[:, None] + (ahead * self.nanoseconds).astype("timedelta64[ns]"))

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


def _edges(
    months: npt.NDArray[np.datetime64], *, business: bool = False
) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.datetime64]]:
    """Return the first and the last day, or business day, of months."""
    first, behind = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]")
    if business:
        return np.busday_offset(first, 0, roll="forward"), np.busday_offset(behind, -1, roll="forward")
    return first, behind - 1


def frequency_of(alias: str) -> Frequency:
    """Read an offset alias such as ``D``, ``W-MON``, ``MS`` or ``15min``. Raises ConfigError."""
    try:
        offset = to_offset(_modern(alias))
    except ValueError as error:
        raise ConfigError(
            f"forecast.frequency {alias!r} is not known; use Auto, D, B, W, MS, QS, YS, h or 15min"
        ) from error
    base, count = offset.name.split("-")[0], offset.n
    months = _MONTHS.get(base)
    if months is not None:
        step = months * count
        return Frequency(offset.freqstr, season=max(1, 12 // step), months=step)
    if base == "B":
        return Frequency(offset.freqstr, season=5, nanoseconds=_DAY, business=True)
    if base == "W":
        return Frequency(offset.freqstr, season=52, nanoseconds=7 * _DAY * count)
    try:
        step = int(offset.nanos)
    except ValueError as error:
        raise ConfigError(
            f"forecast.frequency {alias!r} has no regular step; use D, B, W, MS, QS, YS, h or min"
        ) from error
    season = 7 if step == _DAY else max(1, round(_DAY / step)) if step < _DAY else 1
    return Frequency(offset.freqstr, season=season, nanoseconds=step)


def _modern(alias: str) -> str:
    """Accept the spellings that pandas 2.2 deprecated: H, T, S, M, Q, Y."""
    match = re.fullmatch(r"(\d*)(H|T|S|M|Q|Y|A)", alias)
    names = {"H": "h", "T": "min", "S": "s", "M": "ME", "Q": "QE", "Y": "YE", "A": "YE"}
    return f"{match[1]}{names[match[2]]}" if match else alias


def detect_frequency(times: npt.NDArray[np.datetime64], same_series: npt.NDArray[np.bool_]) -> Frequency | None:
    """Find the most common step; ``None`` if no series has two different times.

    Parameters
    ----------
    times
        ``datetime64[ns]``, sorted by series and time; shape (rows,).
    same_series
        Whether row ``i + 1`` belongs to the series of row ``i``; shape (rows - 1,).
    """
    steps = np.diff(times.astype("datetime64[ns]").astype(np.int64))[same_series]
    steps = steps[steps > 0]
    if len(steps) == 0:
        return None
    values, counts = np.unique(steps, return_counts=True)
    step = int(values[counts.argmax()])
    return frequency_of(_alias(step, times))


def _alias(step: int, times: npt.NDArray[np.datetime64]) -> str:
    index = pd.DatetimeIndex(times)
    days = step / _DAY
    for shortest, longest, end, start in _CALENDAR_STEPS:
        if shortest <= days <= longest:
            return end if bool(index.is_month_end.all()) else start
    if days == 7:
        return f"W-{_WEEKDAYS[index[0].weekday()]}"
    if days == 1 and len(index) >= _ROWS_TO_TELL_WEEKENDS and not (index.dayofweek >= 5).any():
        return "B"
    return _fixed_alias(step)


def _fixed_alias(step: int) -> str:
    for alias, size in (("D", _DAY), ("h", 3_600_000_000_000), ("min", 60_000_000_000), ("s", 1_000_000_000)):
        if step % size == 0:
            return alias if step == size else f"{step // size}{alias}"
    return f"{max(1, step // 1_000_000)}ms"
