"""Champion gates judged by the trainer's comparison: both models on the same rows, with an interval."""

from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.operator.core.test_gates import chosen, gate
from trainyard_api.metric_goals import GOALS
from trainyard_api.modelversion import Comparison, ComparisonReason, GateReason, GateResult
from trainyard_api.training import Gate, Objective
from trainyard_operator.core.champion import Chosen
from trainyard_operator.core.version.gates import Candidate, Champion, judge

OTHER_REASONS = [reason for reason in get_args(ComparisonReason) if reason != "Compared"]


def entry(value: str, champion: str, low: str | None = None, high: str | None = None, **more: Any) -> dict[str, Any]:
    difference = str(Decimal(value) - Decimal(champion))
    fields = {"name": "mae", "value": value, "champion": champion, "difference": difference, "low": low, "high": high}
    return {**{key: text for key, text in fields.items() if text is not None}, **more}


def comparison(*entries: dict[str, Any], **more: Any) -> Comparison:
    fields = {"champion": 3, "championDigest": "c" * 64, "reason": "Compared", "rows": 412, "units": 40}
    return Comparison.model_validate({**fields, "metrics": list(entries), **more})


def judge_one(
    wanted: Gate, found: Comparison, *, present: Chosen | None = None, value: str | None = "99"
) -> GateResult:
    """Judge a gate. The metrics that both trainings reported differ from the comparison, and must not count."""
    candidate = Candidate({} if value is None else {wanted.metric: value}, "a" * 64, None, found)
    champion = Champion(present or chosen(), {wanted.metric: "1"}, "b" * 64)
    (result,) = judge([wanted], candidate, champion)
    return result


CHAMPION_GATE = gate(compareTo="Champion", tolerance=0.02)
CONFIDENT = gate(compareTo="Champion", tolerance=0.02, confidence=0.95)


@pytest.mark.parametrize(("value", "reason"), [("30", "Met"), ("30.6", "Met"), ("30.61", "NotMet"), ("0", "Met")])
def test_without_confidence_the_difference_decides(value: str, reason: str) -> None:
    result = judge_one(CHAMPION_GATE, comparison(entry(value, "30", "-99", "99")))
    assert result.reason == reason
    assert (result.value, result.champion, result.champion_value, result.threshold) == (value, 3, "30", "30.6")


def test_the_message_has_rows_and_interval() -> None:
    result = judge_one(CHAMPION_GATE, comparison(entry("30.2", "30", "-0.1", "0.9")))
    assert result.message == (
        "mae 30.2: version 3 has 30 on the same 412 rows (40 independent units), required <= 30.6; "
        "the difference is 0.2, between -0.1 and 0.9 at confidence 0.95"
    )
    assert (result.difference, result.low, result.high, result.confidence) == ("0.2", "-0.1", "0.9", 0.95)
    bare = judge_one(CHAMPION_GATE, comparison(entry("30.2", "30"), rows=None, units=None))
    assert bare.message.endswith("on the same rows, required <= 30.6; the difference is 0.2, without an interval")


@pytest.mark.parametrize(
    ("value", "low", "high", "reason"),
    [
        ("30.2", "-0.1", "0.6", "Met"),
        ("30.2", "-0.1", "0.61", "Inconclusive"),
        ("29", "-2", "0.7", "Inconclusive"),
        ("31", "-0.1", "2.1", "NotMet"),
        ("31", "0.9", "1.1", "NotMet"),
        ("30.2", None, None, "Inconclusive"),
        ("30.2", "0.6", "-0.1", "Inconclusive"),
        ("30.2", "-0.1", "1e999", "Inconclusive"),
    ],
)
def test_with_confidence_the_whole_interval_decides(value: str, low: str | None, high: str | None, reason: str) -> None:
    result = judge_one(CONFIDENT, comparison(entry(value, "30", low, high)))
    assert (result.reason, result.passed) == (reason, reason == "Met")


def test_with_goal_maximize_the_lower_bound_decides() -> None:
    wanted = gate("auc", compareTo="Champion", tolerance=0.1, confidence=0.95)
    for low, reason in (("-0.08", "Met"), ("-0.0801", "Inconclusive")):
        assert judge_one(wanted, comparison(entry("0.79", "0.8", low, "0.5", name="auc"))).reason == reason


def test_an_inconclusive_gate_says_what_to_do() -> None:
    result = judge_one(CONFIDENT, comparison(entry("30.2", "30", "-0.1", "0.9")))
    assert result.message.endswith(
        "the difference is 0.2, between -0.1 and 0.9 at confidence 0.95; the whole interval must be at most 0.6: "
        "hold out more rows, allow a larger tolerance or a lower confidence, or validate this version by hand "
        "(action validate/<token>)"
    )


