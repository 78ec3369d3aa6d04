"""The naive forecasts, compared with their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard_trainer.evaluate.baselines import NAIVES, drift, naive_forecast

VALUES = st.floats(-1e6, 1e6)


def test_drift_extends_the_line_from_the_first_to_the_last_value():
    known, wanted = np.array([0, 1, 2, 5]), np.array([6, 7, 10])
    found = drift(known, np.array([-10.0, 99, 0, 0]), wanted)
    assert found.tolist() == pytest.approx([2.0, 4.0, 10.0]), "10 up in 5 steps, not in 3 rows"


def test_drift_of_a_series_without_negative_values_stays_above_0():
    assert drift(np.arange(3), np.array([8.0, 5, 2]), np.array([3, 4, 5])).tolist() == [0.0, 0.0, 0.0]
    assert drift(np.arange(3), np.array([8.0, -1, 2]), np.array([3, 4])).tolist() == [-1.0, -4.0]


def test_all_baselines_repeat_a_single_known_value():
    for name in NAIVES:
        assert naive_forecast(name, np.array([4]), np.array([7.0]), np.array([5, 9]), 3).tolist() == [7.0, 7.0]


@given(st.lists(VALUES, min_size=1, max_size=20), st.integers(1, 10))
def test_last_value_repeats_the_last_value(values, ahead):
    known, wanted = np.arange(len(values)), np.arange(len(values), len(values) + ahead)
    assert naive_forecast("last value", known, np.array(values), wanted, 7).tolist() == [values[-1]] * ahead
