"""Parameter search for LightGBM: the space, and the score of one parameter set."""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import lightgbm

from trainyard_api.training import Split
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import DataError
from trainyard_trainer.evaluate.names import ranking_value, searched_metric
from trainyard_trainer.frameworks.base import Context
from trainyard_trainer.frameworks.lightgbm import parameters as lightgbm_parameters
from trainyard_trainer.frameworks.lightgbm.fit import (
    Matrix,
    Reporter,
    binned,
    fit,
    judge_rows,
    matrix_of,
    parts_of,
    raw_predictions,
    threads_for,
)
from trainyard_trainer.frameworks.lightgbm_forecast.features import FeatureSpec
from trainyard_trainer.frameworks.lightgbm_forecast.fit import Fitter
from trainyard_trainer.frameworks.thresholds import cut_for

Report = Callable[[int, float], None]

ROUNDS_PER_CHECK: Final = 25
"""Number of rounds between two reports to the search at the default learning rate. The search can stop a trial there.

At another rate, the number is scaled. Otherwise a slow learner would always be behind, and be stopped.
"""

_USUAL_RATE: Final = 0.05

_USUAL_IN_LEAF: Final = 20
"""The default of LightGBM."""


def space(given: Mapping[str, Any], in_leaf: int, rate: float = _USUAL_RATE) -> dict[str, Any]:
    """Return the space without parameters that the user has set, under any alias.

    Parameters
    ----------
    given
        ``spec.parameters``.
    in_leaf, rate
        The defaults of ``min_data_in_leaf`` and ``learning_rate`` here.
    """
    dimensions = {
        "learning_rate": {"type": "Float", "low": 0.01, "high": 0.2, "log": True, "default": rate},
        "num_leaves": {"type": "Int", "low": 4, "high": 128, "log": True, "default": 31},
        "min_data_in_leaf": {"type": "Int", "low": 2, "high": 128, "log": True, "default": in_leaf},
        "feature_fraction": {"type": "Float", "low": 0.4, "high": 1.0, "default": 1.0},
        "bagging_fraction": {"type": "Float", "low": 0.5, "high": 1.0, "default": 1.0},
        "lambda_l1": {"type": "Float", "low": 0.0, "high": 10.0, "default": 0.0},
        "lambda_l2": {"type": "Float", "low": 0.0, "high": 10.0, "default": 0.0},
    }
    fixed = lightgbm_parameters.checked(given)
    return {name: dimension for name, dimension in dimensions.items() if name not in fixed}


class TabularTunable:
    """The model of a table, scored on the validation part. Its rows are binned once for all parameter sets."""

    def __init__(self, dataset: Dataset, context: Context) -> None:
        lightgbm.register_logger(logging.getLogger("lightgbm"))
        self._dataset, self._context = dataset, context
        self._given = context.config.spec.parameters or {}
        self._parts = parts_of(dataset)
        self._bins: dict[str, tuple[lightgbm.Dataset, lightgbm.Dataset]] = {}

    def space(self) -> Mapping[str, Any]:
        """Return the space: see ``Tunable``."""
        return space(self._given, _USUAL_IN_LEAF)

    def score(self, parameters: Mapping[str, Any], report: Report) -> float:
        """Return the metric on the validation part, at the best round of LightGBM's own loss: see ``Tunable``."""
        resolved = self._resolved(parameters)
        training, validation = self._binned(resolved)
        every_round = Reporter(self._context, 0.0, 1.0)
        rounds = max(1, round(ROUNDS_PER_CHECK * _USUAL_RATE / resolved["learning_rate"]))

        def check(state: Any) -> None:
            every_round(state)
            checks, rest = divmod(state.iteration + 1, rounds)
            if rest == 0:
                report(checks * ROUNDS_PER_CHECK, self._judge(state.model))

        booster = fit(training, validation, resolved, check, self._dataset.origin.uri)
        return self._judge(booster)

    def _judge(self, booster: lightgbm.Booster) -> float:
        rows = self._parts.validation
        raw = raw_predictions(booster, self._rows, threads_for(self._dataset, self._context.workers))
        spec = self._context.config.spec
        cut = cut_for(spec, self._dataset, rows, raw)
        threshold = None if cut is None else cut.value
        found = judge_rows(self._dataset, self._parts.train, rows, raw, threshold).metrics
        value = ranking_value(spec, found)
        if value is None:
            raise DataError(
                f"{searched_metric(spec)} cannot be computed on the validation rows; give more data or set another "
                "spec.objective"
            )
        return value

    def _resolved(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        spec, dataset = self._context.config.spec, self._dataset
        resolved = lightgbm_parameters.resolved(
            parameters,
            spec.task,
            classes=len(dataset.classes),
            seed=(spec.split or Split()).seed,
            threads=threads_for(dataset, self._context.workers),
        )
        # Otherwise, rows that were binned for large leaves would lack features that small leaves can use.
        return {**resolved, "feature_pre_filter": False}

    def _binned(self, parameters: Mapping[str, Any]) -> tuple[lightgbm.Dataset, lightgbm.Dataset]:
        """Return the training and validation rows. Bins are reused if the parameters allow it."""
        key = lightgbm_parameters.binning(parameters)
        if key not in self._bins:
            training = binned(self._dataset, self._parts.train, parameters)
            self._bins = {key: (training, binned(self._dataset, self._parts.validation, parameters, training))}
        return self._bins[key]

    @functools.cached_property
    def _rows(self) -> Matrix:
        return matrix_of(self._dataset, self._parts.validation)


class ForecastTunable:
    """The global model of all series, scored by its forecasts of the windows before the holdout.

    Its lags are chosen once, with the parameters of the specification. So all parameter sets use the same features,
    which are computed and binned once.
    """

    def __init__(self, dataset: Dataset, context: Context) -> None:
        lightgbm.register_logger(logging.getLogger("lightgbm"))
        self._given = context.config.spec.parameters or {}
        self._fitter = Fitter(dataset, context)

    def space(self) -> Mapping[str, Any]:
        """Return the space: see ``Tunable``."""
        defaults = self._fitter.parameters({})
        return space(self._given, defaults["min_data_in_leaf"], defaults["learning_rate"])

    def score(self, parameters: Mapping[str, Any], report: Report) -> float:
        """Return the metric on the windows before the holdout: see ``Tunable``."""
        found = self._fitter.judge(self._feature_spec, self._fitter.parameters(parameters), report)
        if found.score is None:
            raise DataError("spec.objective cannot be computed on the windows before the holdout; set another metric")
        return found.score

    @functools.cached_property
    def _feature_spec(self) -> FeatureSpec:
        return self._fitter.choose(self._fitter.parameters(self._given), lambda *_: None).feature_spec
