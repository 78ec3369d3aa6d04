"""Days and hours of a zone, at both clock changes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trainer.data.jobs import dataset_of, job, write
from trainyard_trainer.data.values.times import asked_times, parse_times
from trainyard_trainer.data.values.zones import by_clock, check_zone, clock_of
from trainyard_trainer.errors import ConfigError

PARIS = "Europe/Paris"
SPRING, AUTUMN = "2026-03-29", "2026-10-25"
ZONES = [PARIS, "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns", "UTC"]


def local_days(zone, start="2018-01-01", days=400):
    """Midnights of a zone as instants; where midnight does not exist, the first moment of the day."""
    return pd.date_range(start, periods=days).tz_localize(zone, nonexistent="shift_forward", ambiguous=[True] * days)


def written(times):
    return pd.Series([time.isoformat() for time in times])


def prepared(folder, times, **data):
    frame = pd.DataFrame({"ds": times, "y": np.arange(len(times)) % 7 + 1.0})
    config = job(write(folder, frame.to_csv(index=False)), task="Forecast", data={"timeZone": PARIS, **data})
    return dataset_of(config, folder)


@pytest.mark.parametrize("zone", ZONES)
def test_midnights_of_a_zone_are_days_for_any_offset(zone):
    instants, findings = parse_times(written(local_days(zone)), "ds", zone)
    clock = clock_of(instants, zone)
    assert clock.wall
    assert by_clock(instants, clock).tolist() == list(pd.date_range("2018-01-01", periods=400))
    assert findings == []


@pytest.mark.parametrize("zone", ZONES)
def test_dates_without_a_time_are_the_days_themselves(zone):
    dates = pd.date_range("2018-01-01", periods=400)
    instants, _ = parse_times(pd.Series(dates.strftime("%Y-%m-%d")), "ds", zone)
    assert by_clock(instants, clock_of(instants, zone)).tolist() == list(dates)


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
def test_hours_with_offsets_stay_hours_across_a_transition(tmp_path, day):
    hours = pd.date_range(f"{day}T00:00Z", periods=100, freq="h") - pd.Timedelta("50h")
    dataset = prepared(tmp_path, written(hours.tz_convert(PARIS)))
    assert dataset.frequency == "h"
    assert dataset.frame["ds"].tolist() == hours.tz_localize(None).tolist()
    assert not dataset.clock.wall
    assert {"Gaps", "IrregularTimes"}.isdisjoint(finding.code for finding in dataset.findings)


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
def test_hours_without_offsets_stay_hours_across_a_transition(tmp_path, day):
    hours = pd.date_range(f"{day}T00:00Z", periods=100, freq="h") - pd.Timedelta("50h")
    dataset = prepared(tmp_path, hours.tz_convert(PARIS).tz_localize(None))
    assert dataset.frame["ds"].tolist() == hours.tz_localize(None).tolist()


def test_the_repeated_hour_of_two_series(tmp_path):
    hours = (pd.date_range(f"{AUTUMN}T00:00Z", periods=60, freq="h") - pd.Timedelta("30h")).tz_localize(None)
    local = hours.tz_localize("UTC").tz_convert(PARIS).tz_localize(None)
    frame = pd.concat([pd.DataFrame({"ds": local, "item": name, "y": np.arange(60.0)}) for name in "ab"])
    config = job(
        write(tmp_path, frame.to_csv(index=False)), task="Forecast", data={"timeZone": PARIS, "series": "item"}
    )
    assert dataset_of(config, tmp_path).frame["ds"].tolist() == [*hours, *hours]


def test_days_across_transitions_are_one_step_apart(tmp_path):
    dataset = prepared(tmp_path, written(local_days(PARIS, "2026-01-01", 330)))
    assert dataset.frequency == "D"
    assert dataset.clock.wall
    assert "Gaps" not in {finding.code for finding in dataset.findings}


def test_times_with_mixed_and_missing_offsets():
    times = pd.Series(["2026-07-01T10:00+02:00", "2026-07-01T10:00", "2026-07-01T08:00Z", "2026-07-01T04:00-0400"])
    instants, _ = parse_times(times, "ds", PARIS)
    assert set(instants) == {pd.Timestamp("2026-07-01T08:00")}
    in_utc, _ = parse_times(times, "ds")
    assert in_utc.dt.hour.tolist() == [8, 10, 8, 8]


@pytest.mark.parametrize(
    ("value", "instant", "code"),
    [
        (f"{AUTUMN}T02:30", "2026-10-25T00:30", "AmbiguousTimes"),
        (f"{SPRING}T02:30", "2026-03-29T01:00", "NonexistentTimes"),
    ],
)
def test_repeated_and_skipped_hours_are_reported(value, instant, code):
    instants, findings = parse_times(pd.Series([value, None]), "ds", PARIS)
    assert instants.iloc[0] == pd.Timestamp(instant)
    assert [(finding.code, finding.count) for finding in findings] == [(code, 1)]


def test_daily_and_hourly_tables_are_distinguished():
    hours = pd.Series(pd.date_range("2026-03-20", periods=300, freq="h"))
    assert not clock_of(hours, PARIS).wall
    assert clock_of(hours[::24], PARIS).zone == PARIS
    assert clock_of(hours, None).zone is None
    assert not clock_of(hours[:0], PARIS).wall


@given(st.sampled_from(ZONES), st.integers(0, 400 * 24 * 60))
def test_times_of_a_request_are_read_like_those_of_the_table(zone, minutes):
    instant = pd.Timestamp("2018-01-01") + pd.Timedelta(minutes=minutes)
    days, _ = parse_times(written(local_days(zone)), "ds", zone)
    hours = pd.Series(pd.date_range("2018-01-01", periods=50, freq="h"))
    asked = pd.Series([instant.tz_localize("UTC").tz_convert(zone).isoformat()])
    wall = instant.tz_localize("UTC").tz_convert(zone).tz_localize(None)
    usual = wall.normalize()
    is_first = wall == usual + pd.Timedelta("1h") and pd.isna(
        usual.tz_localize(zone, ambiguous=True, nonexistent="NaT")
    )
    assert asked_times(asked, "ds", clock_of(days, zone))[0] == (usual if is_first else wall).to_datetime64()
    assert asked_times(asked, "ds", clock_of(hours, zone))[0] == instant.to_datetime64()


def test_an_unknown_zone_is_refused():
    with pytest.raises(ConfigError, match=r"timeZone 'Paris' is not known"):
        check_zone("Paris")
