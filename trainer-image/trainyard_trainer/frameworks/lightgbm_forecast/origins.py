"""Which windows judge a fit before the holdout is looked at: the last ones of each series, forecast and compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import pandas as pd

from trainyard_api.metric_goals import goal_of
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.folds import rolling_origins
from trainyard_trainer.data.frequency import Frequency
from trainyard_trainer.evaluate import names
from trainyard_trainer.evaluate.forecasts import Forecast, judge, judge_rows
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.forecast_baseline import Baseline
from trainyard_trainer.frameworks.forecast_columns import Times
from trainyard_trainer.frameworks.lightgbm_forecast.features import Recipe
from trainyard_trainer.frameworks.lightgbm_forecast.model import Trees
from trainyard_trainer.frameworks.lightgbm_forecast.panel import Panel, Positions, State

_MOST_ORIGINS: Final = 8
_ROWS_PER_JUDGED: Final = 10
"""As long as so many rows stand behind each that judges, there are more origins than asked for: one is chance."""

_MOST_UNITS: Final = 500
"""So many series and origins judge; more would only take time."""


@dataclass(frozen=True)
class Unit:
    """Rows of the dataset: those before ``cut`` are known, those up to ``stop`` judge; ``series`` is a number."""

    series: int
    cut: int
    stop: int


@dataclass(frozen=True)
class Rows:
    """The dataset as the fits see it.

    Attributes
    ----------
    times, values
        Of its rows.
    regressors
        Shape (rows, regressors); ``None`` without any.
    baseline
        What stands beside each forecast.
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
        """Lay a dataset out, with some of its covariates."""
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
        """Return the regressors of the steps behind the cuts; shape (units, steps, regressors); NaN where unknown."""
        if self.regressors is None:
            return None
        found = np.full((len(units), steps, self.regressors.shape[1]), np.nan)
        for number, unit in enumerate(units):
            rows = np.arange(unit.cut, self.dataset.series[unit.series].stop)
            at = self.panel.steps[rows] - self.panel.steps[unit.cut - 1] - 1
            near = at < steps
            found[number, at[near]] = self.regressors[rows[near]]
        return found

    def places(self, units: Sequence[Unit]) -> tuple[Positions, Positions]:
        """Return for each row that judges, unit by unit, the number of its unit and its step behind the cut, from 0."""
        lengths = [unit.stop - unit.cut for unit in units]
        rows = np.concatenate([np.arange(unit.cut, unit.stop) for unit in units])
        cuts = np.repeat([unit.cut for unit in units], lengths)
        return np.repeat(np.arange(len(units)), lengths), self.panel.steps[rows] - self.panel.steps[cuts - 1] - 1

    def forecast(self, trees: Trees, units: Sequence[Unit], threads: int, state: State | None = None) -> Floats:
        """Return the forecasts of all rows that judge, unit by unit; shape (rows,). ``state`` is that of the units."""
        number, step = self.places(units)
        steps = int(step.max()) + 1
        start = self.state(trees.recipe, units) if state is None else state
        return trees.forecast(start, steps, self.ahead(units, steps), threads)[number, step]

    def state(self, recipe: Recipe, units: Sequence[Unit]) -> State:
        """Return what is known at the cuts of some units."""
        keep = recipe.reach + self.frequency.season
        series = np.array([unit.series for unit in units], dtype=np.intp)
        cuts = np.array([unit.cut for unit in units], dtype=np.intp)
        return State.at(self.panel, self.times, series, cuts, keep=keep, shortest=recipe.shortest)

    def judged(self, units: Sequence[Unit], forecasts: Floats) -> list[Forecast]:
        """Return the forecasts of units beside the naive ones on the same rows."""
        found: list[Forecast] = []
        done = 0
        for unit in units:
            rows = slice(self.dataset.series[unit.series].start, unit.stop)
            predicted = forecasts[done : done + unit.stop - unit.cut]
            done += len(predicted)
            name = self.panel.names[unit.series]
            found.append(
                self.baseline.beside(name, self.panel.steps[rows], self.times[rows], self.values[rows], predicted)
            )
        return found


@dataclass(frozen=True)
class Origins:
    """The windows before the holdout that judge fits; ``cuts`` has for each series the row where the first begins."""

    rows: Rows
    metric: str
    cuts: Positions
    units: tuple[Unit, ...]
    table: pd.DataFrame
    """The rows that judge, as ``judge_rows`` wants them; their ``predicted`` is 0."""

    @classmethod
    def of(cls, rows: Rows, metric: str, horizon: int, folds: int) -> "Origins | None":
        """Find them; ``None`` if every series is too short.

        Parameters
        ----------
        metric
            What counts; those without a better and a worse side, or without a value on the windows, count as ``mae``.
        folds
            At least so many origins, where a series is long enough.
        """
        series = rows.dataset.series
        typical = int(np.median([one.split - one.start for one in series]))
        wanted = max(folds, min(_MOST_ORIGINS, typical // (_ROWS_PER_JUDGED * horizon)))
        cuts = np.array([one.split for one in series], dtype=np.intp)
        units: list[Unit] = []
        for number, one in enumerate(series):
            steps = rows.panel.steps[one.start : one.stop]
            found = rolling_origins(steps, holdout=one.holdout, horizon=horizon, folds=wanted)
            if found:
                cuts[number] = one.start + found[0].cut
            units += [Unit(number, one.start + fold.cut, one.start + fold.stop) for fold in found]
        if not units:
            return None
        chosen = np.unique(np.linspace(0, len(units) - 1, min(_MOST_UNITS, len(units))).round().astype(int))
        units = [units[number] for number in chosen]
        count = sum(unit.stop - unit.cut for unit in units)
        judged = judge(rows.judged(units, np.zeros(count)))
        usable = goal_of(metric) is not None and metric != names.SERIES_BELOW_BASELINE and metric in judged.metrics
        return cls(rows, metric if usable else "mae", cuts, tuple(units), judged.holdout)

    def state(self, recipe: Recipe) -> State:
        """Return what is known where the windows begin."""
        return self.rows.state(recipe, self.units)

    def score(self, trees: Trees, state: State, threads: int) -> float:
        """Forecast all windows and return the metric, NaN if they do not allow it; ``state`` is where they begin."""
        predicted = self.rows.forecast(trees, self.units, threads, state)
        return judge_rows(self.table.assign(predicted=predicted)).metrics.get(self.metric, float("nan"))

    def loss(self, score: float) -> float:
        """Return a number that is less for a better score."""
        return -score if goal_of(self.metric) == "Maximize" else score
