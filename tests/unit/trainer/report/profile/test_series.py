"""The profile of series, compared with slow and simple computations."""

import numpy as np
import pandas as pd
import pytest

from trainyard_trainer.data.dataset import Series
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.report.profile.series import autocorrelation, panel_of, series_profile


def panel(*series, freq="D", skip=()):
    """``skip`` names steps without a row, of every series."""
    rows, slices = [], []
    for number, values in enumerate(series):
        times = pd.date_range("2026-01-01", periods=len(values), freq=freq)
        kept = [step for step in range(len(values)) if step not in skip]
        slices.append(Series(f"s{number}", sum(map(len, rows)), sum(map(len, rows)) + len(kept), 1))
        rows.append(pd.DataFrame({"ds": times[kept], "y": np.asarray(values, dtype=float)[kept]}))
    return panel_of(pd.concat(rows, ignore_index=True), tuple(slices), frequency_of(freq))


def test_counts_gaps_and_levels():
    found = series_profile(panel(np.full(30, 2.0), np.full(10, 8.0), skip=(3, 4)), 7)
    assert (found.series, found.season, found.zeros) == (7, 7, 0)
    assert (found.rows[0], found.rows[-1]) == (8, 28)
    assert found.missing_steps == pytest.approx(4 / 40)
    assert (found.log_means[0], found.log_means[-1]) == pytest.approx((np.log(2), np.log(8)), rel=1e-5)
    assert (found.jump, found.newest_season[0]) == (1, 1)


@pytest.mark.parametrize("lag", [1, 7])
def test_the_autocorrelation_is_that_of_each_series_by_pandas(lag):
    random = np.random.default_rng(4)
    values = [np.cumsum(random.normal(size=60)), random.normal(size=200), np.arange(100.0)]
    wanted, pairs = [], []
    for one in values:
        ranked = pd.Series(one).rank()
        wanted.append(ranked.iloc[:-lag].corr(ranked.shift(-lag).iloc[:-lag]))
        pairs.append(len(one) - lag)
    found = autocorrelation(panel(*values), lag)
    assert found is not None
    assert found.value == pytest.approx(np.average(wanted, weights=pairs), abs=1e-5)
    error = np.sqrt(sum(n * (1 - r**2) ** 2 for n, r in zip(pairs, wanted, strict=True))) / sum(pairs)
    assert found.error == pytest.approx(error, rel=1e-3)


def test_pairs_across_a_gap_or_of_two_series_do_not_count():
    up = np.tile([0.0, 10.0], 20)  # neighbours differ, steps two apart are equal
    assert autocorrelation(panel(up, up), 1).value == pytest.approx(-1)
    skipped = autocorrelation(panel(up, up, skip=range(0, 40, 3)), 1)
    assert skipped.value == pytest.approx(-1, abs=0.01)


def test_a_constant_series_has_no_correlation_and_a_short_one_none():
    assert autocorrelation(panel(np.full(30, 5.0)), 1).value == 0
    assert autocorrelation(panel(np.arange(5.0)), 1) is None
    assert autocorrelation(panel(np.arange(50.0)), 60) is None


def test_the_newest_season_outside_the_range_of_earlier_seasons():
    steady = np.tile([1.0, 2, 3, 4, 5, 6, 7], 8)
    broken = steady.copy()
    broken[-7:] *= 1000
    found = series_profile(panel(steady, broken), 2)
    assert (found.jump, found.jump_series) == (pytest.approx(1000), "s1")
    fallen = steady.copy()
    fallen[-7:] /= 50
    assert series_profile(panel(fallen), 1).jump == pytest.approx(50)
    known = steady.copy()
    known[:7] *= 1000  # the same jump in an earlier season
    known[-7:] *= 900
    assert series_profile(panel(known), 1).jump == 1


def test_seasons_without_demand_have_no_jump():
    y = np.zeros(70)
    y[[3, 20, 41, 55]] = 4
    assert series_profile(panel(y), 1).jump == 1
    assert series_profile(panel(np.zeros(70)), 1).log_means == []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rows", [1, 2, 3, 20])
@pytest.mark.parametrize("freq", ["D", "MS", "h", "YS", "B"])
def test_short_series_of_any_step(rows, freq):
    found = series_profile(panel(np.arange(rows, dtype=float), freq=freq), 1)
    assert found.rows == [rows] * 21


def test_different_and_equal_series():
    random = np.random.default_rng(5)
    same = series_profile(panel(*random.normal(size=(20, 50))), 20).between
    other = series_profile(panel(*(random.normal(size=(20, 50)) + 10 * np.arange(20)[:, None])), 20).between
    assert same.value < 0.2
    assert other.value > 0.99
    assert series_profile(panel(np.arange(20.0)), 1).between is None
