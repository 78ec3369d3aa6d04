"""Rolling origins: no fold contains rows of the holdout, and its training rows are before its cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainyard_trainer.data.series.folds import Fold, rolling_origins

gaps = st.lists(st.integers(1, 40), min_size=1, max_size=200)


@given(gaps, st.integers(0, 60), st.integers(1, 30), st.integers(1, 5))
def test_folds_are_adjacent_and_before_the_holdout(steps, holdout, horizon, folds):
    ordinals = np.cumsum(steps)
    holdout = min(holdout, len(ordinals) - 1)
    known = len(ordinals) - holdout
    found = rolling_origins(ordinals, holdout=holdout, horizon=horizon, folds=folds)

    assert len(found) <= folds
    assert [fold.stop for fold in found] == [*[fold.cut for fold in found[1:]], known][: len(found)]
    for fold in found:
        fitted, judged = ordinals[fold.fit], ordinals[fold.judge]
        assert len(judged) >= 1
        assert len(fitted) >= 2 * len(judged)
        assert fitted.max() < judged.min()
        assert judged.max() - fitted.max() >= 1
        assert judged.max() - judged.min() < horizon
        assert set(judged).isdisjoint(ordinals[known:])


@given(gaps, st.integers(1, 60), st.integers(1, 30), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_folds_only_depend_on_the_length_of_the_holdout(steps, holdout, horizon, folds, seed):
    ordinals = np.cumsum(steps)
    holdout = min(holdout, len(ordinals) - 1)
    others = ordinals.copy()
    inner = np.arange(ordinals[-holdout - 1] + 1, ordinals[-1])
    others[len(ordinals) - holdout : -1] = np.sort(np.random.default_rng(seed).permutation(inner)[: holdout - 1])
    requested = {"holdout": holdout, "horizon": horizon, "folds": folds}
    assert rolling_origins(ordinals, **requested) == rolling_origins(others, **requested)


def test_a_long_series_gets_all_folds_of_one_horizon_each():
    found = rolling_origins(np.arange(100), holdout=14, horizon=14, folds=3)
    assert found == (Fold(44, 58), Fold(58, 72), Fold(72, 86))


def test_a_short_series_gets_fewer_folds_and_a_tiny_one_none():
    assert rolling_origins(np.arange(60), holdout=10, horizon=10, folds=5) == (Fold(20, 30), Fold(30, 40), Fold(40, 50))
    assert rolling_origins(np.arange(3), holdout=1, horizon=1, folds=2) == ()
    assert rolling_origins(np.arange(4), holdout=1, horizon=1, folds=2) == (Fold(2, 3),)


def test_folds_are_as_short_as_a_holdout_below_the_horizon():
    found = rolling_origins(np.arange(60), holdout=12, horizon=28, folds=2)
    assert found == (Fold(24, 36), Fold(36, 48))


def test_a_fold_skips_a_gap_before_it():
    ordinals = np.concatenate([np.arange(40), np.arange(400, 412)])
    assert rolling_origins(ordinals, holdout=7, horizon=7, folds=2) == (Fold(33, 40), Fold(40, 45))
