"""Which way each metric of the trainer is better: one list for the trainer, the gates and the search.

A unit test of the trainer holds the list complete: every metric it can publish stands here, save those of the naive
model (``baseline_*``) and the threshold, which judge nothing, and the bias and the ratio of the rows, which are best in
the middle.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from trainyard_api.training import Goal, Objective

DATA: Final = "data_"
"""Before the name of a metric: it compares the data, not the model, with that of the version that serves.

A model's first version has none of them.
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
"""Before the name of a metric: the same metric over all cutoffs of ``spec.backtest``."""


def goal_of(metric: str, objective: Objective | None = None) -> Goal | None:
    """Return which way a metric is better; ``None`` when nobody has said it.

    What the user says of the objective's metric comes first: a container of theirs may call anything by any name.
    """
    if objective is not None and objective.metric == metric and objective.goal is not None:
        return objective.goal
    return GOALS.get(metric.removeprefix(BACKTEST))
