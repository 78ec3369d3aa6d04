"""Cron expressions, compared with a simulator that checks every minute of two years in several time zones."""

import time
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trainyard_operator.core.schedule.cron import (
    ScheduleError,
    count_between,
    last_at_or_before,
    next_after,
    parse,
)

MINUTE = timedelta(minutes=1)

ZONES = {
    "UTC": 2024,
    "Europe/Paris": 2024,
    "America/New_York": 2023,
    "Asia/Kolkata": 2024,
    "Australia/Lord_Howe": 2023,  # the clock changes by half an hour
    "America/Sao_Paulo": 2017,  # the clock changes at midnight, so one midnight does not exist
    "Africa/Cairo": 2024,  # the clock changes at midnight, east of UTC
    "Africa/Casablanca": 2023,  # negative daylight saving, around Ramadan
    "America/St_Johns": 2010,  # the clock changes at 00:01, and the offset is not a whole hour
    "Antarctica/Troll": 2023,  # the clock changes by two hours
    "Pacific/Apia": 2011,  # one day was skipped
}
"""By time zone: the first of two simulated years, in which the clock changes that the zone is listed for occur."""


class Simulator:
    """Every minute of two years in local time, by pandas with the time zones of pytz."""

    def __init__(self, zone: str, year: int) -> None:
        self.start, self.end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 2, 1, 1, tzinfo=UTC)
        self.minutes = pd.date_range(self.start, self.end, freq="min")
        wall = self.minutes.tz_convert(zone)
        columns = [wall.minute, wall.hour, wall.day, wall.month, (wall.dayofweek + 1) % 7]
        self.columns = [column.to_numpy().astype(np.uint8) for column in columns]

    def due(self, expression: str) -> pd.DatetimeIndex:
        """Return every time in the two years at which the expression matches the local time."""
        texts = expression.replace("?", "*").split()
        bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
        minute, hour, day, month, weekday = (
            np.isin(np.arange(60), sorted(expand(text, *bound)))[column]
            for column, text, bound in zip(self.columns, texts, bounds, strict=True)
        )
        starred = {"*", "*/1"} & {*texts[2].split(","), *texts[4].split(",")}
        days = day & weekday if starred else day | weekday
        return self.minutes[minute & hour & days & month]


def expand(text: str, first: int, last: int) -> set[int]:
    """Return the numbers that a field matches. Slow and obvious: it tests each number against each item."""
    return {number for number in range(first, last + 1) for item in text.split(",") if accepts(item, number, first)}


def accepts(item: str, number: int, first: int) -> bool:
    span, _, step = item.partition("/")
    if span == "*":
        low, high = first, number
    elif "-" in span:
        low, high = (int(part) for part in span.split("-"))
    else:
        low, high = int(span), (number if step else int(span))
    return low <= number <= high and (number - low) % int(step or 1) == 0


@cache
def simulator(zone: str) -> Simulator:
    return Simulator(zone, ZONES[zone])


def field(first: int, last: int) -> st.SearchStrategy[str]:
    numbers = st.integers(first, last)
    span = st.tuples(numbers, numbers).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.integers(1, last + 5)
    item = st.one_of(
        numbers.map(str),
        span,
        st.builds("{}/{}".format, st.one_of(st.just("*"), span, numbers.map(str)), step),
        st.just("*"),
    )
    return st.one_of(st.just("*"), st.just("?"), st.lists(item, min_size=1, max_size=3).map(",".join))


EXPRESSIONS = st.tuples(
    field(0, 59),
    st.one_of(field(0, 23), field(0, 3)),  # clocks change at night
    field(1, 31),
    field(1, 12),
    field(0, 6),
).map(" ".join)


