"""Times in common notations, and the frequency of their steps."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard_trainer.data.values.frequency import detect_frequency, frequency_of
from trainyard_trainer.data.values.times import parse_times
from trainyard_trainer.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("values", "first"),
    [
        (["2026-01-31", "2026-02-01"], "2026-01-31"),
        (["2026-01-31T08:00:00+02:00", "2026-01-31T08:00:00Z"], "2026-01-31T06:00:00"),
        (["31/12/2025", "01/01/2026"], "2025-12-31"),
        (["31.12.2025 08:30", "01.01.2026 09:00"], "2025-12-31T08:30"),
        (["12/31/2025", "01/01/2026"], "2025-12-31"),
        ([20260131, 20260201], "2026-01-31"),
        ([2024, 2025], "2024-01-01"),
        ([1769817600, 1769904000], "2026-01-31"),
        ([1769817600000, 1769904000000], "2026-01-31"),
        (pd.Categorical(["2026-01-31", "2026-01-31"]), "2026-01-31"),
        (pd.to_datetime(["2026-01-31T01:00+01:00", None], utc=True), "2026-01-31"),
    ],
)
def test_notations(values, first):
    times, _ = parse_times(pd.Series(values), "ds")
    assert times.iloc[0] == pd.Timestamp(first)
    assert times.dtype == "datetime64[ns]"


def test_ambiguous_dates_are_reported():
    _, findings = parse_times(pd.Series(["01/02/2026", "03/04/2026"]), "ds")
    assert [finding.code for finding in findings] == ["AmbiguousDates"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["2026-01-01", None, "soon"], "row 3: 'soon' is not a time"),
        (["2026-01-01", "2026-02-30"], "row 2: '2026-02-30'"),
        (["13/13/2026"], "row 1"),
        ([1, 2, 3], "numbers such as 1"),
        ([20261301, 20260101], "row 1"),
        ([2024.5, 2025.0], "numbers such as 2024.5"),
        ([1e30, 1e30], "data row 1: 1e+30 is out of range"),
        (np.array(["2026-01-01", "9999-01-01"], dtype="datetime64[s]"), "data row 2: 9999-01-01 is out of range"),
    ],
)
def test_an_invalid_time_is_named(values, words):
    with pytest.raises(DataError) as caught:
        parse_times(pd.Series(values), "ds")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("alias", "season"),
    [("D", 7), ("h", 24), ("15min", 96), ("MS", 12), ("ME", 12), ("QS-JAN", 4), ("W-SUN", 52), ("B", 5), ("YS-JAN", 1)],
)
@settings(deadline=None, max_examples=60)
@given(start=st.datetimes(pd.Timestamp("2001-01-01"), pd.Timestamp("2030-01-01")))
def test_a_regular_range_is_recognised_and_counted(alias, season, start):
    times = pd.date_range(start.replace(minute=0, second=0, microsecond=0), periods=60, freq=alias).to_numpy()
    found = detect_frequency(times, np.ones(59, dtype=bool))
    assert frequency_of(alias).season == found.season == season
    assert np.diff(found.ordinals(times)).tolist() == [1] * 59


def test_gaps_count_as_steps():
    times = pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-05"]).to_numpy()
    assert np.diff(frequency_of("D").ordinals(times)).tolist() == [1, 3]


def test_steps_across_two_series_do_not_count():
    times = pd.to_datetime(["2026-01-01", "2026-01-02", "2020-05-01", "2020-05-02"]).to_numpy()
    assert detect_frequency(times, np.array([True, False, True])).alias == "D"


@pytest.mark.parametrize("alias", ["parsec", "SMS"])
def test_unknown_frequencies_are_refused(alias):
    with pytest.raises(ConfigError, match=alias):
        frequency_of(alias)


def test_one_instant_has_no_frequency():
    assert detect_frequency(np.array(["2026-01-01"], dtype="datetime64[ns]"), np.array([], dtype=bool)) is None


@pytest.mark.parametrize(
    ("step", "alias", "season"),
    [
        ("28D", "28D", 13),
        ("30D", "30D", 12),
        ("91D", "91D", 4),
        ("14D", "14D", 26),
        ("364D", "364D", 1),
        ("500us", "500us", 172_800_000),
        ("16666667ns", "16666667ns", 5_184_000),
    ],
)
def test_steps_of_equal_length_are_not_months(step, alias, season):
    times = pd.date_range("2020-01-05", periods=20, freq=step).to_numpy()
    found = detect_frequency(times, np.ones(19, dtype=bool))
    assert (found.alias, found.season) == (alias, season)
    assert np.diff(found.ordinals(times)).tolist() == [1] * 19


@pytest.mark.parametrize(("step", "spread"), [("20min", 90), ("1h", 200), ("1s", 0.1), ("10min", 20)])
def test_a_frequency_with_jitter_is_detected(step, spread):
    chance = np.random.default_rng(5)
    exact = pd.date_range("2026-01-01", periods=500, freq=step).to_numpy("datetime64[ns]")
    times = exact + (chance.uniform(-spread, spread, 500) * 1e9).astype("timedelta64[ns]")
    found = detect_frequency(times, np.ones(499, dtype=bool))
    assert pd.tseries.frequencies.to_offset(found.alias) == pd.tseries.frequencies.to_offset(step)
    assert (np.diff(found.ordinals(times)) == 1).mean() > 0.95


def test_sixty_rows_a_second():
    times = (np.arange(216_000) * 1e9 / 60).round().astype("datetime64[ns]")
    found = detect_frequency(times, np.ones(len(times) - 1, dtype=bool))
    assert found.alias == "16666667ns"
    assert (np.diff(found.ordinals(times)) == 1).all()


@pytest.mark.parametrize(("week", "season"), [("1111110", 6), ("0111111", 6), ("1110111", 6), ("1010100", 3)])
def test_days_without_any_row_are_not_steps(week, season):
    every = pd.date_range("2026-01-01", periods=150)
    times = every[[week[day] == "1" for day in every.dayofweek]].to_numpy()
    found = detect_frequency(times, np.ones(len(times) - 1, dtype=bool))
    if week == "1010100":
        found = frequency_of(f"B-{week}")  # most of its steps are two days
    assert (found.alias, found.season) == (f"B-{week}", season)
    assert np.diff(found.ordinals(times)).tolist() == [1] * (len(times) - 1)
    assert (found.after(times[:1], 30)[0] == times[1:31]).all()
    assert found.opening.describe().startswith("no rows on ")


def test_a_day_with_a_single_row_is_a_step():
    every = pd.date_range("2026-01-01", periods=150)
    times = every[(every.dayofweek < 6) | (every == "2026-02-01")].to_numpy()
    assert detect_frequency(times, np.ones(len(times) - 1, dtype=bool)).alias == "D"
    closed = every[every.dayofweek < 6].to_numpy()
    assert detect_frequency(closed, np.ones(len(closed) - 1, dtype=bool), may_close=False).alias == "D"
    assert detect_frequency(closed[:20], np.ones(19, dtype=bool)).alias == "D"  # three weeks are not enough