def test_the_interval_with_the_confidence_of_the_gate_counts() -> None:
    entries = [
        entry("30.2", "30", "-0.1", "0.5", confidence=0.8),
        entry("30.2", "30", "-0.2", "0.6", confidence=0.95),
        entry("30.2", "30", "-0.9", "0.9", confidence=0.99),
    ]
    for confidence, reason, confidence_used in (
        (0.8, "Met", 0.8),
        (0.9, "Met", 0.95),
        (0.95, "Met", 0.95),
        (0.99, "Inconclusive", 0.99),
        (0.999, "Inconclusive", None),
    ):
        result = judge_one(gate(compareTo="Champion", tolerance=0.02, confidence=confidence), comparison(*entries))
        assert (result.reason, result.confidence) == (reason, confidence_used)
    assert "no interval at confidence 0.999" in result.message


@pytest.mark.parametrize("reason", OTHER_REASONS)
def test_a_comparison_without_a_result_keeps_its_reason(reason: str) -> None:
    result = judge_one(CHAMPION_GATE, comparison(reason=reason, message="column price is gone", metrics=None))
    assert (result.passed, result.reason, result.champion) == (False, reason, 3)
    assert "column price is gone; " in result.message
    assert result.message.endswith("or validate this version by hand (action validate/<token>)")


def test_the_advice_is_kept_in_a_long_message() -> None:
    result = judge_one(CHAMPION_GATE, comparison(reason="ChampionIncompatible", message="x" * 1024, metrics=None))
    assert result.message.endswith("(action validate/<token>)")
    assert len(result.message) <= 1024


@pytest.mark.parametrize("present", [chosen(4), chosen(3, "d" * 64), chosen(3, "")], ids=["number", "digest", "none"])
def test_a_comparison_with_a_former_champion_does_not_count(present: Chosen) -> None:
    for found in (comparison(entry("1", "30")), comparison(reason="TooFewRows", metrics=None)):
        result = judge_one(CHAMPION_GATE, found, present=present)
        assert (result.passed, result.reason, result.champion) == (False, "ChampionChanged", present.version)
        assert "the trainer compared with version 3" in result.message


def test_a_metric_that_was_not_compared_is_missing() -> None:
    for entries in ([], [entry("1", "30", name="rmse")], [entry("1e999", "30")], [entry("1", "1e999")]):
        result = judge_one(CHAMPION_GATE, comparison(*entries), value="1")
        assert (result.passed, result.reason) == (False, "MetricMissing")


def test_the_comparison_counts_if_the_metrics_were_truncated() -> None:
    assert judge_one(CHAMPION_GATE, comparison(entry("30", "30")), value=None).reason == "Met"


def test_without_a_current_champion_the_comparison_does_not_count() -> None:
    """The champion was rolled back and no other exists, so the version counts as the first one."""
    (result,) = judge([CHAMPION_GATE], Candidate({"mae": "9"}, None, None, comparison(entry("9", "1"))), None)
    assert result.reason == "NoChampion"


def test_a_comparison_of_an_unknown_metric_needs_a_goal() -> None:
    found = comparison(entry("1", "30", name="lift"))
    assert judge_one(gate("lift", compareTo="Champion"), found).reason == "GoalUnknown"


NUMBERS = st.decimals(-1000, 1000, places=3)


@given(st.sampled_from(sorted(GOALS)), NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.floats(0, 1))
def test_confidence_never_passes_a_gate_that_fails_without_it(
    metric: str, value: Decimal, best: Decimal, one_end: Decimal, other: Decimal, tolerance: float
) -> None:
    low, high = sorted((one_end, other))
    found = comparison(entry(f"{value:f}", f"{best:f}", f"{low:f}", f"{high:f}", name=metric))
    plain = judge_one(gate(metric, compareTo="Champion", tolerance=tolerance), found)
    sure = judge_one(gate(metric, compareTo="Champion", tolerance=tolerance, confidence=0.95), found)
    assert plain.reason in ("Met", "NotMet")
    assert plain.passed or not sure.passed
    assert sure.reason == plain.reason or (plain.passed and sure.reason == "Inconclusive")


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.floats(0, 1))
def test_minimize_and_maximize_are_symmetric_in_comparisons(
    value: Decimal, best: Decimal, one_end: Decimal, other: Decimal, tolerance: float
) -> None:
    low, high = sorted((one_end, other))
    wanted = gate("x", compareTo="Champion", tolerance=tolerance, confidence=0.95)

    def reason(found: Comparison, objective: Objective) -> GateReason:
        champion = Champion(chosen(), None)
        return judge([wanted], Candidate({}, None, objective, found), champion)[0].reason

    up = comparison(entry(f"{value:f}", f"{best:f}", f"{low:f}", f"{high:f}", name="x"))
    down = comparison(entry(f"{-value:f}", f"{-best:f}", f"{-high:f}", f"{-low:f}", name="x"))
    assert reason(up, Objective(metric="x", goal="Minimize")) == reason(down, Objective(metric="x", goal="Maximize"))
