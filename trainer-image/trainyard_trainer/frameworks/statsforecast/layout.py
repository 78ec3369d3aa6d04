"""The series of a dataset in the form of the methods: step by step, without gaps. This module only needs NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.frequency import frequency_by
from trainyard_trainer.evaluate.baselines import seasonal_naive
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.forecast.baseline import Baseline
from trainyard_trainer.frameworks.forecast.columns import Columns
from trainyard_trainer.frameworks.forecast.ends import Ends
from trainyard_trainer.frameworks.forecast.panel import Positions
from trainyard_trainer.frameworks.forecast.rows import Rows, Unit
from trainyard_trainer.frameworks.statsforecast.fit import Cut, Task
from trainyard_trainer.frameworks.statsforecast.methods import Method

_STEPS_KEPT: Final = 2_500
_SEASONS_KEPT: Final = 5
"""A method is fitted to this many of the newest steps or seasons. Older ones take time and add little."""


@dataclass(frozen=True)
class Layout:
    """All series of a dataset.

    Attributes
    ----------
    values
        Value of each step of the panel; shape (steps,). A gap has the value of one season before.
    seasons
        Possible seasons in steps, shortest first.
    input_size
        Number of the newest steps to fit to.
    """

    rows: Rows
    values: Floats
    seasons: tuple[int, ...]
    input_size: int

    @classmethod
    def of(cls, dataset: Dataset, baseline: Baseline, input_size: int | None) -> Self:
        """Return the layout of a dataset. The default of ``input_size`` depends on the season."""
        frequency = frequency_by(dataset.frequency or "D", dataset.clock)
        rows = Rows.of(dataset, frequency, (), baseline)
        seasons = sorted({one for one in (frequency.season, *frequency.seasons) if one > 1})
        size = input_size or max(_STEPS_KEPT, _SEASONS_KEPT * frequency.season)
        return cls(rows, rows.panel.filled(frequency.season), tuple(seasons), size)

    def task(self, number: int, cuts: Sequence[Cut], methods: Sequence[Method]) -> Task:
        """Return the task for a worker to forecast a series from some cuts."""
        begin, end = self.rows.panel.begins[number : number + 2]
        return Task(
            self.rows.panel.names[number],
            self.values[begin:end],
            tuple(cuts),
            tuple(methods),
            self.rows.frequency.season,
            self.seasons,
            self.input_size,
        )

    def cut(self, unit: Unit) -> Cut:
        """Return the cut of a unit, with all steps up to its last row."""
        known = self.known(unit.series, unit.cut)
        return known, max(1, self.known(unit.series, unit.stop) - known)  # a cut can be inside of a repeated hour

    def known(self, number: int, row: int) -> int:
        """Return the number of steps of a series before a row of the dataset."""
        return int(self.rows.panel.steps[row - 1] - self.rows.panel.begins[number]) + 1

    def naive(self, number: int, cut: Cut) -> Floats:
        """Return the seasonal naive forecast of a cut; shape (steps,)."""
        known, steps = cut
        begin = self.rows.panel.begins[number]
        values = self.values[begin : begin + known]
        return seasonal_naive(np.arange(known), values, np.arange(known, known + steps), self.rows.frequency.season)

    def ends(self, stops: Positions, columns: Columns, horizon: int) -> Ends:
        """Return the ends of the series, if they are known up to the given rows."""
        return Ends(self.rows.panel.names, self.rows.times[stops - 1], self.rows.frequency, columns, horizon)
