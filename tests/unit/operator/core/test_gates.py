"""Gates: which are met, which are not, and that an unknown value never passes."""

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard_api.metric_goals import GOALS
from trainyard_api.modelversion import GateResult
from trainyard_api.training import Gate, Objective
from trainyard_operator.core.champion import Chosen
from trainyard_operator.core.version.gates import Candidate, Champion, judge

ROWS = "sha256:" + "a" * 64
OTHER_ROWS = "sha256:" + "b" * 64


def gate(metric: str = "mae", **fields: Any) -> Gate:
    return Gate.model_validate({"metric": metric, **fields})


def chosen(version: int = 3, digest: str = "c" * 64) -> Chosen:
    return Chosen(version, digest, None)


def judge_one(
    wanted: Gate, value: str | None, best: str | None = None, *, objective: Objective | None = None, rows: str = ROWS
) -> GateResult:
    """Judge one gate. ``best`` is the value of the champion, version 3."""
    candidate = Candidate({} if value is None else {wanted.metric: value}, ROWS, objective)
    champion = None if best is None else Champion(chosen(), {wanted.metric: best}, rows)
    (result,) = judge([wanted], candidate, champion)
    return result


@pytest.mark.parametrize(
    ("op", "value", "met"),
    [
        ("<", "0.2", False),
        ("<=", "0.2", True),
        ("<=", "0.200001", False),
        (">", "0.2", False),
        (">", "2e-1", False),
        (">", "0.3", True),
        (">=", "0.20", True),
        ("==", "2E-1", True),
        ("==", "0.21", False),
    ],
)
def test_a_gate_with_a_fixed_value(op: str, value: str, met: bool) -> None:
    result = judge_one(gate("mape", op=op, value=0.2), value)
    assert (result.passed, result.reason) == (met, "Met" if met else "NotMet")
    assert (result.op, result.threshold) == (op, "0.2")
    assert Decimal(result.value or "nan") == Decimal(value)


def test_the_message_has_the_numbers() -> None:
    assert judge_one(gate("mape", op="<=", value=0.2), "0.31").message == "mape 0.31: required <= 0.2"
    beaten = judge_one(gate("mae", compareTo="Champion", tolerance=0.02), "31.5", "30")
    assert beaten.message == "mae 31.5: version 3 has 30, required <= 30.6"
    assert (beaten.champion, beaten.champion_value, beaten.threshold, beaten.value) == (3, "30", "30.6", "31.5")


@pytest.mark.parametrize(
    ("metric", "best", "tolerance", "threshold"),
    [
        ("mae", "30", 0.02, "30.6"),
        ("mae", "30", None, "30"),
        ("mae", "0.1", 0.02, "0.102"),  # with floats this would be 0.10200000000000001
        ("mae", "0", 0.5, "0"),
        ("log_loss", "-4", 0.25, "-3"),
        ("auc", "0.9", 0.1, "0.81"),
        ("r2", "-4", 0.25, "-5"),
        ("skill", "0", 0.5, "0"),
        ("mae", "1e-7", 1, "2E-7"),
    ],
)
def test_the_threshold_of_a_champion_gate(metric: str, best: str, tolerance: float | None, threshold: str) -> None:
    wanted = gate(metric, compareTo="Champion", tolerance=tolerance)
    result = judge_one(wanted, threshold, best)
    assert result.threshold == threshold
    assert result.passed, "a value equal to the threshold passes"
    step = Decimal("1e-9") if GOALS[metric] == "Minimize" else -Decimal("1e-9")
    assert judge_one(wanted, str(Decimal(threshold) + step), best).reason == "NotMet"


def test_the_first_version_has_no_champion_and_passes() -> None:
    result = judge_one(gate("mae", compareTo="Champion"), "1.5")
    assert (result.passed, result.reason, result.champion) == (True, "NoChampion", None)


@pytest.mark.parametrize("champion", [None, "30"])
@pytest.mark.parametrize("wanted", [gate(op="<", value=9), gate(compareTo="Champion")], ids=["fixed", "champion"])
def test_a_missing_metric_is_not_met(wanted: Gate, champion: str | None) -> None:
    result = judge_one(wanted, None, champion)
    assert (result.passed, result.reason) == (False, "MetricMissing")
    assert "mae was not reported" in result.message


def test_a_champion_without_the_metric_or_its_object_passes_nothing() -> None:
    candidate = Candidate({"mae": "1"}, ROWS)
    for champion, words in (
        (Champion(chosen(), {"rmse": "1"}, ROWS), "version 3, the champion: mae was not reported"),
        (Champion(chosen(), None), "version 3 is the champion, but no ModelVersion has its metrics"),
    ):
        (result,) = judge([gate(compareTo="Champion")], candidate, champion)
        assert (result.passed, result.reason, result.champion) == (False, "MetricMissing", 3)
        assert words in result.message


@pytest.mark.parametrize(("own", "its"), [(ROWS, OTHER_ROWS), (ROWS, None), (None, ROWS), (None, None)])
def test_metrics_on_other_rows_are_not_compared(own: str | None, its: str | None) -> None:
    (result,) = judge([gate(compareTo="Champion")], Candidate({"mae": "1"}, own), Champion(chosen(), {"mae": "9"}, its))
    assert (result.passed, result.reason) == (False, "HoldoutDiffers")


