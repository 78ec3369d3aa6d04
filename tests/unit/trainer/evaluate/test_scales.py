"""Scaled errors compared with their definitions, also with gaps, where rows and steps differ."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard_trainer.evaluate.forecasts import Forecast, judge
from trainyard_trainer.evaluate.metrics import point_scores
from trainyard_trainer.evaluate.scales import error_scales, seasonal_differences, usual_move

VALUES = st.floats(-1e6, 1e6)


@st.composite
def series(draw):
    steps = sorted(draw(st.sets(st.integers(0, 60), min_size=1, max_size=40)))
    values = draw(st.lists(VALUES, min_size=len(steps), max_size=len(steps)))
    return np.array(steps), np.array(values), draw(st.integers(1, 8))


def pairs(steps, values, season):
    """Return the differences by their definition: for each step that has a value one season before."""
    known = dict(zip(steps.tolist(), values.tolist(), strict=True))
    return [value - known[step - season] for step, value in known.items() if step - season in known]


@given(series())
def test_differences_are_between_steps_not_rows(one):
    expected = pairs(*one)
    assert seasonal_differences(*one).tolist() == expected
    absolute, squared = error_scales(*one)
    if expected:
        assert absolute == pytest.approx(sum(map(abs, expected)) / len(expected))
        assert squared == pytest.approx(sum(value**2 for value in expected) / len(expected))
    else:
        assert np.isnan([absolute, squared]).all()


def test_a_shop_that_is_closed_on_sundays_is_compared_with_the_same_weekday():
    days = pd.date_range("2024-01-01", periods=70)
    level = np.array([10.0, 20, 30, 40, 50, 90, 0])[days.dayofweek] + np.arange(70) // 7
    open_ = np.asarray(days.dayofweek != 6)
    steps, sold, times = np.arange(70)[open_], level[open_], days[open_].to_numpy()
    actual = sold[-6:]
    found = judge([Forecast("shop", times[-6:], actual, actual + 2, actual, sold[:-6], 7, steps[:-6])]).metrics
    assert found["mase"] == 2.0, "the error is 2 and the change in a week is 1; by rows, the change would be above 20"
    assert found["rmsse"] == 2.0


def test_a_scale_of_0_is_replaced_by_that_of_one_step():
    assert usual_move(np.arange(6), np.array([1.0, 4, 1, 4, 1, 4]), 2) == 3
    assert usual_move(np.arange(4), np.full(4, 7.0), 2) == 0
    assert usual_move(np.array([0, 5, 9]), np.array([1.0, 2, 3]), 2) == 0, "no two rows are one step apart"


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=30))
def test_smape_is_that_of_the_m4_competition(rows):
    expected = [2 * abs(y - x) / (abs(y) + abs(x)) if abs(y) + abs(x) > 0 else 0 for y, x in rows]
    actual, predicted = (np.array(one) for one in zip(*rows, strict=True))
    found = point_scores(actual, predicted).metrics["smape"]
    assert found == pytest.approx(sum(expected) / len(expected))
    assert 0 <= found <= 2 + 1e-9
