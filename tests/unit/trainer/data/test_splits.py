"""Parts never overlap, are the same for the same seed, and keep what belongs together."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard_api.training import Split
from trainyard_trainer.data.splits import digest_of, digest_of_rows, row_hashes, split_rows
from trainyard_trainer.errors import DataError

ROWS = st.integers(20, 300)


@settings(deadline=None, max_examples=60)
@given(rows=ROWS, seed=st.integers(0, 100), strategy=st.sampled_from(["Random", "Time", "Group", "Stratified"]))
def test_every_row_is_in_exactly_one_part(rows, seed, strategy):
    split = Split(seed=seed)
    by = pd.Series(np.random.default_rng(seed).integers(0, 7, rows))
    parts = split_rows(strategy, split, rows=rows, by=by)
    together = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(together.tolist()) == list(range(rows))
    again = split_rows(strategy, split, rows=rows, by=by)
    assert np.array_equal(parts.test, again.test)


@settings(deadline=None, max_examples=60)
@given(rows=ROWS)
def test_groups_stay_together(rows):
    groups = pd.Series([f"engine {i % 9}" for i in range(rows)])
    parts = split_rows("Group", Split(), rows=rows, by=groups)
    sides = [set(groups.iloc[part]) for part in (parts.train, parts.validation, parts.test)]
    assert sum(len(side) for side in sides) == len(set().union(*sides))


@settings(deadline=None, max_examples=60)
@given(rows=ROWS)
def test_time_never_runs_backwards(rows):
    times = pd.Series(pd.date_range("2026", periods=rows, freq="D")).sample(frac=1, random_state=1, ignore_index=True)
    parts = split_rows("Time", Split(), rows=rows, by=times)
    assert times.iloc[parts.train].max() < times.iloc[parts.validation].min()
    assert times.iloc[parts.validation].max() < times.iloc[parts.test].min()


def test_one_instant_is_never_divided():
    times = pd.Series(np.repeat(pd.date_range("2026", periods=10).to_numpy(), 13))
    parts = split_rows("Time", Split(), rows=130, by=times)
    assert not set(times.iloc[parts.train]) & set(times.iloc[parts.test])


def test_rare_classes_are_in_every_part_that_can_hold_them():
    classes = pd.Series([0.0] * 190 + [1.0] * 10 + [2.0])
    parts = split_rows("Stratified", Split(), rows=201, by=classes)
    assert (classes.iloc[parts.test] == 1).sum() == 2
    assert (classes.iloc[parts.validation] == 1).sum() == 2
    assert (classes.iloc[parts.train] == 2).sum() == 1


@pytest.mark.parametrize(
    ("strategy", "values"), [("Time", [1, 1, 1, 2]), ("Group", ["a", "b"] * 10), ("Random", [1, 2])]
)
def test_too_little_to_divide_is_said(strategy, values):
    with pytest.raises(DataError, match=r"split|leaves no rows"):
        split_rows(strategy, Split(), rows=len(values), by=pd.Series(values))


def test_the_digest_follows_the_content_alone():
    frame = pd.DataFrame({"a": [1.0, 2.0, np.nan], "b": ["x", "y", "x"]})
    same = frame.iloc[::-1].iloc[::-1].set_index(pd.Index([7, 8, 9])).astype({"b": "category"})
    assert digest_of(frame) == digest_of(same)
    assert digest_of(frame) != digest_of(frame.assign(a=[1.0, 2.0, 3.0]))
    assert digest_of(frame) != digest_of(frame.rename(columns={"a": "c"}))
    assert digest_of(frame) != digest_of(frame.iloc[::-1])


def test_some_rows_have_the_digest_they_have_alone():
    frame = pd.DataFrame({"a": [1.0, 2.0, np.nan], "b": pd.Categorical(["x", "y", "x"])})
    assert digest_of_rows(frame.columns, row_hashes(frame)[[0, 2]]) == digest_of(frame.iloc[[0, 2]])
