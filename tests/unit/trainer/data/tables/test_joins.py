"""Covariates are joined by time and key. Values from after the time of a row never change the row."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard_trainer.data.dataset import CovariateTable
from trainyard_trainer.data.tables.joins import coverage, join_rows, join_steps, only_past
from trainyard_trainer.data.values.frequency import frequency_of

HOUR = np.timedelta64(1, "h")
START = np.datetime64("2026-01-01", "ns")

hours = st.lists(st.integers(0, 200), min_size=1, max_size=30)


def times_of(offsets):
    return START + np.array(offsets, dtype=np.int64) * HOUR


def table(offsets, values, *, keys=None, known=True):
    frame = pd.DataFrame({"time": times_of(offsets), "w.x": np.array(values, dtype=float)})
    if keys is not None:
        frame.insert(1, "key", keys)
    frame = frame.sort_values("time", kind="stable", ignore_index=True)
    return CovariateTable("w", frame, ("w.x",), keyed=keys is not None, known_in_future=known)


@given(hours, hours, st.booleans(), st.integers(0, 200))
def test_later_values_never_change_a_row(rows, covariate_hours, known, instant):
    times = pd.Series(times_of(rows))
    values = np.arange(len(covariate_hours), dtype=float)
    changed = np.where(np.array(covariate_hours) > instant, -999.0, values)
    before, _ = join_rows(times, None, (table(covariate_hours, values, known=known),))
    after, _ = join_rows(times, None, (table(covariate_hours, changed, known=known),))
    early = (times <= times_of([instant])[0]).to_numpy()
    pd.testing.assert_frame_equal(before[early], after[early])


@given(hours, hours, st.booleans())
def test_rows_get_the_newest_earlier_value(rows, covariate_hours, known):
    covariate_hours = sorted(set(covariate_hours))
    joined, _ = join_rows(pd.Series(times_of(rows)), None, (table(covariate_hours, covariate_hours, known=known),))
    for row, found in zip(rows, joined["w.x"], strict=True):
        before = [hour for hour in covariate_hours if hour < row or (known and hour == row)]
        assert found == max(before) if before else np.isnan(found)


@given(st.integers(2, 8), hours, st.integers(0, 200))
def test_steps_after_a_day_never_change_it(days, covariate_hours, instant):
    times = START + np.arange(days) * 24 * HOUR
    covariate_hours = sorted(covariate_hours)
    values = np.arange(len(covariate_hours), dtype=float)
    day_after = START + (instant // 24 + 1) * 24 * HOUR
    changed = np.where(times_of(covariate_hours) >= day_after, -999.0, values)
    both = [join_steps(times, "all", frequency_of("D"), (table(covariate_hours, one),)) for one in (values, changed)]
    np.testing.assert_array_equal(*(one[times < day_after] for one in both))


def test_hours_are_averaged_by_day_and_a_gap_uses_the_previous_day():
    times = START + np.arange(4) * 24 * HOUR
    found = join_steps(times, "all", frequency_of("D"), (table([24, 30, 47, 73], [1, 2, 6, 5]),))
    assert np.isnan(found[0, 0])
    assert found[1:, 0].tolist() == [3, 3, 5]


@pytest.mark.parametrize(
    ("alias", "times"), [("MS", ["2026-01-01", "2026-02-01"]), ("ME", ["2026-01-31", "2026-02-28"])]
)
def test_days_are_averaged_by_month(alias, times):
    days = np.arange(59) * 24
    found = join_steps(
        np.array(times, "datetime64[ns]"), "all", frequency_of(alias), (table(days, [1.0] * 31 + [2.0] * 28),)
    )
    assert found[:, 0].tolist() == [1, 2]


def test_a_key_selects_the_rows_of_its_series():
    covariate = table([0, 0, 24], [1, 2, 3], keys=["a", "b", "a"])
    times = START + np.arange(2) * 24 * HOUR
    assert join_steps(times, "a", frequency_of("D"), (covariate,))[:, 0].tolist() == [1, 3]
    assert join_steps(times, "b", frequency_of("D"), (covariate,))[:, 0].tolist() == [2, 2]
    assert np.isnan(join_steps(times, "c", frequency_of("D"), (covariate,))).all()
    rows, findings = join_rows(pd.Series([times[1]] * 3), pd.Series(["b", "a", None]), (covariate,))
    assert rows["w.x"].iloc[:2].tolist() == [2, 3]
    assert np.isnan(rows["w.x"].iloc[2])
    assert [(one.code, one.count) for one in findings] == [("CovariateGaps", 1)]


def test_rows_without_a_time_get_no_value():
    rows, _ = join_rows(pd.Series([pd.NaT, START], dtype="datetime64[ns]"), None, (table([0], [7]),))
    assert np.isnan(rows["w.x"].iloc[0])
    assert rows["w.x"].iloc[1] == 7


def test_covariates_not_known_in_the_future_are_reported():
    findings = only_past((table([0], [1]), table([0], [1], known=False)))
    assert [finding.code for finding in findings] == ["CovariateNotKnownInFuture"]


def test_missing_values_and_an_early_end_are_reported():
    covariate = table([24], [1])
    findings = coverage((covariate,), np.array([[np.nan], [1.0]]), START + 72 * HOUR)
    assert [(one.code, one.count) for one in findings] == [("CovariateGaps", 1), ("CovariateEnds", 0)]
    assert "'w' ends on 2026-01-02, but 2026-01-04" in findings[1].message
