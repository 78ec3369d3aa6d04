"""Corrupted data is detected and reported. Valid new data is not reported."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import job
from tests.unit.trainer.report.profile.nights import (
    FORECASTS,
    SHAPES,
    TABLES,
    compared,
    config_of,
    profile,
    scaled,
    shuffled,
    valid_nights,
    warnings_of,
)
from trainyard_api.metric_goals import goal_of
from trainyard_trainer.evaluate.data_metrics import DATA_METRICS

WITH_A_MEMORY = sorted({*FORECASTS} - {"intermittent", "lumpy", "single"})
"""A series that does not follow itself has nothing to lose when it is shuffled."""


def before_and_after(name, seed=0):
    shape = SHAPES[name](np.random.default_rng([seed, 1]))
    config = config_of(shape)
    return profile(shape.night(0), config)[0], shape.night(1), config


def reported(found, word):
    return [text for text in warnings_of(found) if word in text]


@pytest.mark.parametrize("promoted", [True, False], ids=["beside the night before", "beside the first night"])
@pytest.mark.parametrize("name", SHAPES)
def test_valid_nights_have_no_warnings(name, promoted):
    assert [warnings for warnings in valid_nights(name, seed=1, nights=6, promoted=promoted) if warnings] == []


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "leap"])
def test_valid_data_has_all_metrics_with_small_values(name):
    then, frame, config = before_and_after(name)
    metrics = compared(then, frame, config).metrics
    assert set(metrics) == set(DATA_METRICS)
    assert 0.9 < metrics["data_rows_ratio"] < 1.2
    assert metrics["data_shift"] < 0.1
    assert metrics["data_target_shift"] <= metrics["data_shift"]
    assert metrics["data_missing_increase"] < 0.05
    assert 1 <= metrics["data_scale_ratio"] < 2
    assert metrics["data_relation_shift"] < 2


def test_the_same_data_has_no_difference():
    then, _, config = before_and_after("steady")
    frame = SHAPES["steady"](np.random.default_rng([0, 1])).night(0)
    metrics = compared(then, frame, config).metrics
    assert metrics == {
        "data_rows_ratio": 1,
        "data_shift": 0,
        "data_target_shift": 0,
        "data_missing_increase": 0,
        "data_scale_ratio": 1,
        "data_relation_shift": pytest.approx(0, abs=0.01),
    }


@pytest.mark.parametrize("name", [name for name in TABLES if name not in {"tiny", "leap", "fresh", "handful"}])
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_shuffled_labels_are_detected(name, share):
    then, frame, config = before_and_after(name)
    found = compared(then, shuffled(frame, np.random.default_rng(1), share), config)
    assert found.metrics["data_relation_shift"] > (10 if share == 1 else 3)
    assert found.metrics["data_shift"] < 0.1, "the marginal distributions are unchanged"
    (text,) = reported(found, "labels may be shuffled")
    assert text.startswith(
        "the target no longer depends on the features as in version 3 (target by features: correlation"
    )


def test_shuffled_labels_are_detected_in_new_rows():
    then, frame, config = before_and_after("fresh")
    found = compared(then, shuffled(frame, np.random.default_rng(1)), config)
    assert found.metrics["data_relation_shift"] > 10


@pytest.mark.parametrize("name", WITH_A_MEMORY)
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_shuffled_values_of_a_forecast_are_detected(name, share):
    then, frame, config = before_and_after(name)
    found = compared(then, shuffled(frame, np.random.default_rng(1), share), config)
    assert found.metrics["data_relation_shift"] > (10 if share == 1 else 3)
    assert reported(found, "values or times may be shuffled")


def test_rare_demand_shuffled_among_series_is_detected():
    then, frame, config = before_and_after("intermittent")
    found = compared(then, shuffled(frame, np.random.default_rng(1)), config)
    assert "values by series" in reported(found, "values or times may be shuffled")[0]


def test_reversed_labels_are_detected():
    then, frame, config = before_and_after("failures")
    found = compared(then, frame.assign(y=frame["y"].map({"yes": "no", "no": "yes"})), config)
    assert found.metrics["data_relation_shift"] > 20
    assert found.metrics["data_target_shift"] > 1


def test_a_unit_that_changed_by_1000_is_named():
    then, frame, config = before_and_after("steady")
    found = compared(then, scaled(frame, "b"), config)
    assert found.metrics["data_scale_ratio"] == pytest.approx(1000, rel=0.05)
    (text,) = reported(found, "check its unit")
    assert text.startswith("column 'b': ")
    assert " 1,000 times those of version 3" in text
    assert reported(found, "distribution") == [], "each change is reported once"
    (relation,) = reported(found, "no longer depends")
    assert "the columns have also changed" in relation


def test_a_smaller_unit_is_named():
    then, frame, config = before_and_after("steady")
    (text,) = reported(compared(then, scaled(frame, "c", factor=0.001), config), "check its unit")
    assert text.startswith("column 'c': the values of version 3 are 1,0")


def test_another_unit_of_only_the_new_rows_is_named():
    then, frame, config = before_and_after("steady")
    found = compared(then, scaled(frame, "y", slice(-360, None)), config)
    (text,) = reported(found, "check its unit")
    assert text.startswith("column 'y': its values are up to ")


@pytest.mark.parametrize("name", FORECASTS)
def test_another_unit_of_the_newest_step_is_detected(name):
    then, frame, config = before_and_after(name)
    found = compared(then, scaled(frame, "y", (frame["ds"] == frame["ds"].max()).to_numpy()), config)
    assert found.metrics["data_scale_ratio"] > 10
    assert reported(found, "check the unit of its newest rows")


@pytest.mark.parametrize("name", FORECASTS)
def test_another_unit_of_all_series_is_detected(name):
    then, frame, config = before_and_after(name)
    assert reported(compared(then, scaled(frame, "y"), config), "column 'y': its values are 1,0")


def test_half_of_the_rows_missing():
    then, frame, config = before_and_after("steady")
    found = compared(then, frame.iloc[::2].reset_index(drop=True), config)
    assert found.metrics["data_rows_ratio"] == pytest.approx(0.5, abs=0.05)
    (text,) = warnings_of(found)
    assert "of the rows are missing: " in text
    assert f"now, {then.rows:,} when version 3 was trained: check that the source is complete" in text


def test_half_of_the_series_missing():
    then, frame, config = before_and_after("sales")
    (text,) = warnings_of(compared(then, frame[frame["name"] < "s010"].reset_index(drop=True), config))
    assert "10 series now, 20 then" in text


def test_every_third_step_missing():
    then, frame, config = before_and_after("sales")
    found = compared(then, frame[np.arange(len(frame)) % 3 != 0].reset_index(drop=True), config)
    assert found.metrics["data_missing_increase"] == pytest.approx(1 / 3, abs=0.01)
    assert reported(found, "33% of the steps between the first and the last row of the series have no row, 0% when")


def test_missing_values():
    then, frame, config = before_and_after("steady")
    a = frame["a"].where(np.random.default_rng(0).random(len(frame)) > 0.3)
    found = compared(then, frame.assign(a=a), config)
    assert found.metrics["data_missing_increase"] == pytest.approx(0.3, abs=0.05)
    (text,) = reported(found, "of the values are missing")
    assert text.startswith("column 'a': 29%")
    assert text.endswith("of the values are missing, 0% when version 3 was trained: check the source")


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.drop(columns="a"),
        lambda frame: frame.assign(a=np.nan),
        lambda frame: frame.assign(a=1.5),
        lambda frame: frame.assign(a=["x", "z"] * (len(frame) // 2) + ["x"] * (len(frame) % 2)),
    ],
    ids=["dropped", "all missing", "constant", "text"],
)
def test_a_missing_column(change):
    then, frame, config = before_and_after("steady")
    found = compared(then, change(frame), config)
    assert found.metrics["data_missing_increase"] == 1
    assert reported(found, "column 'a' of version 3 is missing: ")
    assert reported(found, "labels may be shuffled") == [], "the missing column explains the weaker relation"


@pytest.mark.parametrize("name", ["steady", "failures"])
def test_if_every_column_is_renamed_all_are_missing(name):
    then, frame, config = before_and_after(name)
    found = compared(then, frame.rename(columns=lambda one: one if one == "y" else f"new {one}"), config)
    assert found.metrics["data_missing_increase"] == 1
    assert found.metrics["data_relation_shift"] > 3
    assert len(reported(found, "of version 3 is missing: ")) == min(5, len(then.columns))


@pytest.mark.parametrize("data", [{"exclude": ["a"]}, {"features": ["b", "c", "town"]}])
def test_an_excluded_column_is_not_missing(data):
    then, frame, _ = before_and_after("steady")
    found = compared(then, frame, config_of(SHAPES["steady"](np.random.default_rng(0)), **data))
    assert found.metrics["data_missing_increase"] == 0
    assert warnings_of(found) == []
    assert "data_relation_shift" not in found.metrics, "a gate on it is not met, and the note says why"
    (note,) = [one.message for one in found.changes if "was not compared" in one.message]
    assert note.startswith("whether the target depends on the features as in version 3 was not compared")
    assert "'a'" in note


def test_a_renamed_text_value():
    then, frame, config = before_and_after("steady")
    found = compared(then, frame.assign(town=frame["town"].replace({"Ulm": "ULM"})), config)
    assert found.metrics["data_shift"] > 1
    (text,) = reported(found, "distribution")
    assert text.startswith("column 'town': the distribution has changed strongly since version 3 was trained (PSI ")
    assert "'Ulm'" in text or "other values" in text


def test_a_new_column_is_a_note():
    then, frame, config = before_and_after("steady")
    found = compared(then, frame.assign(extra=np.random.default_rng(0).normal(size=len(frame))), config)
    assert warnings_of(found) == []
    assert [one.message for one in found.changes if one.severity == "info" and one.message] == [
        "columns that the served version does not have: 'extra'"
    ]


def test_a_constant_target_of_a_forecast():
    then, frame, config = before_and_after("sales")
    found = compared(then, frame.assign(y=5.0), config)
    assert found.metrics["data_relation_shift"] > 10
    assert found.metrics["data_target_shift"] > 0.25


def test_a_moderate_shift_is_a_note():
    random = np.random.default_rng(0)
    then, _ = profile(pd.DataFrame({"a": random.normal(size=9000), "y": random.normal(size=9000)}), job("s3://b/t"))
    moved = pd.DataFrame({"a": random.normal(0.4, 1, 9000), "y": random.normal(size=9000)})
    found = compared(then, moved, job("s3://b/t"))
    assert 0.1 < found.metrics["data_shift"] < 0.25
    assert warnings_of(found) == []
    assert any("has changed slightly since version 3" in one.message for one in found.changes)


def test_few_of_many_columns_are_reported():
    then, frame, config = before_and_after("wide")
    for number in range(30):
        frame = scaled(frame, f"c{number}")
    texts = reported(compared(then, frame, config), "check its unit")
    assert len(texts) == 5
    assert texts[-1].endswith("; and 25 more changes of this kind")


def test_a_new_class_and_a_missing_class():
    then, frame, config = before_and_after("growing_kinds")
    found = compared(then, frame.assign(y=frame["y"].replace({"class 4": "class 5"})), config)
    assert found.metrics["data_target_shift"] > 0.25
    assert reported(found, "the target 'y'")


def test_every_data_metric_except_the_ratio_of_rows_has_a_goal():
    assert {name: goal_of(name) for name in DATA_METRICS} == {
        **dict.fromkeys(DATA_METRICS, "Minimize"),
        "data_rows_ratio": None,
    }
