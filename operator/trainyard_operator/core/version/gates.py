"""Is a version good enough? Fixed values and a comparison with the champion, fail closed.

A gate is met only by a number that is there, is finite and says yes. A missing metric, one that is no finite number, a
champion judged on other rows, a metric of which nobody knows what is better: none of them is a pass. Only a champion
gate without a champion is met, since a model's first version has nothing to be compared with; it says so.

A champion's threshold is ``value + tolerance * |value|`` where less is better and ``value - tolerance * |value|`` where
more is: with the magnitude, so that a tolerance makes room on the right side of a negative value too. At a value of 0 a
fraction is no room at all. Arithmetic is decimal: 0.1 with a tolerance of 0.02 is 0.102 and nothing else.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import assert_never

from trainyard_api.metric_goals import goal_of
from trainyard_api.modelversion import GateReason, GateResult
from trainyard_api.training import Gate, Goal, Objective, Operator


@dataclass(frozen=True)
class Candidate:
    """The version that is judged: its metrics as text by name, and the rows they were measured on."""

    metrics: Mapping[str, str]
    holdout_digest: str | None = None
    objective: Objective | None = None


@dataclass(frozen=True)
class Champion:
    """The version to beat. ``metrics`` is ``None`` when only its number is known: its ModelVersion is gone."""

    version: int
    metrics: Mapping[str, str] | None
    holdout_digest: str | None = None
    digest: str = ""


def judge(gates: Sequence[Gate], candidate: Candidate, champion: Champion | None) -> list[GateResult]:
    """Return one result for each gate, in their order."""
    return [_judge(gate, candidate, champion) for gate in gates]


def _judge(gate: Gate, candidate: Candidate, champion: Champion | None) -> GateResult:
    value = _number(candidate.metrics, gate.metric)
    if isinstance(value, str):
        return _result(gate, "MetricMissing", f"{value}, so the gate is not met")
    if gate.compare_to is not None:
        return _beside_champion(gate, value, candidate, champion)
    if gate.op is None or gate.value is None:
        raise AssertionError("a gate has either compareTo or op and value: Gate checks it")
    threshold = Decimal(repr(gate.value))
    said = f"{gate.metric} {_text(value)}: asked for {gate.op} {_text(threshold)}"
    return _compared(gate, value, gate.op, threshold, said)


def _beside_champion(gate: Gate, value: Decimal, candidate: Candidate, champion: Champion | None) -> GateResult:
    told: dict[str, str | int] = {"value": _text(value)}
    goal = goal_of(gate.metric, candidate.objective)
    if goal is None:
        message = f"nothing says whether a higher or a lower {gate.metric} is better; name it in spec.objective"
        return _result(gate, "GoalUnknown", message, **told)
    if champion is None:
        return _result(gate, "NoChampion", f"{gate.metric} {_text(value)}: no version to compare with yet", **told)
    told["champion"] = champion.version
    if champion.metrics is None:
        message = (
            f"version {champion.version} is the champion, and no ModelVersion has its metrics: nothing to compare "
            "with; let another version serve first"
        )
        return _result(gate, "MetricMissing", message, **told)
    if candidate.holdout_digest is None or _bare(candidate.holdout_digest) != _bare(champion.holdout_digest):
        message = (
            f"{gate.metric} {_text(value)} was measured on other rows than that of version {champion.version}: "
            "train both on one split of the same data"
        )
        return _result(gate, "HoldoutDiffers", message, **told)
    best = _number(champion.metrics, gate.metric)
    if isinstance(best, str):
        return _result(gate, "MetricMissing", f"of version {champion.version}, the champion, {best}", **told)
    op, threshold = _threshold(goal, best, gate.tolerance or 0)
    said = (
        f"{gate.metric} {_text(value)}: version {champion.version} has {_text(best)}, asked for {op} {_text(threshold)}"
    )
    return _compared(gate, value, op, threshold, said, champion=champion.version, champion_value=_text(best))


def _threshold(goal: Goal, best: Decimal, tolerance: float) -> tuple[Operator, Decimal]:
    room = Decimal(repr(tolerance)) * abs(best)
    return ("<=", best + room) if goal == "Minimize" else (">=", best - room)


def _compared(gate: Gate, value: Decimal, op: Operator, threshold: Decimal, said: str, **more: str | int) -> GateResult:
    reason: GateReason = "Met" if _holds(value, op, threshold) else "NotMet"
    return _result(gate, reason, said, op=op, value=_text(value), threshold=_text(threshold), **more)


def _holds(value: Decimal, op: Operator, threshold: Decimal) -> bool:
    match op:
        case "<":
            return value < threshold
        case "<=":
            return value <= threshold
        case ">":
            return value > threshold
        case ">=":
            return value >= threshold
        case "==":
            return value == threshold
    assert_never(op)


def _result(gate: Gate, reason: GateReason, message: str, **more: str | int) -> GateResult:
    passed = reason in ("Met", "NoChampion")
    return GateResult.model_validate(
        {"metric": gate.metric, "passed": passed, "reason": reason, "message": message, **more}
    )


def _number(metrics: Mapping[str, str], name: str) -> Decimal | str:
    """Return a metric, or the reason why there is none."""
    text = metrics.get(name)
    if text is None:
        return f"{name} was not reported"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    # By way of the shortest text of a double: a Decimal of any text could be too large to reckon with.
    return Decimal(repr(number)) if math.isfinite(number) else f"{name} is {text}, no finite number"


def _text(number: Decimal) -> str:
    """Return a number as a metric in a status is written: 0.102, 30, 2E-7."""
    digits, e, exponent = str(number).partition("E")
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits) + e + exponent


def _bare(digest: str | None) -> str | None:
    """A digest may stand with or without its ``sha256:``."""
    return digest and digest.removeprefix("sha256:")
