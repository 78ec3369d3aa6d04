"""Gates with ``compareTo: Champion`` that use the trainer's comparison of both models on the same rows.

Without ``confidence``, the difference decides. With it, the whole interval of the difference must be within the
tolerance (a non-inferiority test). Few rows make a wide interval, which does not meet the gate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from trainyard_api.modelversion import ComparedMetric, Comparison, ComparisonReason, GateReason, GateResult
from trainyard_api.training import Gate, Goal
from trainyard_operator.core.champion import Chosen, bare
from trainyard_operator.core.version.numbers import finite, text_of
from trainyard_operator.core.version.results import Details, against, holds, result, threshold_of, tolerance_of

OVERRULE: Final = "or validate this version by hand (action validate/<token>)"
"""Next step that is always possible."""

_LONGEST_REPORT: Final = 500
"""Maximum length of the trainer's message in a gate's message."""

_ONCE: Final = "train once without this gate"

_WAYS_ON: Final[Mapping[ComparisonReason, str]] = MappingProxyType(
    {
        "ChampionIncompatible": _ONCE,
        "ChampionNotServable": _ONCE,
        "ChampionUnreadable": f"restore its files and train again, {_ONCE}",
        "ChampionUnavailable": "train again when its storage is available",
        "ChampionTooLarge": f"train again with more memory (resources.limits.memory), {_ONCE}",
        "ChampionTooSlow": f"train again with fewer held-out rows or a longer activeDeadlineSeconds, {_ONCE}",
        "ChampionKnowsRows": f"train again with newer rows, {_ONCE}",
        "TooFewRows": "hold out more rows (split.testFraction), or train with more data",
    }
)
"""Next step for a champion that could not be compared, by the reason in the comparison."""


@dataclass(frozen=True)
class _Interval:
    """Interval of the difference. ``confidence`` is the trainer's, and at least that of the gate."""

    low: Decimal
    high: Decimal
    confidence: float


def judge(gate: Gate, goal: Goal, comparison: Comparison, champion: Chosen) -> GateResult:
    """Judge a gate by the numbers of a comparison, if they are about the current champion."""
    details: Details = {"champion": champion.version}
    if comparison.champion != champion.version or bare(comparison.champion_digest) != champion.digest:
        return result(gate, "ChampionChanged", _changed(gate, comparison, champion), details)
    if comparison.reason != "Compared":
        said = comparison.message[:_LONGEST_REPORT] or "the trainer gave no explanation"
        message = (
            f"{gate.metric}: version {champion.version}, the champion, could not be compared: {said}; "
            f"{_WAYS_ON[comparison.reason]}, {OVERRULE}"
        )
        return result(gate, comparison.reason, message, details)
    entries = [each for each in comparison.metrics or () if each.name == gate.metric]
    for entry in entries:
        value, best = finite(entry.value), finite(entry.champion)
        if value is not None and best is not None:
            return _compared(gate, goal, comparison, _Numbers(value, best, entry.difference), entries)
    message = f"{gate.metric} is not one of the compared metrics, so the gate is not met"
    return result(gate, "MetricMissing", message, details)


@dataclass(frozen=True)
class _Numbers:
    value: Decimal
    best: Decimal
    difference: str


def _compared(
    gate: Gate, goal: Goal, comparison: Comparison, numbers: _Numbers, entries: list[ComparedMetric]
) -> GateResult:
    value, best = numbers.value, numbers.best
    tolerance = tolerance_of(gate, best)
    op, threshold = threshold_of(goal, best, tolerance)
    interval = _interval(entries, gate.confidence)
    details = {**against(op, threshold, value, best, comparison.champion), "difference": numbers.difference}
    if interval is not None:
        details |= {
            "low": text_of(interval.low),
            "high": text_of(interval.high),
            "confidence": interval.confidence,
        }
    said = (
        f"{gate.metric} {text_of(value)}: version {comparison.champion} has {text_of(best)} on the same "
        f"{_rows(comparison)}, required {op} {text_of(threshold)}; {_interval_text(numbers, interval)}"
    )
    reason: GateReason = "Met"
    if not holds(value, op, threshold):
        reason = "NotMet"
    elif gate.confidence is not None and not _lies_within(interval, goal, tolerance):
        reason = "Inconclusive"
        said += f"; {_inconclusive(gate, goal, interval, tolerance)}"
    return result(gate, reason, said, details)


def _interval(entries: list[ComparedMetric], confidence: float | None) -> _Interval | None:
    """Return the interval with the lowest confidence that is at least ``confidence``."""
    found = []
    for entry in entries:
        low, high = finite(entry.low), finite(entry.high)
        if low is not None and high is not None and low <= high and entry.confidence >= (confidence or 0):
            found.append(_Interval(low, high, entry.confidence))
    return min(found, key=lambda each: each.confidence, default=None)


def _lies_within(interval: _Interval | None, goal: Goal, tolerance: Decimal) -> bool:
    if interval is None:
        return False
    return interval.high <= tolerance if goal == "Minimize" else interval.low >= -tolerance


def _changed(gate: Gate, comparison: Comparison, champion: Chosen) -> str:
    now = f"version {champion.version} is the champion now"
    if comparison.champion == champion.version:
        now = f"version {champion.version} has another digest now"
    return f"{gate.metric}: the trainer compared with version {comparison.champion}, but {now}: train again, {OVERRULE}"


def _rows(comparison: Comparison) -> str:
    rows = "rows" if comparison.rows is None else f"{comparison.rows} rows"
    return rows if comparison.units is None else f"{rows} ({comparison.units} independent units)"


def _interval_text(numbers: _Numbers, interval: _Interval | None) -> str:
    difference = f"the difference is {numbers.difference}"
    if interval is None:
        return f"{difference}, without an interval"
    return (
        f"{difference}, between {text_of(interval.low)} and {text_of(interval.high)} "
        f"at confidence {interval.confidence:g}"
    )


def _inconclusive(gate: Gate, goal: Goal, interval: _Interval | None, tolerance: Decimal) -> str:
    if interval is None:
        why = f"the trainer reported no interval at confidence {gate.confidence:g}"
    else:
        bound = f"at most {text_of(tolerance)}" if goal == "Minimize" else f"at least {text_of(-tolerance)}"
        why = f"the whole interval must be {bound}"
    return f"{why}: hold out more rows, allow a larger tolerance or a lower confidence, {OVERRULE}"
