"""Result of one gate, and the comparison of its numbers."""

from decimal import Decimal
from typing import Any, Final, assert_never

from trainyard_api.modelversion import GateReason, GateResult
from trainyard_api.training import Comparator, Gate, Goal
from trainyard_operator.core.version.numbers import text_of

PASSES: Final[frozenset[GateReason]] = frozenset({"Met", "NoChampion"})
_LONGEST: Final = 1024

Details = dict[str, Any]
"""Fields of a result by their Python names."""


def result(gate: Gate, reason: GateReason, message: str, details: Details | None = None) -> GateResult:
    """Return the result of a gate. It passes only if its reason is in ``PASSES``."""
    base = {"metric": gate.metric, "passed": reason in PASSES, "reason": reason, "message": message[:_LONGEST]}
    return GateResult.model_validate({**base, **(details or {})})


def holds(value: Decimal, op: Comparator, threshold: Decimal) -> bool:
    """Return whether a value satisfies a comparison."""
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


def tolerance_of(gate: Gate, best: Decimal) -> Decimal:
    """Return the tolerance as a number: a fraction of the absolute value of the champion's metric."""
    return Decimal(repr(gate.tolerance or 0)) * abs(best)


def threshold_of(goal: Goal, best: Decimal, tolerance: Decimal) -> tuple[Comparator, Decimal]:
    """Return the condition that a value must satisfy to be no worse than the champion, within the tolerance."""
    return ("<=", best + tolerance) if goal == "Minimize" else (">=", best - tolerance)


def against(op: Comparator, threshold: Decimal, value: Decimal, best: Decimal, champion: int) -> Details:
    """Return the numbers of a comparison with the champion."""
    return {
        "value": text_of(value),
        "op": op,
        "threshold": text_of(threshold),
        "champion": champion,
        "champion_value": text_of(best),
    }
