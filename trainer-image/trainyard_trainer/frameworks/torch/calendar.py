"""Calendar features of a step: its position in the day, the week and the year, and holidays."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.values.frequency import Frequency
from trainyard_trainer.data.values.zones import wall_times
from trainyard_trainer.frameworks.prophet.public_holidays import is_holiday

Times = npt.NDArray[np.datetime64]
Ordinals = npt.NDArray[np.int64]

_HARMONICS: Final = 2
_DAYS: Final = 7
_STEPS_PER_YEAR_OF_DAYS: Final = 250
"""Minimum number of steps per year for features of days: each step of business days or finer is on one day."""


@dataclass(frozen=True)
class Calendar:
    """The calendar features of a step. ``country`` is the two-letter code of the country whose holidays are used.

    With ``zone``, times in UTC are converted to its wall clock, because human activity follows that.
    """

    frequency: Frequency
    country: str | None = None
    zone: str = ""

    @property
    def columns(self) -> int:
        """The number of features of a step."""
        return int(self.features(np.array(["2024-01-01"], dtype="datetime64[ns]")).shape[1])

    def features(self, times: Times) -> npt.NDArray[np.float32]:
        """Return the features of times; shape (times, columns), each about in [-1, 1].

        Positions in the day and the year are sine and cosine, so that midnight is continuous. Days of the week are
        one-hot encoded, because a value of Saturday is seldom between those of Friday and Sunday.
        """
        index = pd.DatetimeIndex(wall_times(times, self.zone) if self.zone else times)
        per_year = self.frequency.per_year
        found: list[npt.NDArray[Any]] = []
        if per_year > 1:
            found += _waves((index.dayofyear.to_numpy() - 1) / 365.25)
        if per_year > _STEPS_PER_YEAR_OF_DAYS:
            found += [(index.dayofweek.to_numpy() == day).astype(np.float32) for day in range(_DAYS)]
            if self.country is not None:
                found.append(is_holiday(index, self.country))
        if per_year > 366:
            found += _waves((index.hour.to_numpy() * 60 + index.minute.to_numpy()) / 1440)
        return np.column_stack(found or [np.zeros(len(index))]).astype(np.float32)


def _waves(phase: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return sine and cosine of a phase in turns, and of its multiples."""
    angles = [2 * np.pi * number * phase for number in range(1, _HARMONICS + 1)]
    return [wave(angle) for angle in angles for wave in (np.sin, np.cos)]


def times_of(first: np.datetime64, steps: Ordinals, frequency: Frequency) -> Times:
    """Return the times at the given numbers of steps after a first one, as ``datetime64[ns]``.

    For months, quarters and years, only the month is exact, because their features need no more.
    """
    if frequency.months:
        months = first.astype("datetime64[M]") + steps * frequency.months
        return np.asarray(months.astype("datetime64[ns]"))
    if frequency.opening is not None:
        return np.asarray(frequency.open_after(np.array([first]), steps)[0])
    return np.asarray(first.astype("datetime64[ns]") + (steps * frequency.nanoseconds).astype("timedelta64[ns]"))
