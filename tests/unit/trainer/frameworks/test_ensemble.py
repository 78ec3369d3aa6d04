"""Ensemble selection: the weights, and an ensemble is never clearly worse on its windows than the best candidate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard_trainer.frameworks.ensemble import CLEARLY_WORSE, Windows, select, shares


def windows(forecasts, actual, *, series=(0,), rows=4, sizes=None, squared=False):
    """Return windows of ``rows`` rows each. ``series`` has the series number of each window."""
    forecasts, actual = np.asarray(forecasts, float), np.asarray(actual, float)
    number = np.repeat(np.arange(len(series)), rows)
    size = np.ones(len(actual)) if sizes is None else np.repeat(np.asarray(sizes, float), rows)
    return Windows(forecasts, actual, np.full(len(actual), 50.0), size, number, np.array(series), squared)


def test_errors_on_both_sides_cancel_out():
    found = select(windows([[12, 12, 12, 12], [8, 8, 8, 8], [10.9, 9.1, 12.5, 8]], [10, 10, 10, 10]))
    np.testing.assert_allclose(found.losses, [2, 2, 1.575])
    both = select(windows([[12, 12, 12, 12], [8, 8, 8, 8]], [10, 10, 10, 10]))
    np.testing.assert_allclose(both.common, [0.5, 0.5])
    assert both.loss == 0


def test_a_clearly_worse_candidate_has_no_weight_even_if_it_would_help():
    found = select(windows([[11, 11, 11, 11], [8, 8, 8, 8]], [10, 10, 10, 10]))
    np.testing.assert_allclose(found.common, [1, 0])


def test_with_few_windows_all_close_candidates_get_a_weight():
    """The errors of the candidates are 0.5, 1 and 2, on 8 or on 800 windows."""

    def weights(count, reach):
        forecasts = np.repeat([[10.5], [11.0], [12.0]], 4 * count, axis=1)
        return select(windows(forecasts, [10.0] * (4 * count), series=range(count)), reach).common

    np.testing.assert_allclose(weights(8, 3.0), [(8 + 32 * 0.8) / 40, 32 * 0.2 / 40, 0], rtol=1e-12)
    assert weights(800, 3.0).tolist() == [1, 0, 0], "a weight of less than a twentieth becomes zero"
    assert weights(8, 1.1).tolist() == [1, 0, 0]


def test_a_worse_candidate_has_no_weight_beside_exact_ones():
    assert select(windows([[10.0] * 4, [10.0] * 4, [11.0] * 4], [10.0] * 4)).common.tolist()[2] == 0


def test_the_substitute_replaces_missing_forecasts():
    incomplete = windows([[np.nan, 10, 10, 10], [20, 20, 20, 20]], [10, 10, 10, 10])
    found = select(incomplete)
    np.testing.assert_allclose(found.losses, [10, 10])
    np.testing.assert_allclose(found.mixed(incomplete), found.common @ incomplete.whole())


def test_a_large_series_does_not_dominate():
    forecasts = [[*[110] * 4, *[1.0] * 4], [*[101] * 4, *[2.0] * 4]]
    actual = [*[100] * 4, *[1] * 4]
    assert select(windows(forecasts, actual, series=(0, 1))).common.tolist() == [0, 1]
    assert select(windows(forecasts, actual, series=(0, 1), sizes=(100, 1))).common.tolist() == [1, 0]


def test_errors_can_be_squared():
    forecasts = [[10, 10, 10, 13.5], [11, 11, 11, 11]]
    assert select(windows(forecasts, [10] * 4)).common[0] == 1
    assert select(windows(forecasts, [10] * 4, squared=True)).common[0] < 0.5


@pytest.mark.parametrize(
    ("lone", "leaves"),
    [
        ([10, 10, 10], True),
        ([10, 10], False),  # two windows can be chance
        ([10, 10, 11.1], False),  # not on each of its windows
        ([10.8, 10.8, 10.8], False),  # not clearly
    ],
)
def test_a_series_gets_its_own_candidate_if_it_is_clearly_better_on_each_window(lone, leaves):
    """Five series are forecast by the first candidate, the sixth one by the second."""
    count = len(lone)
    first = [*[10.0] * (15 * 4), *[11.0] * (count * 4)]
    second = [*[12.0] * (15 * 4), *np.repeat(lone, 4)]
    series = (*np.repeat(range(5), 3), *[5] * count)
    found = select(windows([first, second], [10.0] * len(first), series=series))
    assert found.common.tolist() == [1, 0]
    assert found.own == ({5: 1} if leaves else {})
    assert found.weights(5).tolist() == ([0, 1] if leaves else [1, 0])
    assert found.weights(0).tolist() == [1, 0]


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_an_ensemble_is_never_clearly_worse_than_the_best_candidate(seed, candidates, series, squared):
    random = np.random.default_rng(seed)
    actual = random.normal(size=series * 2 * 4)
    forecasts = actual + random.normal(size=(candidates, len(actual))) * random.uniform(0.1, 3, size=(candidates, 1))
    forecasts[random.random(forecasts.shape) < 0.1] = np.nan
    found = select(windows(forecasts, actual, series=np.repeat(range(series), 2), squared=squared))
    assert found.common.sum() == pytest.approx(1)
    assert (found.common >= 0).all()
    assert found.loss <= CLEARLY_WORSE * found.losses.min() + 1e-12
    assert found.common[found.losses > CLEARLY_WORSE * found.losses.min()].sum() == 0


def test_the_message_lists_the_shares():
    assert shares({"a": 0.2, "b": 0.8, "c": 0.0}).endswith(" b (80%), a (20%)")