@pytest.mark.parametrize(
    ("formats", "reason", "advice"),
    [
        (["LightGBM"], "HoldoutDiffers", "train again"),
        (
            ["Script"],
            "ChampionNotServable",
            "models of framework Script cannot be compared on the same rows: use a gate with op and value",
        ),
        (
            ["Container"],
            "ChampionNotServable",
            "models of framework Container cannot be compared on the same rows: use a gate with op and value",
        ),
    ],
)
def test_the_advice_fits_the_framework(formats: list[str], reason: str, advice: str) -> None:
    candidate = Candidate({"mae": "1"}, "b" * 64, formats=formats)
    (result,) = judge([gate(compareTo="Champion")], candidate, Champion(chosen(), {"mae": "9"}, ROWS))
    assert (result.passed, result.reason) == (False, reason)
    assert advice in (result.message or "")


def test_a_digest_is_the_same_with_and_without_its_prefix() -> None:
    assert judge_one(gate(compareTo="Champion"), "1", "2", rows=ROWS.removeprefix("sha256:")).passed


def test_an_unknown_metric_needs_a_goal() -> None:
    wanted = gate("lift", compareTo="Champion")
    assert judge_one(wanted, "2", "1").reason == "GoalUnknown"
    assert judge_one(wanted, "2").reason == "GoalUnknown", (
        "also without a champion, because the next version will have one"
    )
    assert judge_one(wanted, "2", "1", objective=Objective(metric="lift")).reason == "GoalUnknown"
    assert judge_one(wanted, "2", "1", objective=Objective(metric="other", goal="Maximize")).reason == "GoalUnknown"
    assert judge_one(wanted, "2", "1", objective=Objective(metric="lift", goal="Maximize")).passed
    assert not judge_one(wanted, "2", "1", objective=Objective(metric="lift", goal="Minimize")).passed


def test_a_gate_with_confidence_needs_a_comparison() -> None:
    wanted = gate(compareTo="Champion", confidence=0.9)
    assert judge_one(wanted, "31", "30").reason == "NotMet"
    result = judge_one(wanted, "29", "30")
    assert (result.passed, result.reason) == (False, "Inconclusive")
    assert "no interval at confidence 0.9" in result.message
    assert judge_one(wanted, "29").reason == "NoChampion"


@pytest.mark.parametrize(
    ("reported", "champion", "reason"),
    [
        (None, None, "NoChampion"),
        (None, "30", "MetricMissing"),
        ("nan", None, "MetricMissing"),
        ("0.1", None, "Met"),
        ("0.3", None, "NotMet"),
        ("0.1", "30", "Met"),
    ],
)
def test_a_gate_on_the_data_needs_data_to_compare_with(reported: str | None, champion: str | None, reason: str) -> None:
    assert judge_one(gate("data_shift", op="<=", value=0.2), reported, champion).reason == reason
    assert judge_one(gate("datum", op="<=", value=0.2), None).reason == "MetricMissing", (
        "this applies to no other metric name"
    )


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
METRICS = st.sampled_from(sorted(GOALS))
GATES = st.one_of(
    st.builds(lambda op, value: gate(op=op, value=value), st.sampled_from(["<", "<=", ">", ">=", "=="]), NUMBERS),
    st.builds(lambda tolerance: gate(compareTo="Champion", tolerance=tolerance), st.floats(0, allow_infinity=False)),
)


@given(GATES, st.sampled_from(["nan", "NaN", "inf", "-inf", "1e999", "-1e999", "", "good", "1e9999999999999999999"]))
def test_a_value_that_is_not_finite_never_passes(wanted: Gate, value: str) -> None:
    assert not judge_one(wanted, value).passed
    assert not judge_one(wanted, value, "1").passed
    if wanted.compare_to:
        assert not judge_one(wanted, "1", value).passed


@given(METRICS, NUMBERS, NUMBERS, NUMBERS, st.floats(0, allow_infinity=False))
def test_a_better_value_never_fails_where_a_worse_one_passes(
    metric: str, first: float, second: float, best: float, tolerance: float
) -> None:
    worse, better = sorted((first, second), reverse=GOALS[metric] == "Minimize")
    wanted = gate(metric, compareTo="Champion", tolerance=tolerance)
    if judge_one(wanted, repr(worse), repr(best)).passed:
        assert judge_one(wanted, repr(better), repr(best)).passed


@given(NUMBERS, NUMBERS, st.floats(0, allow_infinity=False))
def test_minimize_and_maximize_are_symmetric(value: float, best: float, tolerance: float) -> None:
    wanted = gate("x", compareTo="Champion", tolerance=tolerance)
    low = judge_one(wanted, repr(value), repr(best), objective=Objective(metric="x", goal="Minimize"))
    high = judge_one(wanted, repr(-value), repr(-best), objective=Objective(metric="x", goal="Maximize"))
    assert low.passed == high.passed
    assert Decimal(low.threshold or "nan") == -Decimal(high.threshold or "nan")


@given(NUMBERS, NUMBERS, NUMBERS, st.floats(0, 1e6))
def test_a_value_equal_to_the_champion_always_passes(value: float, best: float, fixed: float, tolerance: float) -> None:
    for metric in ("mae", "auc"):
        assert judge_one(gate(metric, compareTo="Champion", tolerance=tolerance), repr(best), repr(best)).passed
    assert judge_one(gate(op="<=", value=fixed), repr(value)).passed == (value <= fixed)
    assert math.isfinite(float(judge_one(gate(op="<=", value=fixed), repr(value)).threshold or "nan"))
