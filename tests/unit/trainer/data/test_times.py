"""Times in any sane notation, and the step between them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard_trainer.data.frequency import detect_frequency, frequency_of
from trainyard_trainer.data.times import parse_times
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
def test_what_is_no_time_is_named(values, words):
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
