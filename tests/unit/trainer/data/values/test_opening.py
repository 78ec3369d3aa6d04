"""Open days and hours: detected in the data, counted without closed steps, and described by an alias."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard_trainer.data.values.frequency import detect_frequency, frequency_of
from trainyard_trainer.data.values.opening import Opening
from trainyard_trainer.errors import ConfigError

HOUR, DAY = 3_600_000_000_000, 86_400_000_000_000


def detected(times: pd.DatetimeIndex):
    found = detect_frequency(times.to_numpy(), np.ones(len(times) - 1, dtype=bool))
    assert found is not None
    return found


def test_hours_without_any_row_are_closed():
    every = pd.date_range("2026-01-01", periods=24 * 60, freq="h")
    times = every[(every.hour >= 8) & (every.hour < 20) & (every.dayofweek < 6)]
    found = detected(times)
    assert (found.alias, found.season) == ("h-1111110-0800-2000", 12)
    assert (np.diff(found.ordinals(times.to_numpy())) == 1).all()
    assert (found.after(times[:1].to_numpy(), 100)[0] == times[1:101].to_numpy()).all()
    assert found.opening is not None
    assert found.opening.describe() == "no rows on Sunday, rows only from 08:00 to 20:00"
    assert (found.opening.per_day, found.opening.per_week) == (12, 72)


def test_a_bar_is_open_over_midnight():
    every = pd.date_range("2026-01-01T12:00", periods=24 * 60, freq="h")
    evening = every - pd.Timedelta(hours=4)
    times = every[((every.hour >= 18) | (every.hour < 3)) & (evening.dayofweek != 0)]
    found = detected(times)
    assert found.alias == "h-0111111-1800-0300"
    assert (np.diff(found.ordinals(times.to_numpy())) == 1).all()


@pytest.mark.parametrize(
    ("keep", "alias"),
    [
        (lambda t: t.hour != 30, "h"),
        (lambda t: (t.hour < 6) | ((t.hour >= 9) & (t.hour < 20)), "h"),  # two intervals: gaps, not opening hours
        (lambda t: (t.hour >= 8) & ((t.hour < 20) | (t.date == t[400].date())), "h-1111111-0800-2400"),
    ],
)
def test_a_time_with_a_single_row_is_open(keep, alias):
    every = pd.date_range("2026-01-01", periods=24 * 60, freq="h")
    assert detected(every[keep(every)]).alias == alias


def test_a_few_weeks_are_not_enough_to_detect_opening_hours():
    every = pd.date_range("2026-01-01", periods=24 * 30, freq="h")
    assert detected(every[(every.hour >= 8) & (every.hour < 20)]).alias == "h"


@settings(deadline=None, max_examples=200)
@given(
    step=st.sampled_from([DAY, HOUR, HOUR // 4]),
    week=st.text("01", min_size=7, max_size=7).filter(lambda week: "1" in week),
    hours=st.tuples(st.integers(0, 23), st.integers(0, 23)).filter(lambda pair: pair[0] != pair[1]),
    late=st.integers(0, HOUR // 4 - 1),
)
def test_steps_and_times_are_inverse(step, week, hours, late):
    opening = Opening(step, week) if step == DAY else Opening(step, week, 60 * hours[0], 60 * hours[1])
    assert Opening.read(step, str(opening)) == opening
    every = pd.date_range("2026-01-01", periods=(21 * DAY) // step, freq=pd.Timedelta(step, "ns")).to_numpy(
        "datetime64[ns]"
    )
    times = every[opening.is_open(every)] + np.timedelta64(late, "ns")
    if len(times) < 2:
        return
    assert (np.diff(opening.ordinals(times)) == 1).all()
    assert (opening.after(times[:1], np.arange(1, len(times)))[0] == times[1:]).all()
    closed = every[~opening.is_open(every)]
    assert not np.isin(closed, opening.after(times[:1], np.arange(-5, len(times)))[0]).any()


@pytest.mark.parametrize("alias", ["B-0000000", "h-1111111-2500-0800", "h-11111-0800-2000", "W-1111110", "7h-1111111"])
def test_an_invalid_opening_is_refused(alias):
    with pytest.raises(ConfigError, match=alias):
        frequency_of(alias)