@settings(max_examples=100, deadline=None)
@example("30 2 * * *", "Europe/Paris", 0.24)
@example("15 2 * * *", "Australia/Lord_Howe", 0.13)
@example("0 0 * * *", "America/Sao_Paulo", 0.89)
@example("0 12 25 4 *", "Africa/Cairo", 0.1)
@example("0 0 30 12 *", "Pacific/Apia", 0.4)
@example("*/7 1 1-7 * 1", "America/St_Johns", 0.4)
@example("* * 2 * */1", "Africa/Cairo", 0.0)
@given(EXPRESSIONS, st.sampled_from(sorted(ZONES)), st.floats(0, 0.99))
def test_next_and_last_time_agree_with_the_simulator(expression: str, zone: str, fraction: float) -> None:
    world = simulator(zone)
    try:
        schedule = parse(expression, zone)
    except ScheduleError as error:
        assert "is never due" in str(error)  # noqa: PT017 - the strategy only makes valid expressions
        assert world.due(expression).empty
        return
    due = world.due(expression)
    moment = world.start + (world.end - world.start) * fraction
    split = due.searchsorted(pd.Timestamp(moment), side="right")
    later = list(due[split : split + 20].to_pydatetime())
    earlier = list(due[:split][-1:].to_pydatetime())

    found, position = [], moment
    for _ in later:
        position = next_after(schedule, position) or world.end
        found.append(position)
    assert found == later
    if len(later) < 20:
        following = next_after(schedule, position)
        assert following is None or following > world.end

    last = last_at_or_before(schedule, moment, after=world.start - MINUTE)
    assert last == (earlier[-1] if earlier else None)
    if last is not None:
        assert last_at_or_before(schedule, moment, after=last) is None
        assert last_at_or_before(schedule, last, after=last - MINUTE) == last
        assert next_after(schedule, last) == (later[0] if later else next_after(schedule, moment))
    assert count_between(schedule, moment, world.end, limit=20) == len(later)


@pytest.mark.parametrize("zone", sorted(ZONES))
def test_every_time_in_two_years_is_found_in_both_directions(zone: str) -> None:
    world, expression = simulator(zone), "*/30 0-3 * * *"
    schedule, expected = parse(expression, zone), list(world.due(expression).to_pydatetime())
    forwards, moment = [], world.start - MINUTE
    while (following := next_after(schedule, moment)) is not None and following <= world.end:
        forwards.append(following)
        moment = following
    backwards, moment = [], world.end
    while (previous := last_at_or_before(schedule, moment, after=world.start - MINUTE)) is not None:
        backwards.append(previous)
        moment = previous - MINUTE
    assert forwards == expected
    assert backwards[::-1] == expected


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        pytest.param("30 2 * * *", "Europe/Paris", "2026-03-28 12:00", ["2026-03-30 02:30"], id="skipped in the gap"),
        pytest.param("0 3 * * *", "Europe/Paris", "2026-03-28 12:00", ["2026-03-29 03:00"], id="the end of the gap"),
        pytest.param(
            "30 2 * * *",
            "Europe/Paris",
            "2026-10-24 12:00",
            ["2026-10-25 02:30+02:00", "2026-10-25 02:30+01:00", "2026-10-26 02:30"],
            id="twice in the fold",
        ),
        pytest.param(
            "@hourly",
            "America/New_York",
            "2026-11-01 00:30",
            ["2026-11-01 01:00-04:00", "2026-11-01 01:00-05:00", "2026-11-01 02:00"],
            id="hourly through the fold",
        ),
        pytest.param(
            "0 * * * *",
            "America/New_York",
            "2026-03-08 00:30",
            ["2026-03-08 01:00", "2026-03-08 03:00"],
            id="hourly through the gap",
        ),
        pytest.param(
            "0 0 * * *",
            "America/Sao_Paulo",
            "2018-11-03 12:00",
            ["2018-11-05 00:00"],
            id="a midnight that does not exist",
        ),
        pytest.param("0 0 29 2 *", "UTC", "2096-03-01 00:00", ["2104-02-29 00:00"], id="no leap year in 2100"),
        pytest.param("0 0 13 * 5", "UTC", "2026-11-01 00:00", ["2026-11-06 00:00", "2026-11-13 00:00"], id="either"),
        pytest.param("0 0 13 * *", "UTC", "2026-11-01 00:00", ["2026-11-13 00:00", "2026-12-13 00:00"], id="day"),
        pytest.param("0 0 */2 * 1", "UTC", "2026-11-01 12:00", ["2026-11-02 00:00", "2026-11-03 00:00"], id="no star"),
        pytest.param(
            "0 0 31 feb,apr 1", "UTC", "2026-03-20 00:00", ["2026-04-06 00:00"], id="no such day, but Mondays"
        ),
        pytest.param("5/20 8 * * *", "UTC", "2026-11-01 00:00", ["2026-11-01 08:05", "2026-11-01 08:25"], id="5-59/20"),
        pytest.param("0 9 ? DEC Mon-wed", "", "2026-11-21 00:00", ["2026-12-01 09:00", "2026-12-02 09:00"], id="names"),
        pytest.param("@weekly", "", "2026-11-21 00:00", ["2026-11-22 00:00", "2026-11-29 00:00"], id="@weekly"),
        pytest.param("@monthly", "", "2026-11-21 00:00", ["2026-12-01 00:00", "2027-01-01 00:00"], id="@monthly"),
        pytest.param("@yearly", "", "2026-11-21 00:00", ["2027-01-01 00:00", "2028-01-01 00:00"], id="@yearly"),
        pytest.param("@daily", "Asia/Kolkata", "2026-11-21 00:00", ["2026-11-22 00:00"], id="@daily"),
    ],
)
def test_times_follow_the_local_clock(expression: str, zone: str, after: str, expected: list[str]) -> None:
    schedule = parse(expression, zone)
    moment = on_the_wall(after, zone)
    for text in expected:
        found = next_after(schedule, moment)
        assert found == on_the_wall(text, zone), f"{found} is not {text}"
        moment = found or moment


