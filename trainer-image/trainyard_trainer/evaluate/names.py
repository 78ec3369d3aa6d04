"""The metrics of each task by name: what an objective may ask for, known before any data is read.

The evaluation may leave one of them out, where the holdout does not allow it, and never adds one: a test compares
these lists with what the frameworks return.
"""

import difflib
from typing import Final

from trainyard_api.training import Task
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.errors import ConfigError

SKILL: Final = "skill"
POINT: Final = ("mae", "rmse", "mape", "wape", "r2")
CLASS: Final = ("accuracy", "precision", "recall", "f1", "log_loss", "auc")
TWO_CLASSES: Final = ("average_precision", "accuracy@0.5", "precision@0.5", "recall@0.5", "f1@0.5")
"""Only where the target has exactly two classes."""

SERIES_BELOW_BASELINE: Final = "series_below_baseline"

METRICS: Final[dict[Task, tuple[str, ...]]] = {
    "Forecast": (*POINT, SKILL, SERIES_BELOW_BASELINE),
    "Regression": (*POINT, SKILL),
    "Classification": (*CLASS, *TWO_CLASSES, SKILL),
}

BASELINE: Final = "baseline_"
"""Before the name of a metric: that of the naive model. Published beside the others, and no objective."""

THRESHOLD: Final = "threshold"
"""Published with two classes: the cut that was chosen, not a quality."""


def check_objective(spec: TrainingJobSpec, classes: int | None = None) -> None:
    """Refuse an objective that this task has no metric for.

    Parameters
    ----------
    classes
        How many classes the target has, once the data is read; ``None`` before.

    Raises
    ------
    ConfigError
        With the nearest name and all names there are.
    """
    if spec.objective is None:
        return
    metric = spec.objective.metric
    names = METRICS[spec.task]
    if classes is not None and classes > 2:
        names = tuple(name for name in names if name not in TWO_CLASSES)
    if metric in names:
        return
    near = difflib.get_close_matches(metric.lower(), names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    of = f"task {spec.task}" if classes is None else f"a target of {classes} classes"
    raise ConfigError(f"spec.objective.metric {metric} is no metric of {of}{hint}; there are {', '.join(names)}")
