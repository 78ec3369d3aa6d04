"""Many series on a grid without gaps. This module only needs NumPy.

A lag counts steps and not rows, so each series has one value per step. For a missing row, the value of one season
before is used as an input. Such a step is never used for evaluation.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.frequency import Frequency
from trainyard_trainer.evaluate.metrics import Floats

Positions = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Panel:
    """All series of a dataset, one after the other.

    Attributes
    ----------
    begins
        Start of each series, and the end of the last; shape (series + 1,).
    steps
        The step of each row of the dataset, as a position in the panel; shape (rows,).
    values
        Value of each step, NaN in gaps; shape (steps,).
    """

    names: tuple[str, ...]
    begins: Positions
    steps: Positions
    values: Floats

    @classmethod
    def of(cls, dataset: Dataset, frequency: Frequency) -> Self:
        """Return the panel of a dataset. Of two rows at one step, the later one is used."""
        times, rows = dataset.frame["ds"].to_numpy(), dataset.frame["y"].to_numpy(dtype=np.float64)
        begins, steps = [0], np.zeros(len(rows), dtype=np.intp)
        for one in dataset.series:
            ordinals = frequency.ordinals(times[one.start : one.stop])
            steps[one.start : one.stop] = begins[-1] + ordinals - ordinals[0]
            begins.append(int(steps[one.stop - 1]) + 1)
        values = np.full(begins[-1], np.nan)
        for one in dataset.series:  # a part of a dataset has unused rows between its series
            values[steps[one.start : one.stop]] = rows[one.start : one.stop]
        return cls(tuple(one.name for one in dataset.series), np.array(begins, dtype=np.intp), steps, values)

    def filled(self, season: int) -> Floats:
        """Return all values, with filled gaps; shape (steps,)."""
        parts = [filled(self.values[a:b], season) for a, b in zip(self.begins, self.begins[1:], strict=False)]
        return np.concatenate(parts)

    def numbers(self) -> Positions:
        """Return the series number of each step; shape (steps,)."""
        return np.repeat(np.arange(len(self.names)), np.diff(self.begins))


def filled(values: Floats, season: int) -> Floats:
    """Fill gaps of one series with the value of one season before, else with the last one.

    Parameters
    ----------
    values
        Shape (steps,). NaN in gaps, which are filled, and at the start, which is kept.
    """
    known = ~np.isnan(values)
    if known.all() or not known.any():
        return values
    first = int(known.argmax())
    rest = values[first:]
    season = min(season, len(rest))
    grid = np.full(-(-len(rest) // season) * season, np.nan)
    grid[: len(rest)] = rest
    cycles = grid.reshape(-1, season)
    cycles[0] = _carried(cycles[0][:, None])[:, 0]  # the first season has no season before it
    return np.concatenate([values[:first], _carried(cycles).reshape(-1)[: len(rest)]])


def _carried(table: Floats) -> Floats:
    """Return a table with each gap filled by the value above it. Gaps at the top of a column are kept."""
    rows = np.where(np.isnan(table), 0, np.arange(len(table))[:, None])
    newest: Positions = np.maximum.accumulate(rows, axis=0)
    return np.take_along_axis(table, newest, axis=0)
