"""Ensemble selection: who gets a weight, and that a mix is never clearly worse on its windows than the best alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard_trainer.frameworks.ensemble import CLEARLY_WORSE, Windows, select, shares


def windows(forecasts, actual, *, series=(0,), rows=4, sizes=None, squared=False):
    """Windows of so many rows each; ``series`` has the number of the series of each."""
    forecasts, actual = np.asarray(forecasts, float), np.asarray(actual, float)
    number = np.repeat(np.arange(len(series)), rows)
    size = np.ones(len(actual)) if sizes is None else np.repeat(np.asarray(sizes, float), rows)
    return Windows(forecasts, actual, np.full(len(actual), 50.0), size, number, np.array(series), squared)


def test_errors_on_both_sides_cancel_out():
    found = select(windows([[12, 12, 12, 12], [8, 8, 8, 8], [10.9, 9.1, 12.5, 8]], [10, 10, 10, 10]))
    np.testing.assert_allclose(found.losses, [2, 2, 1.575])
    alone = select(windows([[12, 12, 12, 12], [8, 8, 8, 8]], [10, 10, 10, 10]))
    np.testing.assert_allclose(alone.common, [0.5, 0.5])
    assert alone.loss == 0


def test_what_is_clearly_worse_takes_no_part_even_where_it_would_help():
    found = select(windows([[11, 11, 11, 11], [8, 8, 8, 8]], [10, 10, 10, 10]))
    np.testing.assert_allclose(found.common, [1, 0])


def test_few_windows_tell_less_than_the_errors_of_all_that_are_within_reach():
    """The first is right on every window; the second errs by 1 and the third by 2 on 8 of them, or on 800."""

    def weights(count, reach):
        said = np.repeat([[10.5], [11.0], [12.0]], 4 * count, axis=1)
        return select(windows(said, [10.0] * (4 * count), series=range(count)), reach).common

    np.testing.assert_allclose(weights(8, 3.0), [(8 + 32 * 0.8) / 40, 32 * 0.2 / 40, 0], rtol=1e-12)
    assert weights(800, 3.0).tolist() == [1, 0, 0], "less than a twentieth counts as nothing"
    assert weights(8, 1.1).tolist() == [1, 0, 0]


def test_candidates_that_are_always_right_share():
    assert select(windows([[10.0] * 4, [10.0] * 4, [11.0] * 4], [10.0] * 4)).common.tolist()[2] == 0


def test_where_a_candidate_says_nothing_the_substitute_stands_in():
    said = windows([[np.nan, 10, 10, 10], [20, 20, 20, 20]], [10, 10, 10, 10])
    found = select(said)
    np.testing.assert_allclose(found.losses, [10, 10])
    np.testing.assert_allclose(found.mixed(said), found.common @ said.whole())


def test_a_large_series_does_not_decide_alone():
    said = [[*[110] * 4, *[1.0] * 4], [*[101] * 4, *[2.0] * 4]]
    actual = [*[100] * 4, *[1] * 4]
    assert select(windows(said, actual, series=(0, 1))).common.tolist() == [0, 1]
    assert select(windows(said, actual, series=(0, 1), sizes=(100, 1))).common.tolist() == [1, 0]


def test_errors_may_count_squared():
    said = [[10, 10, 10, 13.5], [11, 11, 11, 11]]
    assert select(windows(said, [10] * 4)).common[0] == 1
    assert select(windows(said, [10] * 4, squared=True)).common[0] < 0.5


@pytest.mark.parametrize(
    ("lone", "leaves"),
    [
        ([10, 10, 10], True),
        ([10, 10], False),  # two windows are chance
        ([10, 10, 11.1], False),  # not on each of its windows
        ([10.8, 10.8, 10.8], False),  # not clearly
    ],
)
def test_a_series_leaves_for_what_is_clearly_better_on_each_of_its_windows(lone, leaves):
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
def test_a_mix_is_never_clearly_worse_on_its_windows_than_the_best_alone(seed, candidates, series, squared):
    random = np.random.default_rng(seed)
    actual = random.normal(size=series * 2 * 4)
    said = actual + random.normal(size=(candidates, len(actual))) * random.uniform(0.1, 3, size=(candidates, 1))
    said[random.random(said.shape) < 0.1] = np.nan
    found = select(windows(said, actual, series=np.repeat(range(series), 2), squared=squared))
    assert found.common.sum() == pytest.approx(1)
    assert (found.common >= 0).all()
    assert found.loss <= CLEARLY_WORSE * found.losses.min() + 1e-12
    assert found.common[found.losses > CLEARLY_WORSE * found.losses.min()].sum() == 0


def test_the_shares_are_a_message():
    assert shares({"a": 0.2, "b": 0.8, "c": 0.0}) == "answers are those of b (80%), a (20%)"