def on_the_wall(text: str, zone: str) -> datetime:
    stamp = datetime.fromisoformat(text)
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=ZoneInfo(zone or "UTC"))).astimezone(UTC)


@pytest.mark.parametrize(
    ("expression", "zone", "message"),
    [
        ("0 0 * * * *", "", "has 6 fields: write five"),
        ("0 0 * *", "", "has 4 fields: write five"),
        ("", "", "has 0 fields: write five"),
        ("@every 5m", "", "has 2 fields"),
        ("@reboot", "", "is not known: write five fields or one of @yearly"),
        ("TZ=Europe/Paris 0 0 * * *", "", "set timeZone"),
        ("CRON_TZ=UTC 0 0 * * *", "", "set timeZone"),
        ("0 0 31 2 *", "", "is never due: no month in its fourth field has a day 31"),
        ("0 0 31 2,4,6,9,11 *", "", "is never due"),
        ("0 0 30,31 feb ?", "", "is never due"),
        ("60 0 * * *", "", '"60" in the minute of the schedule is out of range: write 0 to 59'),
        ("0 24 * * *", "", '"24" in the hour'),
        ("0 0 0 * *", "", '"0" in the day of month of the schedule is out of range: write 1 to 31'),
        ("0 0 * 13 *", "", '"13" in the month'),
        ("0 0 * * 7", "", '"7" in the day of week of the schedule is out of range: write 0 to 6'),
        ("0 0 * foo *", "", "write 1 to 12 or a name like jan, a range, a list or a step"),
        ("jan 0 * * *", "", '"jan" in the minute of the schedule is invalid: write 0 to 59, a range'),
        ("0 0 5-1 * *", "", '"5-1" in the day of month of the schedule ends before it starts'),
        ("*/0 * * * *", "", '"*/0" in the minute of the schedule has the step 0: write 1 or more'),
        ("1,,2 * * * *", "", '"" in the minute'),
        ("*-5 * * * *", "", '"*-5" in the minute'),
        ("1-2-3 * * * *", "", '"1-2-3" in the minute'),
        ("1/2/3 * * * *", "", '"1/2/3" in the minute'),
        ("+1 * * * *", "", '"+1" in the minute'),
        ("١ * * * *", "", "is invalid"),
        ("-1 * * * *", "", '"-1" in the minute'),
        ("0 0 L * *", "", '"L" in the day of month'),
        ("0 0 * * *", "Europe/Pari", 'timeZone "Europe/Pari" is not known: write an IANA time zone'),
        ("0 0 * * *", "Local", "is not known"),
        ("0 0 * * *", "../etc/passwd", "is not known"),
        ("0 0 * * *", "Europe", "is not known"),
    ],
)
def test_invalid_schedules_are_refused(expression: str, zone: str, message: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        parse(expression, zone)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_time_zone_suggests_a_similar_name() -> None:
    with pytest.raises(ScheduleError, match="for example Europe/Paris"):
        parse("@daily", "Europe/Pari")


@given(st.text(st.sampled_from("0123456789*?/,-@abTZ= \té"), max_size=24))
def test_any_text_is_parsed_or_refused_with_a_message(text: str) -> None:
    try:
        schedule = parse(text)
    except ScheduleError as error:
        assert "schedule" in str(error)  # noqa: PT017
        return
    assert schedule.times


def test_a_year_of_downtime_costs_no_more_than_a_day() -> None:
    now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    schedules: dict[str, Any] = {
        expression: parse(expression, "Europe/Paris") for expression in ("* * * * *", "@yearly", "0 0 29 2 *")
    }
    began = time.process_time()
    for schedule in schedules.values():
        for _ in range(20):
            last_at_or_before(schedule, now, after=now - timedelta(days=366))
            next_after(schedule, now)
            count_between(schedule, now - timedelta(days=366), now, limit=100)
    assert time.process_time() - began < 3, "a minute by minute scan of a year takes longer than all of these together"
