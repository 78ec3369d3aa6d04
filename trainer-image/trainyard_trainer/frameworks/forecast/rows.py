"""The rows of a dataset for forecasts and their evaluation: on the panel, with the naive forecast."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.frequency import Frequency
from trainyard_trainer.evaluate.forecasts import Forecast
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.forecast.baseline import Baseline
from trainyard_trainer.frameworks.forecast.columns import Times
from trainyard_trainer.frameworks.forecast.panel import Panel, Positions


@dataclass(frozen=True)
class Unit:
    """Rows of the dataset: those before ``cut`` are known, those up to ``stop`` are forecast.

    ``series`` is a number.
    """

    series: int
    cut: int
    stop: int


@dataclass(frozen=True)
class Rows:
    """The dataset in the form that fits need.

    Attributes
    ----------
    times, values
        Times and values of its rows.
    regressors
        Shape (rows, regressors); ``None`` without any.
    baseline
        The naive forecast for comparison.
    """

    dataset: Dataset
    frequency: Frequency
    panel: Panel
    times: Times
    values: Floats
    regressors: Floats | None
    baseline: Baseline

    @classmethod
    def of(cls, dataset: Dataset, frequency: Frequency, regressors: Sequence[str], baseline: Baseline) -> Self:
        """Return the rows of a dataset, with some of its covariates."""
        return cls(
            dataset=dataset,
            frequency=frequency,
            panel=Panel.of(dataset, frequency),
            times=dataset.frame["ds"].to_numpy("datetime64[ns]"),
            values=dataset.frame["y"].to_numpy(dtype=np.float64),
            regressors=dataset.frame[list(regressors)].to_numpy(np.float64) if regressors else None,
            baseline=baseline,
        )

    def ahead(self, units: Sequence[Unit], steps: int) -> Floats | None:
        """Return the regressors of the steps after the cuts; shape (units, steps, regressors). NaN if unknown."""
        if self.regressors is None:
            return None
        found = np.full((len(units), steps, self.regressors.shape[1]), np.nan)
        for number, unit in enumerate(units):
            rows = np.arange(unit.cut, self.dataset.series[unit.series].stop)
            at = self.panel.steps[rows] - self.panel.steps[unit.cut - 1] - 1
            near = (at >= 0) & (at < steps)
            found[number, at[near]] = self.regressors[rows[near]]
        return found

    def positions(self, units: Sequence[Unit]) -> tuple[Positions, Positions]:
        """Return for each forecast row, unit by unit, the number of its unit and its step after the cut, from 0."""
        lengths = [unit.stop - unit.cut for unit in units]
        rows = np.concatenate([np.arange(unit.cut, unit.stop) for unit in units])
        cuts = np.repeat([unit.cut for unit in units], lengths)
        step = self.panel.steps[rows] - self.panel.steps[cuts - 1] - 1
        return np.repeat(np.arange(len(units)), lengths), np.maximum(step, 0)  # a cut can split a repeated hour

    def holdouts(self) -> tuple[Unit, ...]:
        """Return the holdouts of all series."""
        return tuple(Unit(number, one.split, one.stop) for number, one in enumerate(self.dataset.series))

    def judged(self, units: Sequence[Unit], forecasts: Floats) -> list[Forecast]:
        """Return the forecasts of units with the naive ones of the same rows."""
        found: list[Forecast] = []
        done = 0
        for unit in units:
            rows = slice(self.dataset.series[unit.series].start, unit.stop)
            predicted = forecasts[done : done + unit.stop - unit.cut]
            done += len(predicted)
            name = self.panel.names[unit.series]
            found.append(
                self.baseline.compare(name, self.panel.steps[rows], self.times[rows], self.values[rows], predicted)
            )
        return found
