"""Forecasts of many series: each series agrees with utilsforecast, and the means agree with the series."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard_trainer.evaluate.forecasts import Forecast, judge, judge_rows
from trainyard_trainer.evaluate.metrics import point_scores

with warnings.catch_warnings():  # its source has an invalid escape, for which Python warns when it compiles it
    warnings.simplefilter("ignore")
    from utilsforecast import losses

DAY = np.datetime64("2026-01-01", "ns")
VALUES = st.one_of(st.just(0.0), st.floats(0.5, 1e4), st.floats(-1e4, -0.5))


@st.composite
def forecasts(draw):
    season = draw(st.integers(1, 7))
    many = []
    for number in range(draw(st.integers(1, 4))):
        rows = draw(st.integers(1, 6))
        known = draw(st.lists(VALUES, min_size=1, max_size=20))
        actual, predicted, baseline = (
            np.array(draw(st.lists(VALUES, min_size=rows, max_size=rows)), dtype=float) for _ in range(3)
        )
        times = DAY + np.arange(len(known), len(known) + rows) * np.timedelta64(1, "D")
        steps = np.arange(len(known))
        many.append(Forecast(f"s{number}", times, actual, predicted, baseline, np.array(known), season, steps))
    return many


def reference(many):
    """Return the table of utilsforecast: a row per series, a column per metric."""
    held = pd.concat(
        [pd.DataFrame({"unique_id": f.name, "ds": f.times, "y": f.actual, "m": f.predicted}) for f in many]
    )
    known = pd.concat(
        [
            pd.DataFrame(
                {"unique_id": f.name, "ds": DAY + np.arange(len(f.known)) * np.timedelta64(1, "D"), "y": f.known}
            )
            for f in many
        ]
    )
    plain = {
        "mae": losses.mae,
        "rmse": losses.rmse,
        "smape": losses.smape,
        "wape": losses.nd,
        "bias": losses.bias,
    }
    scaled = {"mase": losses.mase, "rmsse": losses.rmsse}
    found = {name: loss(held, models=["m"]) for name, loss in plain.items()}
    found |= {
        name: loss(held, models=["m"], seasonality=many[0].season, train_df=known) for name, loss in scaled.items()
    }
    found["smape"]["m"] *= 2  # theirs is half of that of the M4 competition
    return {name: dict(zip(table["unique_id"], table["m"], strict=True)) for name, table in found.items()}


@settings(deadline=None, max_examples=60)
@given(forecasts())
def test_every_series_agrees_with_utilsforecast(many):
    table = judge(many).table
    ours = table[table["series"].notna()].set_index(["metric", "series"])["value"].to_dict()
    for metric, by_series in reference(many).items():
        for series, value in by_series.items():
            if np.isfinite(value):
                assert ours[metric, series] == pytest.approx(value, rel=1e-6, abs=1e-9), (metric, series)
            else:
                assert (metric, series) not in ours


@settings(deadline=None, max_examples=60)
@given(forecasts())
def test_metrics_are_finite_and_means_follow_from_the_series(many):
    found = judge(many)
    assert all(math.isfinite(value) for value in found.metrics.values())
    assert np.isfinite(found.table["value"]).all()
    pooled = point_scores(np.concatenate([f.actual for f in many]), np.concatenate([f.predicted for f in many])).metrics
    assert {name: found.metrics[name] for name in pooled} == pooled
    scaled = [value for value in reference(many)["mase"].values() if np.isfinite(value)]
    if scaled:
        assert found.metrics["mase"] == pytest.approx(np.mean(scaled), rel=1e-6)
    else:
        assert "mase" not in found.metrics
    volumes = [np.abs(f.actual).sum() for f in many]
    if any(volumes):
        maes = [np.abs(f.actual - f.predicted).mean() for f in many]
        assert found.metrics["weighted_mae"] == pytest.approx(np.average(maes, weights=volumes))


def series(name, actual, predicted, known=(1, 2, 3), season=1):
    actual, known = np.array(actual, dtype=float), np.array(known, dtype=float)
    times = DAY + np.arange(len(actual)) * np.timedelta64(1, "D")
    predictions, naive = np.array(predicted, dtype=float), np.full(len(actual), 2.0)
    return Forecast(name, times, actual, predictions, naive, known, season, np.arange(len(known)))


def test_evaluating_the_rows_again_gives_the_same_table():
    many = [series("big", [100, 120], [90, 130]), series("small", [1, 0], [1, 2]), series("flat", [2, 2], [2, 3])]
    found = judge(many)
    assert found.table["series"].isna().sum() == len(set(found.table["metric"]))
    again = judge_rows(pd.concat([judge([one]).holdout for one in many], ignore_index=True))
    assert again.metrics == found.metrics
    assert again.notes == found.notes


def test_the_weighted_mean_depends_mostly_on_large_series():
    found = judge([series("big", [100, 100], [90, 90]), series("small", [1, 1], [1, 1])]).metrics
    assert found["weighted_mae"] == pytest.approx(10 * 200 / 202)
    assert found["weighted_mase"] == pytest.approx(10 * 200 / 202)
    assert found["mase"] == pytest.approx(5)


def test_a_series_without_a_scale_is_left_out_and_reported():
    found = judge([series("ramp", [4, 5], [4, 4]), series("flat", [7, 8], [7, 7], known=[7, 7, 7])])
    assert found.metrics["mase"] == pytest.approx(0.5)
    assert any("mase and rmsse leave out 1 of 2 series" in note for note in found.notes)


def test_one_short_series_has_no_scaled_error():
    found = judge([series("short", [4, 5], [4, 4], season=7)])
    assert not {"mase", "rmsse", "weighted_mase"} & set(found.metrics)
    assert found.table["series"].eq("short").all()


def test_zeros_in_a_holdout_are_reported_once():
    found = judge([series("zeros", [0, 0], [1, 0]), series("some", [0, 4], [1, 3])])
    assert found.metrics["mape"] == pytest.approx(0.25)
    assert sum("mape" in note for note in found.notes) == 1
    table = found.table[found.table["series"] == "zeros"]
    assert not set(table["metric"]) & {"mape", "wape", "r2"}
