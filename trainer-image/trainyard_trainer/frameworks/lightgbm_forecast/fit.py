"""Fit the global model of all series: choose features, find the number of rounds, and fit the judged and final
models.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import lightgbm
import numpy as np
import numpy.typing as npt

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.frequency import frequency_by
from trainyard_trainer.errors import ConfigError, DataError, Interrupted
from trainyard_trainer.evaluate.names import searched_metric
from trainyard_trainer.frameworks.base import Context
from trainyard_trainer.frameworks.forecast.baseline import Baseline
from trainyard_trainer.frameworks.forecast.panel import Positions
from trainyard_trainer.frameworks.forecast.windows import SCALE_FREE, SQUARED
from trainyard_trainer.frameworks.lightgbm import parameters as lightgbm_parameters
from trainyard_trainer.frameworks.lightgbm_forecast.features import (
    FeatureSpec,
    Matrix,
    bases_of,
    calendar,
    far_features,
    near_features,
    past_features,
)
from trainyard_trainer.frameworks.lightgbm_forecast.model import Trees
from trainyard_trainer.frameworks.lightgbm_forecast.origins import Origins, TreeRows
from trainyard_trainer.frameworks.lightgbm_forecast.state import static_numbers

ROUNDS_PER_CHECK: Final = 10
"""The windows are forecast after this many rounds. One evaluation takes as long as some rounds."""

MANY_ZEROS: Final = 0.2
"""With a larger share of zeros, and no negative values, the target is treated as counts."""

_ROWS_TO_CHOOSE_BY: Final = 20_000
"""Feature sets are tried on this many random rows. Then the number of rounds is found on all rows."""

_ROUNDS_TO_CHOOSE_BY: Final = (40, 120)
_SHAPES_KEPT: Final = 2
"""Successive halving: after the first number of rounds, only the best sets continue; after the second, one is
chosen.
"""

_USUAL_RATE: Final = 0.1
_USUAL_BINS: Final = 63
_USUAL_PATIENCE: Final = 30
"""Defaults for a global forecast model.

