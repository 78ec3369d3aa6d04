"""The metrics of each task by name: what an objective or a gate may ask for, known before any data is read.

The evaluation may leave one of them out, where the holdout does not allow it, and never adds one: a test compares
these lists with what the frameworks return.
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
"""Nearer to 0 is better, from either side: a gate may bound it, and nothing can rank by it."""

POINT: Final = ("mae", "rmse", "mape", "smape", "wape", "r2", BIAS)
OVER_SERIES: Final = ("mase", "rmsse", "weighted_mae", "weighted_mase")
CLASS: Final = ("accuracy", "precision", "recall", "f1", "log_loss", "auc")
TWO_CLASSES: Final = ("average_precision", "brier", "accuracy@0.5", "precision@0.5", "recall@0.5", "f1@0.5")
"""Only where the target has exactly two classes."""

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
"""Of many series: errors in units would let the largest one decide alone."""

BASELINE: Final = "baseline_"
"""Before the name of a metric: that of the naive model. Published beside the others, and no objective."""

THRESHOLD: Final = "threshold"
"""Published with two classes: the cut that was chosen, not a quality."""


def ranking_metrics(spec: TrainingJobSpec) -> tuple[str, ...]:
    """Return what ranks a model: the first of these metrics that the rows allow. Known before any data is read.

    The objective alone where the specification names one.
    """
    if spec.objective is not None:
        return (spec.objective.metric,)
    if spec.task == "Forecast" and spec.data.series is not None:
        return _OVER_SERIES
    return _DEFAULT_OBJECTIVES[spec.task]


def searched_metric(spec: TrainingJobSpec) -> str:
    """Return the metric that a search makes better: the objective, or what ranks models of the task without one."""
    return ranking_metrics(spec)[0]


def ranking_value(spec: TrainingJobSpec, found: Mapping[str, float]) -> float | None:
    """Return the value of what ranks a model; ``None`` where the rows allow none of it."""
    return next((found[name] for name in ranking_metrics(spec) if name in found), None)


def check_metrics(spec: TrainingJobSpec, classes: int | None = None) -> None:
    """Refuse an objective or a gate that has no metric to judge, before hours are spent on a lost cause.

    Parameters
    ----------
    classes
        How many classes the target has, once the data is read; ``None`` before.

    Raises
    ------
    ConfigError
        With the nearest name and all names there are.
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
                f"spec.gates[{index}] compares {gate.metric} with the champion, and neither more nor less of it is "
                "better: bound it from both sides, with op and value"
            )


def _check_data_gate(index: int, gate: Gate) -> None:
    """Judge a gate on the data: its metric is a comparison with the champion already."""
    if gate.metric not in DATA_METRICS:
        near = difflib.get_close_matches(gate.metric, DATA_METRICS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"spec.gates[{index}].metric {gate.metric} is no metric of the data{hint}; there are "
            f"{', '.join(DATA_METRICS)}"
        )
    if gate.compare_to is not None:
        raise ConfigError(
            f"spec.gates[{index}] compares {gate.metric} with the champion, and it is a comparison with the champion's "
            "data already: bound it with op and value"
        )


def check_container_metrics(spec: TrainingJobSpec) -> None:
    """Refuse a comparison of which nobody says what is better: the user's own code names its metrics itself.

    Whether one comes is seen when the version is judged, and a gate without its metric is not met.

    Raises
    ------
    ConfigError
        With the field that says which way is better.
    """
    for index, gate in enumerate(spec.gates or ()):
        if gate.compare_to is not None and goal_of(gate.metric, spec.objective) is None:
            raise ConfigError(
                f"spec.gates[{index}] compares {gate.metric} with the champion, and nothing says whether more of it is "
                f"better: set spec.objective to {{metric: {gate.metric}, goal: Minimize}}, or to Maximize"
            )


def _without_backtest(field: str, metric: str, spec: TrainingJobSpec) -> str:
    """Return the metric whose value over the cutoffs of a backtest a gate asks for, or the one it names."""
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
    raise ConfigError(f"{field} {metric} is no metric of {of}{hint}; there are {', '.join(names)}")


def _check_goal(objective: Objective) -> None:
    """A goal against the metric's meaning would let every worse model pass for a better one."""
    if objective.metric == BIAS:
        raise ConfigError(
            f"spec.objective.metric {BIAS} cannot rank models: nearer to 0 is better, from either side; take mae, and "
            f"gates that bound {BIAS}"
        )
    known = goal_of(objective.metric)
    if objective.goal is not None and objective.goal != known:
        raise ConfigError(
            f"spec.objective.goal {objective.goal} is the wrong way round for {objective.metric}: leave it out, or "
            f"write {known}"
        )
