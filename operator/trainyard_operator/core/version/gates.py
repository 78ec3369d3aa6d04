"""Gates of a version: fixed values and a comparison with the champion. They fail closed.

A gate is met only by a finite number that satisfies it. It is not met if the metric is missing or not a finite number.
It is also not met if the champion was not compared, or if it is unknown whether a higher or a lower value is better. If
there is no champion, a gate that needs one is met, because a model's first version has nothing to be compared with. The
result says so.

If a lower value is better, a champion's threshold is ``value + tolerance * |value|``. If a higher value is better, it
is ``value - tolerance * |value|``. With the absolute value, the tolerance also works for negative values. If the value
is 0, there is no tolerance. The arithmetic is decimal: 0.1 with a tolerance of 0.02 is exactly 0.102.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from trainyard_api.metric_goals import goal_of
from trainyard_api.modelversion import Comparison, GateReason, GateResult
from trainyard_api.training import OWN_CODE, Gate, Goal, Objective
from trainyard_operator.core.champion import Chosen, bare
from trainyard_operator.core.version import comparison
from trainyard_operator.core.version.comparison import OVERRULE
from trainyard_operator.core.version.numbers import number_of, text_of
from trainyard_operator.core.version.results import Details, against, holds, result, threshold_of, tolerance_of

DATA_METRIC: Final = "data_"
"""Prefix of metrics that compare the data with the training data of the champion."""


@dataclass(frozen=True)
class Candidate:
    """The version to judge: its metrics as text by name, the rows they were measured on, and the comparison.

    ``formats`` are the formats of its files. For a user's own code, they contain the name of the framework.
    """

    metrics: Mapping[str, str]
    holdout_digest: str | None = None
    objective: Objective | None = None
    comparison: Comparison | None = None
    formats: Sequence[str] = ()


@dataclass(frozen=True)
class Champion:
    """The version to compare with. ``metrics`` is ``None`` if its ModelVersion is gone."""

    chosen: Chosen
    metrics: Mapping[str, str] | None
    holdout_digest: str | None = None


def judge(gates: Sequence[Gate], candidate: Candidate, champion: Champion | None) -> list[GateResult]:
    """Return one result for each gate, in the order of the gates."""
    return [
        _fixed(gate, candidate, champion) if gate.compare_to is None else _beside_champion(gate, candidate, champion)
        for gate in gates
    ]


def _fixed(gate: Gate, candidate: Candidate, champion: Champion | None) -> GateResult:
    value = number_of(candidate.metrics, gate.metric)
    if champion is None and gate.metric.startswith(DATA_METRIC) and gate.metric not in candidate.metrics:
        return result(gate, "NoChampion", f"{gate.metric}: there is no earlier version to compare the data with")
    if isinstance(value, str):
        return result(gate, "MetricMissing", f"{value}, so the gate is not met")
    if gate.op is None or gate.value is None:
        raise AssertionError("a gate has either compareTo or op and value: Gate checks it")
    threshold = Decimal(repr(gate.value))
    said = f"{gate.metric} {text_of(value)}: required {gate.op} {text_of(threshold)}"
    details = {"op": gate.op, "value": text_of(value), "threshold": text_of(threshold)}
    return result(gate, "Met" if holds(value, gate.op, threshold) else "NotMet", said, details)


def _beside_champion(gate: Gate, candidate: Candidate, champion: Champion | None) -> GateResult:
    goal = goal_of(gate.metric, candidate.objective)
    if goal is not None and candidate.comparison is not None and champion is not None:
        return comparison.judge(gate, goal, candidate.comparison, champion.chosen)
    value = number_of(candidate.metrics, gate.metric)
    if isinstance(value, str):
        return result(gate, "MetricMissing", f"{value}, so the gate is not met")
    details: Details = {"value": text_of(value)}
    if goal is None:
        message = (
            f"it is unknown whether a higher or a lower {gate.metric} is better; set metric and goal in spec.objective"
        )
        return result(gate, "GoalUnknown", message, details)
    if champion is None:
        return result(
            gate, "NoChampion", f"{gate.metric} {text_of(value)}: there is no version to compare with yet", details
        )
    return _reported(gate, goal, value, candidate, champion)


def _not_compared(candidate: Candidate) -> tuple[GateReason, str]:
    """Return why the trainer did not compare both models on the same rows, and what to do."""
    for framework in OWN_CODE.intersection(candidate.formats):
        return (
            "ChampionNotServable",
            f"models of framework {framework} cannot be compared on the same rows: use a gate with op and value",
        )
    return "HoldoutDiffers", "the trainer did not compare the two models: train again"


def _reported(gate: Gate, goal: Goal, value: Decimal, candidate: Candidate, champion: Champion) -> GateResult:
    """Compare the metrics that both trainings reported. This is valid only if both used the same rows."""
    number = champion.chosen.version
    details: Details = {"value": text_of(value), "champion": number}
    if champion.metrics is None:
        message = (
            f"version {number} is the champion, but no ModelVersion has its metrics, so there is nothing to compare "
            f"with; let another version serve first, {OVERRULE}"
        )
        return result(gate, "MetricMissing", message, details)
    if candidate.holdout_digest is None or bare(candidate.holdout_digest) != bare(champion.holdout_digest):
        reason, why = _not_compared(candidate)
        message = (
            f"{gate.metric} {text_of(value)} was measured on other rows than {gate.metric} of version {number}, and "
            f"{why}, {OVERRULE}"
        )
        return result(gate, reason, message, details)
    best = number_of(champion.metrics, gate.metric)
    if isinstance(best, str):
        return result(gate, "MetricMissing", f"version {number}, the champion: {best}", details)
    op, threshold = threshold_of(goal, best, tolerance_of(gate, best))
    said = f"{gate.metric} {text_of(value)}: version {number} has {text_of(best)}, required {op} {text_of(threshold)}"
    details = against(op, threshold, value, best, number)
    if not holds(value, op, threshold):
        return result(gate, "NotMet", said, details)
    if gate.confidence is not None:
        why = f"the trainer did not compare the two models, so there is no interval at confidence {gate.confidence:g}"
        return result(gate, "Inconclusive", f"{said}; {why}: remove confidence, {OVERRULE}", details)
    return result(gate, "Met", said, details)
