"""Whether a lower or a higher value of each metric is better: one list for the trainer, the gates and the search.

A unit test of the trainer checks that the list contains every metric that the trainer can publish. Exceptions are the
metrics of the naive model (``baseline_*``) and the threshold, which rate no model. The bias and the ratio of the rows
are exceptions too, because neither a lower nor a higher value is better.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from trainyard_api.training import Goal, Objective

DATA: Final = "data_"
"""Prefix of metrics that compare the data with the data of the version that serves. They do not rate the model.

The first version of a model has no such metrics.
"""

_LOWER: Final = (
    *("mae", "rmse", "mape", "smape", "wape", "log_loss", "brier", "series_below_baseline"),
    *("mase", "rmsse", "weighted_mae", "weighted_mase"),
    *(f"{DATA}shift", f"{DATA}target_shift", f"{DATA}missing_increase", f"{DATA}scale_ratio", f"{DATA}relation_shift"),
)
_HIGHER: Final = (
    *("r2", "skill", "auc", "average_precision", "accuracy", "precision", "recall", "f1"),
    *("accuracy@0.5", "precision@0.5", "recall@0.5", "f1@0.5"),
)

_DOWN: Final[Goal] = "Minimize"
_UP: Final[Goal] = "Maximize"

GOALS: Final[Mapping[str, Goal]] = MappingProxyType(dict.fromkeys(_LOWER, _DOWN) | dict.fromkeys(_HIGHER, _UP))


BACKTEST: Final = "backtest_"
"""Prefix of a metric that is computed over all cutoffs of ``spec.backtest``."""


def goal_of(metric: str, objective: Objective | None = None) -> Goal | None:
    """Return whether a lower or a higher value is better; ``None`` if this is not known.

    The goal of the objective takes precedence, because the user's own container may use any name for any metric.
    """
    if objective is not None and objective.metric == metric and objective.goal is not None:
        return objective.goal
    return GOALS.get(metric.removeprefix(BACKTEST))
