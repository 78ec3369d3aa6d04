"""The windows that score a fit before the holdout is used: the last windows of each series."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from trainyard_api.metric_goals import goal_of
from trainyard_trainer.evaluate import names
from trainyard_trainer.evaluate.forecasts import judge, judge_rows
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.forecast.panel import Positions
from trainyard_trainer.frameworks.forecast.rows import Rows, Unit
from trainyard_trainer.frameworks.forecast.windows import origins_wanted, windows_of
from trainyard_trainer.frameworks.lightgbm_forecast.features import FeatureSpec
from trainyard_trainer.frameworks.lightgbm_forecast.model import Trees
from trainyard_trainer.frameworks.lightgbm_forecast.state import State, static_numbers

_ROWS_PER_JUDGED: Final = 10
"""While there are this many training rows per held-out row, more origins are used than requested, to reduce chance."""

_MOST_UNITS: Final = 500
"""Maximum number of windows. More would only take time."""


@dataclass(frozen=True)
class TreeRows(Rows):
    """The rows of a dataset, forecast by trees."""

    def forecast(self, trees: Trees, units: Sequence[Unit], threads: int, state: State | None = None) -> Floats:
        """Return the forecasts of all held-out rows, unit by unit; shape (rows,). ``state`` is that of the units."""
        number, step = self.positions(units)
        steps = int(step.max()) + 1
        start = self.state(trees.feature_spec, units) if state is None else state
        return trees.forecast(start, steps, self.ahead(units, steps), threads)[number, step]

    def state(self, feature_spec: FeatureSpec, units: Sequence[Unit]) -> State:
        """Return the state at the cuts of some units."""
        longest = int(np.diff(self.panel.begins).max())  # the steps of a day at 60 Hz are five million
        keep = feature_spec.reach + min(self.frequency.season, longest)
        series = np.array([unit.series for unit in units], dtype=np.intp)
        cuts = np.array([unit.cut for unit in units], dtype=np.intp)
        static = static_numbers(self.dataset.static, self.panel.names, feature_spec.static, feature_spec.texts)
        ahead = self.panel.steps[cuts - 1][:, None] + np.arange(1, feature_spec.lagged_by + 1)
        lagged = self.lagged(feature_spec, series[:, None], ahead)
        return State.at(
            self.panel,
            self.times,
            series,
            cuts,
            keep=keep,
            shortest=feature_spec.shortest,
            static=static,
            lagged=lagged,
        )

    def lagged(self, feature_spec: FeatureSpec, series: Positions, steps: Positions) -> Floats:
        """Return the lagged covariates of steps of series, of any common shape. The covariates are the last axis.

        A value is NaN if the series had no row so many steps earlier.
        """
        if not feature_spec.lagged:
            return np.empty((*steps.shape, 0))
        values = self.dataset.frame[list(feature_spec.lagged)].to_numpy(np.float64)
        grid = np.full((len(self.panel.values), values.shape[1]), np.nan)
        for one in self.dataset.series:
            grid[self.panel.steps[one.start : one.stop]] = values[one.start : one.stop]
        at = steps - feature_spec.lagged_by
        return np.where((at >= self.panel.begins[series])[..., None], grid[np.maximum(at, 0)], np.nan)


@dataclass(frozen=True)
class Origins:
    """The windows before the holdout that score fits. ``cuts`` has the first row of the first window of each series."""

    rows: TreeRows
    metric: str
    cuts: Positions
    units: tuple[Unit, ...]
    table: pd.DataFrame
    """The held-out rows in the form of ``judge_rows``. Their ``predicted`` is 0."""

    @classmethod
    def of(cls, rows: TreeRows, metric: str, horizon: int, folds: int) -> "Origins | None":
        """Return the windows, or ``None`` if every series is too short.

        Parameters
        ----------
        metric
            The metric of the score. ``mae`` is used instead if the metric has no direction, or no value on the windows.
        folds
            Minimum number of origins, if a series is long enough.
        """
        series = rows.dataset.series
        wanted = origins_wanted(rows.dataset, horizon, folds, _ROWS_PER_JUDGED)
        units = windows_of(rows, horizon, wanted, range(len(series)))
        cuts = np.array([one.split for one in series], dtype=np.intp)
        for unit in reversed(units):
            cuts[unit.series] = unit.cut
        if not units:
            return None
        chosen = np.unique(np.linspace(0, len(units) - 1, min(_MOST_UNITS, len(units))).round().astype(int))
        units = tuple(units[number] for number in chosen)
        count = sum(unit.stop - unit.cut for unit in units)
        judged = judge(rows.judged(units, np.zeros(count)))
        usable = goal_of(metric) is not None and metric != names.SERIES_BELOW_BASELINE and metric in judged.metrics
        return cls(rows, metric if usable else "mae", cuts, units, judged.holdout)

    def state(self, feature_spec: FeatureSpec) -> State:
        """Return the state at the start of the windows."""
        return self.rows.state(feature_spec, self.units)

    def score(self, trees: Trees, state: State, threads: int) -> float:
        """Forecast all windows and return the metric, or NaN if it is undefined. ``state`` is that at their start."""
        predicted = self.rows.forecast(trees, self.units, threads, state)
        return judge_rows(self.table.assign(predicted=predicted)).metrics.get(self.metric, float("nan"))

    def loss(self, score: float) -> float:
        """Return a number that is smaller for a better score."""
        return -score if goal_of(self.metric) == "Maximize" else score
