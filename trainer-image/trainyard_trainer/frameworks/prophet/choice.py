"""Fit one series, from its rows to a saved model. This runs in a worker process.

Prophet is only used if it is better. On the folds before the holdout, it is compared with its fallbacks, and with other
parameters if a search is requested. The best is fitted to the rows before the holdout, to be evaluated there, and then
to all rows, to be saved. A series that is too short for a fold is compared on its holdout.
"""

import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np

from trainyard_trainer.data.series.folds import Fold, rolling_origins
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.errors import Interrupted
from trainyard_trainer.evaluate.metrics import Floats, point_scores
from trainyard_trainer.frameworks.prophet.fallbacks import fallbacks_of
from trainyard_trainer.frameworks.prophet.models import SeriesModel, fit_model
from trainyard_trainer.frameworks.prophet.quantiles import Quantiles
from trainyard_trainer.frameworks.prophet.series import Kind, Task, write_record
from trainyard_trainer.search.study import PATIENCE, Found, GivenUpError, Report, Rules, search

Stop = Callable[[], bool]
T = TypeVar("T")

_LOSSES: Final = {"rmse": "rmse", "rmsse": "rmse", "r2": "rmse", "mape": "mape", "smape": "smape"}
"""Maps the requested metric to one with the same order of models for one series, smaller is better.

The default is ``mae``.
"""


@dataclass(frozen=True)
class Outcome:
    """A finished series.

    Attributes
    ----------
    record, judged
        The final model and the judged one, fitted without the holdout: a compressed frame each.
    forecast
        Forecast of the holdout by the judged model; shape (rows, 1 + quantiles).
    golden
        Forecast of the first of these rows by the saved model; shape (rows, 1 + quantiles).
    failures
        Reasons of failures by kind of model. For a search, the sets that Prophet rejected.
    parameters, trials, pruned
        The best set of the search, and how many were tried and pruned. ``None`` and 0 without a search.
    windows
        Forecasts of the folds by the kept kind, without a search; shape (rows,).
    seconds
        Total time on one core.
    """

    name: str
    kind: Kind
    record: bytes
    judged: bytes
    forecast: Floats
    golden: Floats
    failures: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] | None = None
    trials: int = 0
    pruned: int = 0
    windows: Floats = field(default_factory=lambda: np.empty(0))
    seconds: float = 0.0


class _Kept(NamedTuple):
    record: bytes
    judged: bytes
    forecast: Floats
    golden: Floats


def never() -> bool:
    """Return False: there is no request to stop."""
    return False


def fit_series(task: Task, stop: Stop = never) -> Outcome:
    """Compare, evaluate and save models. Errors of the data or of Prophet are not raised: see ``Outcome.failures``.

    Raises
    ------
    Interrupted
        When ``stop`` returns true during a search.
    """
    began = _core_seconds()
    series = _Series(task, stop)
    found = series.search()
    parameters = {} if found is None else found.best.parameters
    for kind in series.best_first(parameters, None if found is None else found.best.value):
        kept = series.keep(kind, parameters)
        if kept is not None:
            fold_forecasts = np.concatenate([np.empty(0), *series.fold_forecasts.get(kind, ())])
            outcome = Outcome(
                task.name,
                kind,
                *kept,
                failures=series.failures,
                windows=fold_forecasts,
                seconds=_core_seconds() - began,
            )
            return outcome if found is None else _with_search(outcome, found)
    raise RuntimeError(f"series {task.name!r}: no model could be fitted: {series.failures}")


