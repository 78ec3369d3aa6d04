"""What is known of a step without any data: where it lies in the day, the week and the year, and holidays."""

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
"""Business days and finer steps: each lies on one day."""


@dataclass(frozen=True)
class Calendar:
    """The features of a step. ``country`` names whose holidays count, by its two letters.

    With ``zone`` times in UTC are looked at by its wall clock: people do not live by UTC.
    """

    frequency: Frequency
    country: str | None = None
    zone: str = ""

    @property
    def columns(self) -> int:
        """How many numbers describe a step."""
        return int(self.features(np.array(["2024-01-01"], dtype="datetime64[ns]")).shape[1])

    def features(self, times: Times) -> npt.NDArray[np.float32]:
        """Return the features of times; shape (times, columns), each about -1 to 1.

        The day and the year are waves, so that midnight lies beside midnight; the days of the week are marks of their
        own, since a Saturday is seldom between a Friday and a Sunday.
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
    turns = [2 * np.pi * number * phase for number in range(1, _HARMONICS + 1)]
    return [wave(turn) for turn in turns for wave in (np.sin, np.cos)]


def times_of(first: np.datetime64, steps: Ordinals, frequency: Frequency) -> Times:
    """Return the times that lie so many steps after a first one, as ``datetime64[ns]``.

    Of months, quarters and years only the month is kept: their features need no more.
    """
    if frequency.months:
        months = first.astype("datetime64[M]") + steps * frequency.months
        return np.asarray(months.astype("datetime64[ns]"))
    if frequency.opening is not None:
        return np.asarray(frequency.open_after(np.array([first]), steps)[0])
    return np.asarray(first.astype("datetime64[ns]") + (steps * frequency.nanoseconds).astype("timedelta64[ns]"))
