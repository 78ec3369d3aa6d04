"""Demand classes: the cuts of the table, terciles of volume, and the trials of each class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trainyard_api.training import Search
from trainyard_trainer.data.series.demand import (
    demand_classes,
    demand_interval,
    demand_variation,
    pattern_of,
    trials_of,
)

rows = arrays.arrays(
    np.float64, st.integers(1, 60), elements=st.one_of(st.just(0.0), st.floats(0.01, 1e6, allow_nan=False))
)
steady = arrays.arrays(np.float64, 12, elements=st.floats(1.0, 1e6, allow_nan=False))


@given(rows)
def test_interval_and_variation_match_their_definitions(values):
    demands = [value for value in values if value != 0]
    if not demands:
        assert demand_interval(values) == np.inf
        assert pattern_of(values) == "Intermittent"
        return
    assert demand_interval(values) == len(values) / len(demands)
    assert demand_variation(values) == pytest.approx((np.std(demands) / np.mean(demands)) ** 2, rel=1e-6, abs=1e-9)


@given(rows, st.sampled_from([0.5, 2.0, 1024.0]))
def test_the_pattern_depends_neither_on_the_unit_nor_on_the_order(values, unit):
    assert pattern_of(values * unit) == pattern_of(values)
    assert pattern_of(values[::-1].copy()) == pattern_of(values)


@given(st.lists(rows, min_size=1, max_size=12))
def test_a_series_is_intermittent_exactly_from_the_cut_on(all_rows):
    found = demand_classes({str(number): values for number, values in enumerate(all_rows)})
    for number, values in enumerate(all_rows):
        assert (found[str(number)] == "Intermittent") == (demand_interval(values) >= 1.32)


@given(st.lists(steady, min_size=1, max_size=12), st.randoms())
def test_a_larger_volume_is_never_a_lower_class_in_any_order(all_rows, random):
    series = {str(number): values for number, values in enumerate(all_rows)}
    found = demand_classes(series)
    rank = {"Low": 0, "Medium": 1, "High": 2}
    by_volume = sorted(series, key=lambda name: np.abs(series[name]).mean())
    ranks = [rank[found[name]] for name in by_volume]
    assert ranks == sorted(ranks)
    assert ranks[-1] == 2
    names = list(series)
    random.shuffle(names)
    assert demand_classes({name: series[name] for name in names}) == found


def test_terciles_divide_a_catalogue_into_thirds():
    series = {f"{volume}": np.full(20, float(volume)) for volume in range(1, 31)}
    found = list(demand_classes(series).values())
    assert [found.count(one) for one in ("Low", "Medium", "High")] == [10, 10, 10]


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        ([5, 6, 5, 6, 5, 6], "Smooth"),
        ([1, 9, 1, 30, 1, 1], "Erratic"),
        ([5, 0, 5, 0, 5, 0], "Intermittent"),
        ([1, 0, 40, 0, 1, 0], "Lumpy"),
        ([-1, 1, -1, 1], "Erratic"),
    ],
)
def test_the_four_patterns(values, pattern):
    assert pattern_of(np.array(values, dtype=np.float64)) == pattern


def test_trials_depend_on_the_class_unless_the_user_sets_them():
    classes = ("High", "Medium", "Low", "Intermittent")
    assert [trials_of(one, Search()) for one in classes] == [30, 25, 20, 15]
    own = Search.model_validate({"adaptiveTrials": {"High": 4, "Intermittent": 0}})
    assert [trials_of(one, own) for one in classes] == [4, 25, 20, 0]
    assert [trials_of(one, Search(trials=3)) for one in classes] == [3, 3, 3, 3]
