"""Times in the formats of people and programs: one format per column, saved with the model, and plausible times."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard_trainer.data.dataset import Clock
from trainyard_trainer.data.values.times import asked_times, parse_times, read_times
from trainyard_trainer.errors import DataError


def instants(*values, **known):
    read = read_times(pd.Series(list(values)), "ds", **known)
    assert not read.bad.any(), values
    return [str(time)[:19] for time in read.instants.to_numpy("datetime64[s]")]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("31.12.2025", "2025-12-31T00:00:00"),
        ("12/31/2025 5:06 PM", "2025-12-31T17:06:00"),
        ("12/31/2025 12:00 a.m.", "2025-12-31T00:00:00"),
        ("31-Dec-25 08:30:15", "2025-12-31T08:30:15"),
        ("31. Dezember 2025", "2025-12-31T00:00:00"),
        ("Dec 31, 2025", "2025-12-31T00:00:00"),
        ("Wednesday, 31 December 2025 23:59", "2025-12-31T23:59:00"),
        ("Wed, 31 Dec 2025 08:00:00 GMT", "2025-12-31T08:00:00"),
        ("31 déc. 2025", "2025-12-31T00:00:00"),
        ("31 de diciembre de 2025", "2025-12-31T00:00:00"),
        ("2025/12/31 1:02", "2025-12-31T01:02:00"),
        ("2025-12-30 24:00", "2025-12-31T00:00:00"),
        ("2025-12-31 00:00 Europe/Paris", "2025-12-30T23:00:00"),
        ("2025-12-31 00:00 CET", "2025-12-30T23:00:00"),
        ("2025-12-31 00:00:00 EST", "2025-12-31T05:00:00"),
        ("31.12.2025 00:00 +02:00", "2025-12-30T22:00:00"),
        ("Dec 2025", "2025-12-01T00:00:00"),
        ("12/2025", "2025-12-01T00:00:00"),
        ("2025-Q4", "2025-10-01T00:00:00"),
        ("Q4 2025", "2025-10-01T00:00:00"),
        ("2025-W52", "2025-12-22T00:00:00"),
        ("20251231", "2025-12-31T00:00:00"),
        ("2025123108", "2025-12-31T08:00:00"),
        (2025123108, "2025-12-31T08:00:00"),
        (202512310815, "2025-12-31T08:15:00"),
        (20251231081530, "2025-12-31T08:15:30"),
        (2025123024, "2025-12-31T00:00:00"),
        (202512, "2025-12-01T00:00:00"),
    ],
)
def test_notations(text, instant):
    assert instants(text) == [instant]
    assert instants(text, None)[0] == instant


@pytest.mark.parametrize(
    "text", ["soon", "32.12.2025", "12:30", "2025-12-31 00:00 IST", "10.0.0.1", "31 Foo 2025", "1.5 x"]
)
def test_texts_that_are_not_times(text):
    assert read_times(pd.Series([text, "31.12.2025"]), "ds").bad.tolist() == [True, False]


def test_points_and_equal_steps_determine_the_order_of_day_and_month():
    months = pd.date_range("2010-01-01", periods=48, freq="MS")
    dotted = pd.Series(months.strftime("%d.%m.%Y"))
    slashed = pd.Series(months.strftime("%d/%m/%Y"))
    assert (read_times(dotted, "ds").instants == months).all()
    read = read_times(slashed, "ds")
    assert (read.instants == months).all()
    assert [finding.code for finding in read.findings] == ["DateOrder"]
    american = pd.Series(pd.date_range("2026-01-01", periods=12, freq="D").strftime("%m/%d/%Y"))
    assert (read_times(american, "ds").instants == pd.date_range("2026-01-01", periods=12)).all()


def test_the_format_is_saved_for_requests():
    months = pd.Series(pd.date_range("2010-01-01", periods=48, freq="MS").strftime("%d/%m/%Y"))
    form = read_times(months, "ds").form
    assert form == "DMY"
    asked = pd.Series(["01/02/2014", "2014-03-01"])
    wanted = np.array(["2014-02-01", "2014-03-01"], dtype="datetime64[ns]")
    assert (asked_times(asked, "ds", Clock(form=form)) == wanted).all()
    digits = read_times(pd.Series([2025123108, 2025123109]), "ds").form
    assert asked_times(pd.Series([2025123110]), "ds", Clock(form=digits))[0] == np.datetime64("2025-12-31T10")


@pytest.mark.parametrize(
    "form", ["%d.%m.%y", "%Y-%d-%m", "%Y%m%d%H", "DMY", "Digits", "Excel", "Unix:s", "ISO8601", ""]
)
def test_every_model_reads_iso_times(form):
    """Golden rows have ISO times, even if the table has another format. A server must read them to serve the model."""
    for text in ("2026-03-04T00:00:00", "2026-03-04T00:00:00+00:00"):
        assert asked_times(pd.Series([text]), "ds", Clock(form=form))[0] == np.datetime64("2026-03-04")


def test_an_ambiguous_date_in_a_request_is_refused():
    with pytest.raises(DataError, match="column 'ds': the order of day and month"):
        asked_times(pd.Series(["03/04/2026", "05/06/2026"]), "ds", Clock(form="ISO8601"))
    asked = asked_times(pd.Series(["20260304"]), "ds", Clock(form="ISO8601"))
    assert asked[0] == np.datetime64("2026-03-04")


@pytest.mark.parametrize(
    ("value", "form", "instant"),
    [
        ("03/04/26", "%d/%m/%y", "2026-04-03T00:00:00"),
        ("03/04/26", "DMY", "2026-04-03T00:00:00"),
        ("03/04/26", "MDY", "2026-03-04T00:00:00"),
        (20260403, "%Y%d%m", "2026-03-04T00:00:00"),
        (46115.5, "Excel", "2026-04-03T12:00:00"),
        (2100000000, "Unix:s", "2036-07-18T13:20:00"),
        (86400, "Unix:s", "1970-01-02T00:00:00"),
        (2026040312, "Digits", "2026-04-03T12:00:00"),
    ],
)
def test_the_user_can_set_the_format(value, form, instant):
    assert instants(value, form=form) == [instant]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([4102444800, 4102444801], "in the year 2100.*Unix:s"),
        ([46115.5, 46116.5], "set data.timeFormat to Excel"),
        ([2025129999, 2025123108], "in the year 2034"),
    ],
)
def test_an_implausible_time_is_refused(values, words):
    with pytest.raises(DataError, match=words):
        parse_times(pd.Series(values), "ds")


FORMS = (
    *("%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M %p", "%d %b %Y %H:%M", "%B %d, %Y %H:%M"),
    *("%Y%m%d%H%M", "%Y/%m/%d %H:%M:%S", "%d-%b-%y %H:%M", "%A, %d %B %Y %H:%M", "%Y-%m-%dT%H:%MZ", "%d.%m.%y %H:%M"),
)


@settings(deadline=None, max_examples=150)
@given(
    form=st.sampled_from(FORMS),
    start=st.datetimes(pd.Timestamp("1970-01-01"), pd.Timestamp("2025-01-01")),
    step=st.sampled_from(["D", "h", "15min", "7D", "MS"]),
)
def test_a_written_range_is_read_back(form, start, step):
    times = pd.date_range(start.replace(second=0, microsecond=0), periods=40, freq=step)
    texts = pd.Series(times.strftime(form))
    read = read_times(texts, "ds")
    if any(finding.code == "AmbiguousDates" for finding in read.findings):
        return
    assert (read.instants.to_numpy() == times.to_numpy()).all()
