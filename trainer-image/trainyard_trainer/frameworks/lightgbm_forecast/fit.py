"""Fitting the one model of many series: which shape it has, how many rounds, and the fits that are judged and kept."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import lightgbm
import numpy as np
import numpy.typing as npt

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.frequency import frequency_of
from trainyard_trainer.errors import ConfigError, DataError, Interrupted
from trainyard_trainer.evaluate.names import searched_metric
from trainyard_trainer.frameworks.base import Context
from trainyard_trainer.frameworks.forecast_baseline import Baseline
from trainyard_trainer.frameworks.forecast_panel import Positions
from trainyard_trainer.frameworks.forecast_windows import SCALE_FREE, SQUARED
from trainyard_trainer.frameworks.lightgbm import parameters as lightgbm_parameters
from trainyard_trainer.frameworks.lightgbm_forecast.features import (
    Matrix,
    Recipe,
    bases_of,
    calendar,
    far_recipe,
    near_recipe,
    past_features,
)
from trainyard_trainer.frameworks.lightgbm_forecast.model import Trees
from trainyard_trainer.frameworks.lightgbm_forecast.origins import Origins, TreeRows

ROUNDS_PER_LOOK: Final = 10
"""After so many rounds the windows are forecast again: a look costs as much as some rounds."""

MANY_ZEROS: Final = 0.2
"""Above this share of zeros, and without negative values, the errors are taken to be those of counts."""

_ROWS_TO_CHOOSE_BY: Final = 100_000
"""Shapes are tried on the series of so many rows; the number of rounds is then found on all."""

_ROUNDS_UNJUDGED: Final = 100
"""Where every series is too short for a window that would tell when to stop."""

_CLEARLY: Final = 0.03
"""Part of a loss by which a shape must be better than those that come before it."""

_LEAST_IN_LEAF: Final = 3
_USUAL_IN_LEAF: Final = 20
_NEVER_NEGATIVE: Final = frozenset({"tweedie", "poisson", "gamma"})

Report = Callable[[int, float], None]


@dataclass(frozen=True)
class Choice:
    """A shape that was tried: its best number of rounds, and the metric there; ``None`` where nothing could judge."""

    recipe: Recipe
    rounds: int
    score: float | None


class Fitter:
    """All fits of one job: features are computed once, and binned once for every part of the rows."""

    def __init__(self, dataset: Dataset, context: Context) -> None:
        spec = context.config.spec
        if spec.forecast is None:
            raise ConfigError("task Forecast needs the section forecast (at least forecast.horizon)")
        self.horizon = spec.forecast.horizon
        frequency = frequency_of(dataset.frequency or "D")
        self.rows = TreeRows.of(dataset, frequency, dataset.features, Baseline.chosen(dataset, spec))
        self._context = context
        self._metric = searched_metric(spec)
        folds = spec.split.folds if spec.split is not None else 2
        self.origins = Origins.of(self.rows, self._metric, self.horizon, folds)
        self.splits = np.array([one.split for one in dataset.series], dtype=np.intp)
        self.stops = np.array([one.stop for one in dataset.series], dtype=np.intp)
        self._past: dict[tuple[Any, ...], Matrix] = {}
        self._binned: dict[tuple[Any, ...], lightgbm.Dataset] = {}

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all parameters to train with: the user's over our defaults. Raises ConfigError."""
        spec, known = self._context.config.spec, self._known_values()
        counts = bool(known.min() >= 0) and float(np.mean(known == 0)) > MANY_ZEROS
        objective = "tweedie" if counts else "l2" if self._metric in SQUARED else "l1"
        leaf = int(np.clip(len(known) // _USUAL_IN_LEAF, _LEAST_IN_LEAF, _USUAL_IN_LEAF))
        defaults = {"objective": objective, "min_data_in_leaf": leaf}
        resolved = lightgbm_parameters.resolved(
            defaults | lightgbm_parameters.checked(given),
            "Regression",
            classes=0,
            seed=spec.split.seed if spec.split is not None else 42,
            threads=self._threads(len(known)),
        )
        # What counts are the forecasts of whole windows, which LightGBM cannot make itself.
        return {**resolved, "metric": "None", "feature_pre_filter": False}

    def choose(self, parameters: Mapping[str, Any], progress: Callable[[float, str], None]) -> Choice:
        """Try each shape on the windows before the holdout, and return the best with its number of rounds.

        Raises
        ------
        DataError
            If every series is too short to be learned from.
        """
        shapes = self.shapes(parameters)
        if self.origins is None:
            return Choice(shapes[0], min(_ROUNDS_UNJUDGED, parameters["num_iterations"]), None)
        sample = self._sample()
        tried = []
        for number, shape in enumerate(shapes):
            progress(number / (len(shapes) + 1), f"trying lags {shape.lags[0]} to {shape.lags[-1]}")
            tried.append(self.judge(shape, parameters, sample=sample))
        best = self._best(tried)
        if sample is None:
            return best
        progress(len(shapes) / (len(shapes) + 1), "finding the number of rounds")
        return self.judge(best.recipe, parameters)

    def judge(
        self,
        recipe: Recipe,
        parameters: Mapping[str, Any],
        report: Report | None = None,
        sample: Positions | None = None,
    ) -> Choice:
        """Fit on what lies before the windows, and stop when their forecasts no longer get better.

        Parameters
        ----------
        report
            Told the metric at each look.
        sample
            Numbers of the series to fit on; all without.
        """
        if self.origins is None:
            raise DataError("no series is long enough for a window to judge by; give longer series")
        watch = _Watch(self, self.origins, recipe, parameters, report)
        self.fit(recipe, self.origins.cuts, parameters, watch, sample)
        return Choice(recipe, watch.rounds, watch.score)

    def fit(
        self,
        recipe: Recipe,
        cuts: Positions,
        parameters: Mapping[str, Any],
        watch: "Callable[[Any], None]",
        sample: Positions | None = None,
    ) -> Trees:
        """Fit on the rows before the cuts, one of each series."""
        table = self._table(recipe, cuts, parameters, sample)
        try:
            booster = lightgbm.train(
                {**parameters, "early_stopping_round": 0}, table, callbacks=[watch], keep_training_booster=True
            )
        except lightgbm.basic.LightGBMError as error:
            uri = self.rows.dataset.origin.uri
            raise ConfigError(f"spec.parameters: LightGBM cannot train with them on {uri}: {error}") from error
        return self.trees(booster, recipe)

    def trees(self, booster: lightgbm.Booster, recipe: Recipe) -> Trees:
        """Return a booster with what its columns mean."""
        return Trees(booster, recipe, self.rows.frequency, self.rows.dataset.clock)

    def plain(self, begin: float, end: float) -> "Callable[[Any], None]":
        """Return a callback that only tells how far a fit is, and ends it when the pod must stop."""

        def look(state: Any) -> None:
            self.heed(state.iteration)
            if state.iteration % ROUNDS_PER_LOOK == 0:
                done = (state.iteration - state.begin_iteration) / (state.end_iteration - state.begin_iteration)
                self._context.progress(begin + done * (end - begin), f"round {state.iteration}")

        return look

    def heed(self, iteration: int) -> None:
        """Raise Interrupted when the pod must stop."""
        if self._context.stop():
            raise Interrupted(f"stopped in round {iteration}; the next attempt starts again")

    def shapes(self, parameters: Mapping[str, Any]) -> list[Recipe]:
        """Return what the model may look like.

        Near lags follow a series closely and walk over the horizon on their own forecasts; far ones never do. Both may
        count from the level or from the season before, which is what a trend needs, or from zero. The plainer stand
        first.
        """
        lengths = self._lengths()
        span = float((self.rows.times.max() - self.rows.times.min()) / np.timedelta64(1, "D"))
        regressors = self.rows.dataset.features
        forecast = self._context.config.spec.forecast
        near = near_recipe(
            self.rows.frequency,
            lengths,
            span_days=span,
            regressors=regressors,
            holidays_country=forecast.holidays_country if forecast else None,
        )
        if max(lengths) < near.shortest:
            raise DataError(
                f"{self.rows.dataset.origin.uri}: no series has the {near.shortest} steps before its holdout that a "
                "model of lags needs; give longer series, or use framework Prophet"
            )
        return list(self._variants(near, lengths, positive=parameters["objective"] in _NEVER_NEGATIVE))

    def _variants(self, near: Recipe, lengths: list[int], *, positive: bool) -> Iterator[Recipe]:
        season = self.rows.frequency.season
        far = far_recipe(near, season, self.horizon, lengths)
        if not positive:
            yield from bases_of(near, season)
        yield near
        if far is None or max(lengths) < far.shortest:
            return
        yield far  # first: without forecasts of its own to rest on, it needs no level to hold on to
        if not positive:
            yield from bases_of(far, season)

    def _lengths(self) -> list[int]:
        steps, series = self.rows.panel.steps, self.rows.dataset.series
        return [int(steps[one.split - 1] - steps[one.start]) + 1 for one in series]

    def _known_values(self) -> npt.NDArray[np.float64]:
        return np.concatenate([self.rows.values[one.start : one.split] for one in self.rows.dataset.series])

    def _threads(self, rows: int) -> int:
        return max(1, min(self._context.workers, rows // _ROWS_PER_THREAD))

    def _best(self, tried: list[Choice]) -> Choice:
        """Return the first that no later one clearly beats: a few windows tell no small differences."""
        best = tried[0]
        for one in tried[1:]:
            mine, theirs = self._loss(one), self._loss(best)
            if mine < theirs - _CLEARLY * abs(theirs) or np.isinf(theirs):
                best = one
        return best

    def _loss(self, choice: Choice) -> float:
        if self.origins is None or choice.score is None or np.isnan(choice.score):
            return float("inf")
        return self.origins.loss(choice.score)

    def _sample(self) -> Positions | None:
        """Return some series, evenly spread, where all of them have too many rows to try every shape on."""
        series = self.rows.dataset.series
        share = len(self.rows.values) / _ROWS_TO_CHOOSE_BY
        if share <= 1 or len(series) < 2 * share:
            return None
        return np.unique(np.linspace(0, len(series) - 1, int(len(series) / share)).astype(np.intp))

    def _table(
        self, recipe: Recipe, cuts: Positions, parameters: Mapping[str, Any], sample: Positions | None
    ) -> lightgbm.Dataset:
        """Return the binned rows; where they were binned before, and the parameters allow it, those."""
        binning = lightgbm_parameters.binning(parameters)
        key = (recipe, cuts.tobytes(), None if sample is None else len(sample), binning)
        if key not in self._binned:
            if len(self._binned) >= _TABLES_KEPT:
                self._binned.pop(next(iter(self._binned)))
            self._binned[key] = self._bin(recipe, cuts, parameters, sample)
        return self._binned[key]

    def _bin(
        self, recipe: Recipe, cuts: Positions, parameters: Mapping[str, Any], sample: Positions | None
    ) -> lightgbm.Dataset:
        rows, panel = self.rows, self.rows.panel
        wanted = range(len(cuts)) if sample is None else sample
        chosen = np.concatenate([self._learnable(int(number), cuts, recipe) for number in wanted])
        if len(chosen) == 0:
            raise DataError(
                f"{rows.dataset.origin.uri}: the series have too few rows to learn from; give longer series"
            )
        series = panel.numbers()[panel.steps[chosen]]
        scales = self._scales(cuts)[series]
        past = self._features(recipe)[panel.steps[chosen]] / scales[:, None].astype(np.float32)
        base = recipe.bases(past)
        columns = [past - base[:, None], calendar(rows.times[chosen], recipe.calendar, rows.dataset.clock)]
        if rows.regressors is not None:
            columns.append(rows.regressors[chosen].astype(np.float32))
        weights = None if self._metric in SCALE_FREE else scales / scales.mean()
        return lightgbm.Dataset(
            np.concatenate(columns, axis=1),
            rows.values[chosen] / scales - base,
            weight=weights,
            feature_name=[f"column_{number}" for number in range(len(recipe.names))],
            params=dict(parameters),
        )

    def _learnable(self, number: int, cuts: Positions, recipe: Recipe) -> Positions:
        """Return the rows of a series that have all of its shorter lags."""
        begin = self.rows.dataset.series[number].start
        positions = self.rows.panel.steps[begin : cuts[number]] - self.rows.panel.begins[number]
        return begin + np.flatnonzero(positions >= recipe.shortest - 1)

    def _scales(self, cuts: Positions) -> npt.NDArray[np.float64]:
        """Return the mean size of each series before its cut, the unit that the trees see it in."""
        series = self.rows.dataset.series
        sizes = [np.abs(self.rows.values[one.start : cut]).mean() for one, cut in zip(series, cuts, strict=True)]
        return np.array([size or 1.0 for size in sizes])

    def _features(self, recipe: Recipe) -> Matrix:
        key = (recipe.lags, recipe.windows)
        if key not in self._past:
            self._past.clear()  # those of one shape at a time: they are the largest table there is
            self._past[key] = past_features(
                self.rows.panel, self.rows.frequency.season, recipe, self._threads(len(self.rows.values))
            )
        return self._past[key]


_ROWS_PER_THREAD: Final = 10_000
_TABLES_KEPT: Final = 2


class _Watch:
    """A LightGBM callback: forecasts the windows now and then, and ends the fit when that no longer gets better."""

    before_iteration = False
    order = 0

    def __init__(
        self, fitter: Fitter, origins: Origins, recipe: Recipe, parameters: Mapping[str, Any], report: Report | None
    ) -> None:
        self._fitter, self._origins, self._recipe, self._report = fitter, origins, recipe, report
        self._patience, self._threads = parameters["early_stopping_round"], parameters["num_threads"]
        self._start = origins.state(recipe)
        self.rounds, self.score = 1, float("nan")

    def __call__(self, state: Any) -> None:
        self._fitter.heed(state.iteration)
        done = state.iteration + 1
        if done % ROUNDS_PER_LOOK and done not in {1, state.end_iteration}:
            return
        score = self._origins.score(self._fitter.trees(state.model, self._recipe), self._start, self._threads)
        if not self._origins.loss(score) >= self._origins.loss(self.score):
            self.rounds, self.score = done, score
        if self._report is not None and done % ROUNDS_PER_LOOK == 0:
            self._report(done, score)
        if 0 < self._patience <= done - self.rounds:
            raise lightgbm.callback.EarlyStopException(self.rounds - 1, [])


def rounds_of(parameters: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    """Return the parameters of a fit that has nothing to stop it."""
    return {**parameters, "num_iterations": rounds}
