"""The series of a dataset as methods take them: step by step, without gaps. NumPy only."""

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
"""A method is fitted to so many of the newest steps, or to so many seasons: older ones cost time and tell little."""


@dataclass(frozen=True)
class Layout:
    """All series of a dataset.

    Attributes
    ----------
    values
        Of each step of the panel; a gap has the value of one season before. Shape (steps,).
    seasons
        What a season may be, in steps, the shortest first.
    input_size
        The newest so many steps are fitted to.
    """

    rows: Rows
    values: Floats
    seasons: tuple[int, ...]
    input_size: int

    @classmethod
    def of(cls, dataset: Dataset, baseline: Baseline, input_size: int | None) -> Self:
        """Lay a dataset out. Without an ``input_size`` the season decides."""
        frequency = frequency_by(dataset.frequency or "D", dataset.clock)
        rows = Rows.of(dataset, frequency, (), baseline)
        seasons = sorted({one for one in (frequency.season, *frequency.seasons) if one > 1})
        size = input_size or max(_STEPS_KEPT, _SEASONS_KEPT * frequency.season)
        return cls(rows, rows.panel.filled(frequency.season), tuple(seasons), size)

    def task(self, number: int, cuts: Sequence[Cut], methods: Sequence[Method]) -> Task:
        """Return what a worker needs to forecast a series from some cuts."""
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
        """Return the cut of a unit: with all steps up to the last of its rows."""
        known = self.known(unit.series, unit.cut)
        return known, max(1, self.known(unit.series, unit.stop) - known)  # a cut may part autumn's repeated hour

    def known(self, number: int, row: int) -> int:
        """Return how many steps of a series lie before a row of the dataset."""
        return int(self.rows.panel.steps[row - 1] - self.rows.panel.begins[number]) + 1

    def naive(self, number: int, cut: Cut) -> Floats:
        """Return the seasonal naive forecast of a cut; shape (steps,)."""
        known, steps = cut
        begin = self.rows.panel.begins[number]
        values = self.values[begin : begin + known]
        return seasonal_naive(np.arange(known), values, np.arange(known, known + steps), self.rows.frequency.season)

    def ends(self, stops: Positions, columns: Columns, horizon: int) -> Ends:
        """Return where the series end that are known up to some rows."""
        return Ends(self.rows.panel.names, self.rows.times[stops - 1], self.rows.frequency, columns, horizon)
