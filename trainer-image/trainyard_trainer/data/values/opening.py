"""Opening hours of data: days of the week and hours of the day with rows. Closed times are not steps."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.datetime64]
Ordinals = npt.NDArray[np.int64]

EVERY_DAY: Final = "1111111"
BUSINESS: Final = "1111100"
_DAY: Final = 86_400_000_000_000
_MINUTE: Final = 60_000_000_000
_MINUTES: Final = 1440
_MONDAY: Final = np.datetime64("1970-01-05", "ns").astype(np.int64)
_FORM: Final = re.compile(r"([01]{7})(?:-([0-2]\d)([0-5]\d)-([0-2]\d)([0-5]\d))?")
DAY_NAMES: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Opening:
    """The open steps of a week.

    Attributes
    ----------
    step
        Nanoseconds from one step to the next. A day must be a multiple of it.
    week
        The days as 1 (open) or 0 (closed), Monday first.
    opens, closes
        Minutes of the day: the start of the first step and the end of the last one. If ``closes`` is before ``opens``,
        it is on the next day.
    """

    step: int
    week: str = EVERY_DAY
    opens: int = 0
    closes: int = _MINUTES

    @classmethod
    def read(cls, step: int, text: str) -> Self | None:
        """Parse ``1111110`` or ``1111110-0800-2000``. Return ``None`` for other text."""
        match = _FORM.fullmatch(text)
        if match is None or "1" not in match[1]:
            return None
        if match[2] is None:
            return cls(step, match[1])
        opens, closes = (60 * int(match[index]) + int(match[index + 1]) for index in (2, 4))
        return cls(step, match[1], opens, closes) if opens != closes and max(opens, closes) <= _MINUTES else None

    def __str__(self) -> str:
        if (self.opens, self.closes) == (0, _MINUTES):
            return self.week
        return "-".join(
            [self.week, *(f"{minutes // 60:02d}{minutes % 60:02d}" for minutes in (self.opens, self.closes))]
        )

    @property
    def per_day(self) -> int:
        """Number of steps of an open day."""
        return self.per_week // self.week.count("1")

    @property
    def per_week(self) -> int:
        """Number of steps of a week."""
        return len(self._open)

    def describe(self) -> str:
        """Return text about closed days and opening hours."""
        days = [name for name, is_open in zip(DAY_NAMES, self.week, strict=True) if is_open == "0"]
        words = [f"no rows on {', '.join(days)}"] if days else []
        if (self.opens, self.closes) != (0, _MINUTES):
            words.append(f"rows only from {_clock(self.opens)} to {_clock(self.closes)}")
        return ", ".join(words)

    def is_open(self, times: Times) -> npt.NDArray[np.bool_]:
        """Return a mask of the times on an open step."""
        return np.isin(self._slots(times) % self._slots_per_week, self._open)

    def ordinals(self, times: Times) -> Ordinals:
        """Return the number of the open step of each time. A closed time gets the number of the next open step."""
        weeks, slot = np.divmod(self._slots(times), self._slots_per_week)
        return np.asarray(weeks * len(self._open) + np.searchsorted(self._open, slot), dtype=np.int64)

    def after(self, ends: Times, ahead: npt.NDArray[Any]) -> Times:
        """Return the open steps ``ahead`` steps after each end; shape (ends, steps).

        Each keeps the offset of its end in a step.
        """
        weeks, index = np.divmod(self.ordinals(ends)[:, None] + ahead[None, :], len(self._open))
        slots = weeks * self._slots_per_week + self._open[index]
        late = (ends.astype("datetime64[ns]").astype(np.int64) - _MONDAY) % self.step
        return np.asarray((slots * self.step + _MONDAY + late[:, None]).astype("datetime64[ns]"))

    def _slots(self, times: Times) -> Ordinals:
        return np.asarray((times.astype("datetime64[ns]").astype(np.int64) - _MONDAY) // self.step, dtype=np.int64)

    @property
    def _slots_per_week(self) -> int:
        return 7 * _DAY // self.step

    @cached_property
    def _open(self) -> Ordinals:
        """The open steps of a week in order, as positions in the week."""
        slots = np.arange(self._slots_per_week)
        minutes = slots * self.step // _MINUTE
        day, minute = np.divmod(minutes, _MINUTES)
        if self.closes > self.opens:
            inside = (minute >= self.opens) & (minute < self.closes)
        else:  # over midnight: the early hours belong to the previous day
            inside = (minute >= self.opens) | (minute < self.closes)
            day = np.where(minute < self.closes, (day - 1) % 7, day)
        days = np.array([is_open == "1" for is_open in self.week])
        return np.asarray(slots[inside & days[day]], dtype=np.int64)


def find(times: Times, step: int, weeks_needed: int) -> Opening | None:
    """Return the opening hours of a table. Return ``None`` if it is always open, or has too few weeks to detect it.

    Parameters
    ----------
    times
        Times of all rows, in any order; not empty.
    step
        Nanoseconds. ``None`` is returned unless a day is a multiple of it.
    """
    since = times.astype("datetime64[ns]").astype(np.int64) - _MONDAY
    if (since.max() - since.min()) / (7 * _DAY) < weeks_needed or _DAY % step:
        return None
    per_day = _DAY // step
    hours = np.isin(np.arange(per_day), np.unique(since // step % per_day))
    opens, closes = _open_hours(hours, step) if step < _DAY else (0, _MINUTES)
    day = since // _DAY
    if closes < opens:
        day = (since - closes * _MINUTE) // _DAY
    days = np.isin(np.arange(7), np.unique(day % 7))
    found = Opening(step, "".join("1" if is_open else "0" for is_open in days), opens, closes)
    return None if found.per_week == 7 * per_day else found


def _open_hours(hours: npt.NDArray[np.bool_], step: int) -> tuple[int, int]:
    """Return start and end in minutes of the one interval of a day with rows.

    If there are several, return the whole day.
    """
    edges = np.flatnonzero(np.diff(np.append(hours, hours[:1]).astype(np.int8)) != 0) + 1
    if len(edges) != 2 or step % _MINUTE:
        return 0, _MINUTES
    first, second = (int(edge) * step // _MINUTE for edge in edges)
    opens, closes = (second, first) if hours[0] else (first, second)
    return opens % _MINUTES, closes if closes or opens else _MINUTES


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
