"""Time zones: convert times without an offset to instants, and instants of daily data back to wall-clock times.

With summer time, a zone has a day of 23 hours and one of 25 hours, an hour that does not exist and one that exists
twice. So daily data uses the wall clock of its zone, where each day is one step. Hourly data uses UTC, where each hour
is one step.
"""

from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.dataset import Clock, Finding
from trainyard_trainer.errors import ConfigError

_HOUR: Final = np.timedelta64(1, "h")
_SAME_TIME_OF_DAY: Final = 0.9
"""Share of rows at one time of day from which a table is daily.

Others may be an hour later: in some zones, summer time starts at midnight, and then that midnight does not exist.
"""


def check_zone(zone: str | None) -> None:
    """Raise ConfigError for an unknown zone."""
    try:
        ZoneInfo(zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            f"spec.data.timeZone {zone!r} is not known; write an IANA name such as Europe/Paris"
        ) from error


def to_instants(
    times: pd.Series, zone: str, keys: npt.NDArray[Any] | None, name: str
) -> tuple[pd.Series, list[Finding]]:
    """Convert times without an offset from a zone to UTC. Return them without a zone, and findings.

    In the repeated hour in autumn, a single time is summer time. Of two equal times of one series, the first is summer
    time. A time in the skipped hour in spring is moved to the end of the gap.

    Parameters
    ----------
    times
        ``datetime64[ns]`` without a zone. Missing values stay missing.
    keys
        The series of each row, because equal times of different series are not repeated.
    """
    index = pd.DatetimeIndex(times)
    summer = np.ones(len(index), dtype=bool)
    known = np.asarray(index.notna())
    skipped = known & np.asarray(index.tz_localize(zone, ambiguous=summer, nonexistent="NaT").isna())
    doubtful = known & np.asarray(index.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward").isna())
    findings: list[Finding] = []
    if doubtful.any():
        rows = pd.DataFrame({"time": index[doubtful], "key": 0 if keys is None else keys[doubtful]})
        summer[doubtful] = (rows.groupby(["time", "key"], dropna=False).cumcount() == 0).to_numpy()
        single = int((~rows.duplicated(keep=False)).sum())
        if single:
            text = (
                f"{single} times in {name!r} are in the hour that occurs twice when clocks go back in {zone}; they are "
                "read as summer time"
            )
            findings.append(Finding("AmbiguousTimes", "warning", text, count=single))
    if skipped.any():
        count = int(skipped.sum())
        text = (
            f"{count} times in {name!r} are in the hour that is skipped when clocks go forward in {zone}; check "
            "data.timeZone"
        )
        findings.append(Finding("NonexistentTimes", "warning", text, count=count))
    instants = index.tz_localize(zone, ambiguous=summer, nonexistent="shift_forward").tz_convert(None)
    return pd.Series(instants.astype("datetime64[ns]"), index=times.index), findings


def clock_of(instants: pd.Series, zone: str | None) -> Clock:
    """Return the clock of a table: the wall clock of its zone if the table is daily, else UTC."""
    if zone is None:
        return Clock()
    wall = _wall(instants.dropna(), zone)
    offsets = wall - wall.astype("datetime64[D]")
    if len(offsets) == 0:
        return Clock(zone)
    distinct, counts = np.unique(offsets, return_counts=True)
    usual = distinct[counts.argmax()]
    is_late = offsets - usual == _HOUR
    is_days = bool(counts.max() >= _SAME_TIME_OF_DAY * len(offsets) and (is_late | (offsets == usual)).all())
    return Clock(zone, wall=is_days, time_of_day_seconds=int(usual / np.timedelta64(1, "s")) if is_days else 0)


def by_clock(instants: pd.Series, clock: Clock) -> pd.Series:
    """Convert instants (UTC, no zone) to times of ``clock``; ``datetime64[ns]`` without a zone."""
    if not clock.wall or clock.zone is None:
        return instants
    wall = _wall(instants, clock.zone)
    usual = wall.astype("datetime64[D]") + np.timedelta64(clock.time_of_day_seconds, "s")
    late = wall - usual == _HOUR
    if late.any():
        existing = pd.DatetimeIndex(usual[late]).tz_localize(clock.zone, ambiguous="NaT", nonexistent="NaT")
        late[late] = np.asarray(existing.isna())
        wall = np.where(late, usual, wall)
    return pd.Series(wall.astype("datetime64[ns]"), index=instants.index)


def wall_times(instants: npt.NDArray[np.datetime64], zone: str) -> npt.NDArray[np.datetime64]:
    """Convert instants in UTC to wall-clock times of a zone; ``datetime64[ns]`` of the same shape."""
    index = pd.DatetimeIndex(instants.ravel()).tz_localize("UTC").tz_convert(zone).tz_localize(None)
    return index.to_numpy("datetime64[ns]").reshape(instants.shape)


def instants_of(wall: npt.NDArray[np.datetime64], zone: str) -> npt.NDArray[np.datetime64]:
    """Convert wall-clock times of a zone to instants in UTC, of the same shape.

    In the repeated hour in autumn, it is the first one, in summer time. In the skipped hour in spring, it is the end of
    the gap.
    """
    index = pd.DatetimeIndex(wall.ravel())
    summer = np.ones(len(index), dtype=bool)
    found = index.tz_localize(zone, ambiguous=summer, nonexistent="shift_forward").tz_convert(None)
    return found.to_numpy("datetime64[ns]").reshape(wall.shape)


def _wall(instants: pd.Series, zone: str) -> npt.NDArray[np.datetime64]:
    return wall_times(instants.to_numpy("datetime64[ns]"), zone)