They take half the time of LightGBM's 255 bins and smaller steps, at equal error.
"""

_ROUNDS_UNJUDGED: Final = 100
"""Number of rounds if every series is too short for a window for early stopping."""

_CLEARLY: Final = 0.02
"""Share of the loss by which a feature set must be better than the earlier ones."""

_LEAST_IN_LEAF: Final = 3
_USUAL_IN_LEAF: Final = 20
_NEVER_NEGATIVE: Final = frozenset({"tweedie", "poisson", "gamma"})

Report = Callable[[int, float], None]


@dataclass(frozen=True)
class Choice:
    """A feature set that was tried: its best number of rounds, and the metric there, or ``None`` without windows."""

    feature_spec: FeatureSpec
    rounds: int
    score: float | None
    trees: Trees | None = None
    """Trees fitted to all rows before the windows, or ``None`` if they were fitted to a sample."""


class Fitter:
    """All fits of one job. Features are computed once, and binned once for each part of the rows."""

    def __init__(self, dataset: Dataset, context: Context) -> None:
        spec = context.config.spec
        if spec.forecast is None:
            raise ConfigError("task Forecast needs spec.forecast (at least forecast.horizon)")
        self.horizon = spec.forecast.horizon
        frequency = frequency_by(dataset.frequency or "D", dataset.clock)
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
        """Return all training parameters: those of the user override the defaults. Raises ConfigError."""
        spec, known = self._context.config.spec, self._known_values()
        counts = bool(known.min() >= 0) and float(np.mean(known == 0)) > MANY_ZEROS
        objective = "tweedie" if counts else "l2" if self._metric in SQUARED else "l1"
        leaf = int(np.clip(len(known) // _USUAL_IN_LEAF, _LEAST_IN_LEAF, _USUAL_IN_LEAF))
        defaults = {
            "objective": objective,
            "min_data_in_leaf": leaf,
            "learning_rate": _USUAL_RATE,
            "max_bin": _USUAL_BINS,
            "early_stopping_round": _USUAL_PATIENCE,
        }
        resolved = lightgbm_parameters.resolved(
            defaults | lightgbm_parameters.checked(given),
            "Regression",
            classes=0,
            seed=spec.split.seed if spec.split is not None else 42,
            threads=self._threads(len(known)),
        )
        # The metric is that of forecasts of whole windows, which LightGBM cannot compute.
        return {**resolved, "metric": "None", "feature_pre_filter": False}

    def choose(self, parameters: Mapping[str, Any], progress: Callable[[float, str], None]) -> Choice:
        """Try each feature set on the windows before the holdout. Return the best one and its number of rounds.

        Raises
        ------
        DataError
            If every series is too short for training.
        """
        shapes = self.shapes(parameters)
        if self.origins is None:
            return Choice(shapes[0], min(_ROUNDS_UNJUDGED, parameters["num_iterations"]), None)
        sample = _ROWS_TO_CHOOSE_BY if len(self.rows.values) > 2 * _ROWS_TO_CHOOSE_BY else None
        first, second = (max(1, round(rounds * _USUAL_RATE / _rate_of(parameters))) for rounds in _ROUNDS_TO_CHOOSE_BY)
        running = []
        for number, shape in enumerate(shapes):
            progress(0.4 * number / len(shapes), f"trying lags {shape.lags[0]} to {shape.lags[-1]}")
            running.append(_Growth(self, shape, parameters, sample=sample).grow(first))
        if len(running) > _SHAPES_KEPT:
            order = sorted(range(len(running)), key=lambda at: self._loss(running[at].choice))
            running = [running[at].grow(second) for at in sorted(order[:_SHAPES_KEPT])]
        best = running[self._best([one.choice for one in running])]
        progress(0.5, "finding the number of rounds")
        if sample is None:
            return best.grow(parameters["num_iterations"]).choice
        return self.judge(best.choice.feature_spec, parameters)

    def judge(self, feature_spec: FeatureSpec, parameters: Mapping[str, Any], report: Report | None = None) -> Choice:
        """Fit on the rows before the windows, with early stopping on the forecasts of the windows.

        ``report`` receives the metric of each evaluation.
        """
        return _Growth(self, feature_spec, parameters, report).grow(parameters["num_iterations"]).choice

    def fit(
        self,
        feature_spec: FeatureSpec,
        cuts: Positions,
        parameters: Mapping[str, Any],
        progress: Callable[[float, str], None],
    ) -> Trees:
        """Fit ``num_iterations`` rounds on the rows before the cuts. There is one cut per series."""
        booster, rounds = self.booster(feature_spec, cuts, parameters), parameters["num_iterations"]
        for done in range(rounds):
            self.heed(done)
            if done % ROUNDS_PER_CHECK == 0:
                progress(done / rounds, f"round {done}")
            if self.update(booster):
                break
        return self.trees(booster, feature_spec)

    def booster(
        self, feature_spec: FeatureSpec, cuts: Positions, parameters: Mapping[str, Any], sample: int | None = None
    ) -> lightgbm.Booster:
        """Return a booster without rounds, on at most ``sample`` of the rows before the cuts. Raises ConfigError."""
        table = self._table(feature_spec, cuts, parameters, sample)
        try:
            return lightgbm.Booster({**parameters, "early_stopping_round": 0}, table)
        except lightgbm.basic.LightGBMError as error:
            raise self._refused(error) from error

    def update(self, booster: lightgbm.Booster) -> bool:
        """Add one round to a booster. Return whether it cannot grow any more. Raises ConfigError."""
        try:
            return bool(booster.update())
        except lightgbm.basic.LightGBMError as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> ConfigError:
        uri = self.rows.dataset.origin.uri
        return ConfigError(f"spec.parameters: LightGBM cannot train with these parameters on {uri}: {error}")

    def trees(self, booster: lightgbm.Booster, feature_spec: FeatureSpec, rounds: int = -1) -> Trees:
        """Return a booster with the meaning of its columns. The first ``rounds`` rounds are used; -1 means all."""
        return Trees(booster, feature_spec, self.rows.frequency, self.rows.dataset.clock, rounds)

    def heed(self, iteration: int) -> None:
        """Raise Interrupted when the pod must stop."""
        if self._context.stop():
            raise Interrupted(f"stopped in round {iteration}; the next attempt starts again")

    def shapes(self, parameters: Mapping[str, Any]) -> list[FeatureSpec]:
        """Return the feature sets to try, the simpler ones first.

        Near lags follow a series closely, but forecasts after the first steps use earlier forecasts. Far lags do not
        need that. In both, values can be relative to the level or to the previous season, which helps with a trend, or
        absolute.
        """
        lengths = self._lengths()
        span = float((self.rows.times.max() - self.rows.times.min()) / np.timedelta64(1, "D"))
        dataset, regressors = self.rows.dataset, self.rows.dataset.features
        forecast = self._context.config.spec.forecast
        near = near_features(
            self.rows.frequency,
            lengths,
            span_days=span,
            regressors=regressors,
            holidays_country=forecast.holidays_country if forecast else None,
        )
        near = replace(near, lagged=dataset.lagged, lagged_by=self.horizon)
        near = replace(near, static=dataset.static.names, texts=dataset.static.texts)
        if max(lengths) < near.shortest:
            raise DataError(
                f"{self.rows.dataset.origin.uri}: no series has the {near.shortest} steps before its holdout that "
                "lags need; give longer series, or use framework Prophet"
            )
        return list(self._variants(near, lengths, positive=parameters["objective"] in _NEVER_NEGATIVE))

    def _variants(self, near: FeatureSpec, lengths: list[int], *, positive: bool) -> Iterator[FeatureSpec]:
        season = self.rows.frequency.season
        far = far_features(near, season, self.horizon, lengths)
        if not positive:
            yield from bases_of(near, season)
        yield near
        if far is None or max(lengths) < far.shortest:
            return
        yield far  # first: it does not use earlier forecasts, so it needs no base level
        if not positive:
            yield from bases_of(far, season)

    def _lengths(self) -> list[int]:
        steps, series = self.rows.panel.steps, self.rows.dataset.series
        return [int(steps[one.split - 1] - steps[one.start]) + 1 for one in series]

    def _known_values(self) -> npt.NDArray[np.float64]:
        return np.concatenate([self.rows.values[one.start : one.split] for one in self.rows.dataset.series])

    def _threads(self, rows: int) -> int:
        return max(1, min(self._context.workers, rows // _ROWS_PER_THREAD))

    def _best(self, tried: list[Choice]) -> int:
        """Return the first one that no later one clearly beats, because few windows do not show small differences."""
        best = 0
        for at, one in enumerate(tried):
            loss, least = self._loss(one), self._loss(tried[best])
            if loss < least - _CLEARLY * abs(least) or np.isinf(least):
                best = at
        return best

    def _loss(self, choice: Choice) -> float:
        if self.origins is None or choice.score is None or np.isnan(choice.score):
            return float("inf")
        return self.origins.loss(choice.score)

    def _table(
        self, feature_spec: FeatureSpec, cuts: Positions, parameters: Mapping[str, Any], sample: int | None
    ) -> lightgbm.Dataset:
        """Return the binned rows. Bins are reused if the parameters allow it."""
        binning = lightgbm_parameters.binning(parameters)
        key = (feature_spec, cuts.tobytes(), sample, binning)
        if key not in self._binned:
            if len(self._binned) >= _TABLES_KEPT:
                self._binned.pop(next(iter(self._binned)))
            self._binned[key] = self._bin(feature_spec, cuts, parameters, sample)
        return self._binned[key]

    def _bin(
        self, feature_spec: FeatureSpec, cuts: Positions, parameters: Mapping[str, Any], sample: int | None
    ) -> lightgbm.Dataset:
        rows, panel = self.rows, self.rows.panel
        chosen = np.concatenate([self._learnable(number, cuts, feature_spec) for number in range(len(cuts))])
        if sample is not None and len(chosen) > sample:
            random = np.random.default_rng(parameters["seed"])
            chosen = chosen[np.sort(random.choice(len(chosen), sample, replace=False))]
        if len(chosen) == 0:
            raise DataError(f"{rows.dataset.origin.uri}: the series have too few rows to train on; give longer series")
        series = panel.numbers()[panel.steps[chosen]]
        scales = self._scales(cuts)[series]
        past = self._features(feature_spec)[panel.steps[chosen]] / scales[:, None].astype(np.float32)
        base = feature_spec.bases(past)
        columns = [past - base[:, None], calendar(rows.times[chosen], feature_spec.calendar, rows.dataset.clock)]
        if rows.regressors is not None:
            columns.append(rows.regressors[chosen].astype(np.float32))
        if feature_spec.lagged:
            columns.append(rows.lagged(feature_spec, series, panel.steps[chosen]).astype(np.float32))
        static = static_numbers(rows.dataset.static, panel.names, feature_spec.static, feature_spec.texts)
        columns.append(static[series].astype(np.float32))
        weights = None if self._metric in SCALE_FREE else scales / scales.mean()
        return lightgbm.Dataset(
            np.concatenate(columns, axis=1),
            rows.values[chosen] / scales - base,
            weight=weights,
            feature_name=[f"column_{number}" for number in range(len(feature_spec.names))],
            categorical_feature=feature_spec.categories,
            params=dict(parameters),
        )

    def _learnable(self, number: int, cuts: Positions, feature_spec: FeatureSpec) -> Positions:
        """Return the rows of a series for which all of its shorter lags are known."""
        begin = self.rows.dataset.series[number].start
        positions = self.rows.panel.steps[begin : cuts[number]] - self.rows.panel.begins[number]
        return begin + np.flatnonzero(positions >= feature_spec.shortest - 1)

    def _scales(self, cuts: Positions) -> npt.NDArray[np.float64]:
        """Return the mean absolute value of each series before its cut. The trees see values divided by it."""
        series = self.rows.dataset.series
        sizes = [np.abs(self.rows.values[one.start : cut]).mean() for one, cut in zip(series, cuts, strict=True)]
        return np.array([size or 1.0 for size in sizes])

    def _features(self, feature_spec: FeatureSpec) -> Matrix:
        key = (feature_spec.lags, feature_spec.windows)
        if key not in self._past:
            self._past.clear()  # keep only the features of one set, because they are the largest table
            self._past[key] = past_features(
                self.rows.panel, self.rows.frequency.season, feature_spec, self._threads(len(self.rows.values))
            )
        return self._past[key]


_ROWS_PER_THREAD: Final = 10_000
_TABLES_KEPT: Final = 2


class _Growth:
    """A fit on the rows before the windows. It grows step by step, is evaluated in between, and can be continued."""

    def __init__(
        self,
        fitter: Fitter,
        feature_spec: FeatureSpec,
        parameters: Mapping[str, Any],
        report: Report | None = None,
        sample: int | None = None,
    ) -> None:
        if fitter.origins is None:
            raise DataError("no series is long enough for an evaluation window; give longer series")
        self._fitter, self._origins, self._feature_spec, self._report = fitter, fitter.origins, feature_spec, report
        self._patience, self._threads = parameters["early_stopping_round"], parameters["num_threads"]
        self._most = parameters["num_iterations"]
        self._start = fitter.origins.state(feature_spec)
        self._booster = fitter.booster(feature_spec, fitter.origins.cuts, parameters, sample)
        self._done, self._ended = 0, False
        self._rounds, self._score = 1, float("nan")

    def grow(self, rounds: int) -> "_Growth":
        """Continue to this total number of rounds, or until the forecasts stop to improve."""
        while self._done < min(rounds, self._most) and not self._ended:
            self._fitter.heed(self._done)
            self._ended = self._fitter.update(self._booster)
            self._done += 1
            if self._done % ROUNDS_PER_CHECK == 0 or self._done in {1, self._most} or self._ended:
                self._check()
        return self

    @property
    def choice(self) -> Choice:
        """The best number of rounds so far."""
        trees = self._fitter.trees(self._booster, self._feature_spec, self._rounds)
        return Choice(self._feature_spec, self._rounds, self._score, trees)

    def _check(self) -> None:
        score = self._origins.score(self._fitter.trees(self._booster, self._feature_spec), self._start, self._threads)
        if not self._origins.loss(score) >= self._origins.loss(self._score):
            self._rounds, self._score = self._done, score
        if self._report is not None and self._done % ROUNDS_PER_CHECK == 0:
            self._report(self._done, score)
        if 0 < self._patience <= self._done - self._rounds:
            self._ended = True


def _rate_of(parameters: Mapping[str, Any]) -> float:
    return float(parameters["learning_rate"]) or _USUAL_RATE


def rounds_of(parameters: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    """Return the parameters of a fit without early stopping."""
    return {**parameters, "num_iterations": rounds}
