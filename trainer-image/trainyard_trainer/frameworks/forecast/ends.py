"""The ends of the series of a model, and the steps after them that a request needs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.values.frequency import Frequency
from trainyard_trainer.data.values.zones import instants_of, wall_times
from trainyard_trainer.errors import DataError
from trainyard_trainer.frameworks.forecast.columns import Columns, Questions, Times, unknown_series
from trainyard_trainer.frameworks.forecast.panel import Positions


@dataclass(frozen=True)
class Ends:
    """The newest rows of the series of a model.

    All series can be forecast up to the same time: ``horizon`` steps after the newest row of all.

    Attributes
    ----------
    times
        Time of the newest row of each series, by the clock of the model; shape (series,).
    """

    names: tuple[str, ...]
    times: Times
    frequency: Frequency
    columns: Columns
    horizon: int

    def reach(self) -> npt.NDArray[np.int64]:
        """Return how many steps after its end each series can be forecast; shape (series,)."""
        ordinals = self.frequency.ordinals(self.times)
        return np.asarray(ordinals.max() - ordinals + self.horizon + self.frequency.steps_per_change)

    def positions(self, asked: Questions) -> tuple[Positions, npt.NDArray[np.int64]]:
        """Return the series number of each requested row, and its step after the end of the series, from 1.

        Raises
        ------
        DataError
            If a series is unknown, or a time is before the first step or after the horizon.
        """
        number_of = {name: number for number, name in enumerate(self.names)}
        numbers = np.zeros(len(asked.times), dtype=np.intp)
        steps = np.zeros(len(asked.times), dtype=np.int64)
        for name, rows in asked.by_series():
            if name is None and not number_of:
                raise DataError("the model has no series that it can forecast; train again")
            if name is not None and name not in number_of:
                raise unknown_series(self.columns, name, len(number_of))
            numbers[rows] = 0 if name is None else number_of[name]
            steps[rows] = self._steps(int(numbers[rows[0]]), asked.times, rows)
        return numbers, steps

    def _steps(self, number: int, times: Times, rows: Positions) -> npt.NDArray[np.int64]:
        end, newest = self.times[number], self.times.max()
        ordinals = self.frequency.ordinals(np.concatenate([[end, newest], times[rows]]))
        steps, last = ordinals[2:] - ordinals[0], ordinals[1] - ordinals[0] + self.horizon
        if self.frequency.zone:  # in the repeated hour in autumn, the second request is for the step after the first
            steps = np.where((steps == 0) & (times[rows] > end), 1, steps)
            last += self.frequency.steps_per_change
        outside = (steps < 1) | (steps > last)
        if outside.any():
            row = rows[int(outside.argmax())]
            raise DataError(
                f"column {self.columns.time!r}, data row {row + 1}: {pd.Timestamp(times[row]).isoformat()} is outside "
                f"the range of the model for series {self.names[number]!r}, which is {last} steps of "
                f"{self.frequency.alias} after {pd.Timestamp(end).isoformat()}; request times in this range, or train "
                "with newer data or a longer spec.forecast.horizon"
            )
        return np.asarray(steps)


def times_after(ends: Times, steps: int, frequency: Frequency) -> Times:
    """Return the times of the steps after each end; shape (ends, steps). For months, only the month is exact."""
    ahead = np.arange(1, steps + 1)
    if frequency.opening is not None:
        return frequency.after(ends, steps)
    if frequency.zone:
        wall = wall_times(ends, frequency.zone)[:, None] + (ahead * frequency.nanoseconds).astype("timedelta64[ns]")
        return instants_of(wall, frequency.zone)
    if frequency.months:
        months = ends.astype("datetime64[M]")[:, None] + ahead * frequency.months
        return months.astype("datetime64[ns]")
    return np.asarray(ends[:, None] + (ahead * frequency.nanoseconds).astype("timedelta64[ns]"))