def _core_seconds() -> float:
    """Return the CPU seconds of this process and its finished child processes. Prophet fits in a child process."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _with_search(outcome: Outcome, found: Found) -> Outcome:
    return replace(outcome, parameters=found.best.parameters, trials=len(found.trials), pruned=found.count("Pruned"))


class _Series:
    """A task, the rows of its comparison, and its failures so far."""

    def __init__(self, task: Task, stop: Stop) -> None:
        self._task, self._stop = task, stop
        self._frequency = frequency_of(task.fit_spec.frequency)
        rows = len(task.times)
        self._holdout = Fold(rows - task.holdout, rows)
        self._folds = rolling_origins(
            self._frequency.ordinals(task.times),
            holdout=task.holdout,
            horizon=task.fit_spec.horizon,
            folds=task.fit_spec.folds,
        )
        self.failures: dict[str, str] = {}
        self.fold_forecasts: dict[Kind, list[Floats]] = {}

    def search(self) -> Found | None:
        """Search parameters of Prophet on the folds.

        Return ``None`` if it is not requested, not possible or not affordable.
        """
        task, plan = self._task, self._task.fit_spec.search
        if plan is None or not self._folds:
            return None
        seconds = (plan.deadline - time.monotonic()) * plan.workers / task.share
        trials = task.trials if seconds > 0 else 0
        if trials == 0:
            return None
        rules = Rules(trials, seconds, "Minimize", task.fit_spec.seed, minimum=PATIENCE)
        first = [{}, task.previous] if task.previous else [{}]
        found = self._attempt("prophet", lambda: search(plan.space, rules, self._score, first=first))
        refused = [] if found is None else [trial.message for trial in found.trials if trial.outcome == "Failed"]
        if refused:
            self.failures["search"] = f"{len(refused)} parameter sets, the first: {refused[0]}"
        return found

    def best_first(self, parameters: Mapping[str, Any], known: float | None) -> list[Kind]:
        """Return the kinds that could be compared, best first. Of equal ones, Prophet is first, then the simpler one.

        ``known`` is the loss of Prophet, if a search has found it.
        """
        losses: dict[Kind, float] = {} if known is None else {"prophet": known}
        kinds: tuple[Kind, ...] = ("prophet", *fallbacks_of(self._task.demand))
        for kind in kinds:
            if kind not in losses and kind not in self.failures:
                loss = self._attempt(kind, functools.partial(self._loss, kind, parameters))
                if loss is not None:
                    losses[kind] = loss
        if self._task.fit_spec.only_prophet and "prophet" in losses:
            return ["prophet", *(kind for kind in kinds if kind in losses and kind != "prophet")]
        return sorted((kind for kind in kinds if kind in losses), key=lambda kind: losses[kind])

    def keep(self, kind: Kind, parameters: Mapping[str, Any]) -> _Kept | None:
        """Evaluate a kind on the holdout and fit it to all rows. Return ``None`` if it fails."""
        return self._attempt(kind, functools.partial(self._kept, kind, parameters))

    def _kept(self, kind: Kind, parameters: Mapping[str, Any]) -> _Kept:
        task, fit_spec = self._task, self._task.fit_spec
        quantiles = Quantiles(fit_spec.levels, fit_spec.seed)
        forecast, judged = self._forecast(kind, parameters, self._holdout, quantiles)
        model = fit_model(kind, task, slice(None), self._frequency, parameters, fit_spec.levels)
        asked = slice(self._holdout.cut, self._holdout.cut + task.golden)
        golden = np.empty((0, 1 + len(fit_spec.levels)))
        if task.golden:
            golden = model.predict(task.times[asked], task.regressors_of(asked), quantiles)
        final, at_split = write_record(task.name, model.record()), write_record(task.name, judged.record())
        return _Kept(final, at_split, forecast, golden)

    def _score(self, parameters: Mapping[str, Any], report: Report) -> float:
        if self._stop():
            raise Interrupted("stopped during the search of a series; the next attempt starts with this series")
        try:
            return self._loss("prophet", parameters, report)
        except GivenUpError:
            raise
        except Exception as error:
            raise ValueError(_message_of(error)) from error  # one set must not end the search

    def _loss(self, kind: Kind, parameters: Mapping[str, Any], report: Report = lambda *_: None) -> float:
        """Return the mean loss over the folds. Without folds, return the loss on the holdout."""
        folds = self._folds or (self._holdout,)
        actuals = [self._task.values[fold.judge] for fold in folds]
        name = _LOSSES.get(self._task.fit_spec.metric, "mae")
        if name == "mape" and not all(actual.any() for actual in actuals):
            name = "mae"  # there are no percentages if all values are zero
        losses: list[float] = []
        self.fold_forecasts[kind] = fold_forecasts = []
        for step, (fold, actual) in enumerate(zip(folds, actuals, strict=True)):
            if step:
                report(step - 1, float(np.mean(losses)))
            forecast = self._forecast(kind, parameters, fold, Quantiles())[0][:, 0]
            if self._folds:
                fold_forecasts.append(forecast)
            losses.append(point_scores(actual, forecast).metrics[name])
        return float(np.mean(losses))

    def _forecast(
        self, kind: Kind, parameters: Mapping[str, Any], fold: Fold, quantiles: Quantiles
    ) -> tuple[Floats, SeriesModel]:
        """Return the forecast of a fold and its quantiles, shape (rows, 1 + levels), and the fitted model."""
        task = self._task
        model = fit_model(kind, task, fold.fit, self._frequency, parameters, quantiles.levels)
        forecast = model.predict(task.times[fold.judge], task.regressors_of(fold.judge), quantiles)
        if not np.isfinite(forecast).all():
            raise ValueError("the forecast is not finite")
        return forecast, model

    def _attempt(self, kind: Kind, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except Interrupted:
            raise
        except Exception as error:  # noqa: BLE001 - one series must not end the job; its fallback is counted and reported
            self.failures[kind] = _message_of(error)
            return None


def _message_of(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    return text.splitlines()[0]
