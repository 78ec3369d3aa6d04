"""The names of the metrics of each task. Objectives and gates can be checked with them before any data is read.

An evaluation can leave out a metric if the holdout does not allow it, but never adds one. A test compares these lists
with the results of the frameworks.
"""

import difflib
from collections.abc import Mapping
from typing import Final

from trainyard_api.metric_goals import BACKTEST, DATA, goal_of
from trainyard_api.training import Gate, Objective, Task
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.evaluate.data_metrics import DATA_METRICS

SKILL: Final = "skill"
BIAS: Final = "bias"
"""A value nearer to 0 is better, from both sides. A gate can limit it, but it cannot rank models."""

POINT: Final = ("mae", "rmse", "mape", "smape", "wape", "r2", BIAS)
OVER_SERIES: Final = ("mase", "rmsse", "weighted_mae", "weighted_mase")
CLASS: Final = ("accuracy", "precision", "recall", "f1", "log_loss", "auc")
TWO_CLASSES: Final = ("average_precision", "brier", "accuracy@0.5", "precision@0.5", "recall@0.5", "f1@0.5")
"""Only if the target has exactly two classes."""

SERIES_BELOW_BASELINE: Final = "series_below_baseline"

METRICS: Final[dict[Task, tuple[str, ...]]] = {
    "Forecast": (*POINT, *OVER_SERIES, SKILL, SERIES_BELOW_BASELINE),
    "Regression": (*POINT, SKILL),
    "Classification": (*CLASS, *TWO_CLASSES, SKILL),
}

_DEFAULT_OBJECTIVES: Final[dict[Task, tuple[str, ...]]] = {
    "Forecast": ("mae",),
    "Regression": ("mae",),
    "Classification": ("auc", "f1"),
}
_OVER_SERIES: Final = ("mase", "mae")
"""For many series: unscaled errors would be dominated by the largest series."""

BASELINE: Final = "baseline_"
"""Prefix of the metrics of the naive model. They are published with the others, but cannot be an objective."""

THRESHOLD: Final = "threshold"
"""Published with two classes: the chosen threshold. It is not a measure of quality."""


def ranking_metrics(spec: TrainingJobSpec) -> tuple[str, ...]:
    """Return the metrics that rank a model. The first one that the rows allow is used.

    If the specification names an objective, it is the only one.
    """
    if spec.objective is not None:
        return (spec.objective.metric,)
    if spec.task == "Forecast" and spec.data.series is not None:
        return _OVER_SERIES
    return _DEFAULT_OBJECTIVES[spec.task]


def searched_metric(spec: TrainingJobSpec) -> str:
    """Return the metric that a search improves: the objective, or the default metric of the task."""
    return ranking_metrics(spec)[0]


def ranking_value(spec: TrainingJobSpec, found: Mapping[str, float]) -> float | None:
    """Return the value of the metric that ranks a model, or ``None`` if the rows do not allow any."""
    return next((found[name] for name in ranking_metrics(spec) if name in found), None)


def check_metrics(spec: TrainingJobSpec, classes: int | None = None) -> None:
    """Check that the metrics of the objective and of the gates exist, before the training starts.

    Parameters
    ----------
    classes
        Number of classes of the target, or ``None`` before the data is read.

    Raises
    ------
    ConfigError
        If a metric does not exist. The message suggests the nearest name and lists all names.
    """
    if spec.objective is not None:
        _check_name("spec.objective.metric", spec.objective.metric, spec.task, classes)
        _check_goal(spec.objective)
    for index, gate in enumerate(spec.gates or ()):
        if gate.metric.startswith(DATA):
            _check_data_gate(index, gate)
            continue
        metric = _without_backtest(f"spec.gates[{index}].metric", gate.metric, spec)
        _check_name(f"spec.gates[{index}].metric", metric, spec.task, classes)
        if gate.compare_to is not None and metric == BIAS:
            raise ConfigError(
                f"spec.gates[{index}] compares {gate.metric} with the champion, but neither a larger nor a "
                "smaller value of it is better: limit it from both sides, with op and value"
            )


def _check_data_gate(index: int, gate: Gate) -> None:
    """Check a gate on the data. Its metric is already a comparison with the champion."""
    if gate.metric not in DATA_METRICS:
        near = difflib.get_close_matches(gate.metric, DATA_METRICS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"spec.gates[{index}].metric {gate.metric} is not a metric of the data{hint}; these metrics "
            f"exist: {', '.join(DATA_METRICS)}"
        )
    if gate.compare_to is not None:
        raise ConfigError(
            f"spec.gates[{index}] compares {gate.metric} with the champion, but this metric already is a "
            "comparison with the data of the champion: limit it with op and value"
        )


def check_container_metrics(spec: TrainingJobSpec) -> None:
    """Check that the direction of compared metrics is set, because the user's own code can name metrics freely.

    Whether a metric exists is only known after the training. A gate without its metric fails.

    Raises
    ------
    ConfigError
        If a direction is missing. The message names the field that sets it.
    """
    for index, gate in enumerate(spec.gates or ()):
        if gate.compare_to is not None and goal_of(gate.metric, spec.objective) is None:
            raise ConfigError(
                f"spec.gates[{index}] compares {gate.metric} with the champion, but it is unknown whether a "
                f"larger value is better: set spec.objective to {{metric: {gate.metric}, goal: Minimize}}, or to "
                "Maximize"
            )


def _without_backtest(field: str, metric: str, spec: TrainingJobSpec) -> str:
    """Return the metric without the backtest prefix. Raises ConfigError if it has one but the job has no backtest."""
    if metric.startswith(BACKTEST) and spec.backtest is None:
        raise ConfigError(f"{field} {metric} needs the section spec.backtest (at least backtest.windows)")
    return metric.removeprefix(BACKTEST)


def _check_name(field: str, metric: str, task: Task, classes: int | None) -> None:
    names = METRICS[task]
    if classes is not None and classes > 2:
        names = tuple(name for name in names if name not in TWO_CLASSES)
    if metric in names:
        return
    near = difflib.get_close_matches(metric.lower(), names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    of = f"task {task}" if classes is None else f"a target of {classes} classes"
    raise ConfigError(f"{field} {metric} is not a metric of {of}{hint}; these metrics exist: {', '.join(names)}")


def _check_goal(objective: Objective) -> None:
    """Check that a goal agrees with the metric. Otherwise, every worse model would count as better."""
    if objective.metric == BIAS:
        raise ConfigError(
            f"spec.objective.metric {BIAS} cannot rank models, because a value nearer to 0 is better from "
            f"both sides; use mae, and limit {BIAS} with gates"
        )
    known = goal_of(objective.metric)
    if objective.goal is not None and objective.goal != known:
        raise ConfigError(
            f"spec.objective.goal {objective.goal} is wrong for {objective.metric}: remove it, or write {known}"
        )
