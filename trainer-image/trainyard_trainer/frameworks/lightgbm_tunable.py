"""What a search may turn on LightGBM: the space, and the score of one parameter set."""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

import lightgbm

from trainyard_trainer.errors import DataError
from trainyard_trainer.frameworks import lightgbm_parameters
from trainyard_trainer.frameworks.base import Context, Dataset
from trainyard_trainer.frameworks.lightgbm_forecast_features import Recipe
from trainyard_trainer.frameworks.lightgbm_forecast_fit import Fitter

Report = Callable[[int, float], None]


def space(given: Mapping[str, Any], in_leaf: int) -> dict[str, Any]:
    """Return where to look beside what the user has set, under whatever alias.

    Parameters
    ----------
    given
        ``spec.parameters``.
    in_leaf
        Our default of ``min_data_in_leaf``.
    """
    dimensions = {
        "learning_rate": {"type": "Float", "low": 0.01, "high": 0.2, "log": True, "default": 0.05},
        "num_leaves": {"type": "Int", "low": 4, "high": 128, "log": True, "default": 31},
        "min_data_in_leaf": {"type": "Int", "low": 2, "high": 128, "log": True, "default": in_leaf},
        "feature_fraction": {"type": "Float", "low": 0.4, "high": 1.0, "default": 1.0},
        "bagging_fraction": {"type": "Float", "low": 0.5, "high": 1.0, "default": 1.0},
        "lambda_l1": {"type": "Float", "low": 0.0, "high": 10.0, "default": 0.0},
        "lambda_l2": {"type": "Float", "low": 0.0, "high": 10.0, "default": 0.0},
    }
    taken = lightgbm_parameters.checked(given)
    return {name: dimension for name, dimension in dimensions.items() if name not in taken}


class ForecastTunable:
    """The one model of many series, judged by its forecasts of the windows before the holdout.

    Which lags it has is chosen once, with the parameters that the specification sets: the sets are compared by the same
    features, and features and bins are made once for all of them.
    """

    def __init__(self, dataset: Dataset, context: Context) -> None:
        lightgbm.register_logger(logging.getLogger("lightgbm"))
        self._given = context.config.spec.parameters or {}
        self._fitter = Fitter(dataset, context)

    def space(self) -> Mapping[str, Any]:
        """Return where to look: see ``Tunable``."""
        return space(self._given, self._fitter.parameters({})["min_data_in_leaf"])

    def score(self, parameters: Mapping[str, Any], report: Report) -> float:
        """Return the metric on the windows before the holdout: see ``Tunable``."""
        found = self._fitter.judge(self._recipe, self._fitter.parameters(parameters), report)
        if found.score is None:
            raise DataError("the windows before the holdout do not allow the metric of the search; set spec.objective")
        return found.score

    @functools.cached_property
    def _recipe(self) -> Recipe:
        return self._fitter.choose(self._fitter.parameters(self._given), lambda *_: None).recipe
