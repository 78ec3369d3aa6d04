"""Times: reading them from any sane notation.

All times become UTC without a zone: two daily rows are one day apart on every clock, and Prophet takes no zones.
"""

from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.errors import DataError
from trainyard_trainer.frameworks.base import Finding

_FIRST_DAY: Final = np.datetime64("1678-01-01")
_LAST_DAY: Final = np.datetime64("2261-12-31")
_CALENDAR_NUMBERS: Final = ((19000101, 99991231, "%Y%m%d"), (1000, 2999, "%Y"))
_EPOCH_UNITS: Final[tuple[tuple[float, Literal["ns", "us", "ms", "s"], float], ...]] = (
    (1e17, "ns", 1),
    (1e14, "us", 1e3),
    (1e11, "ms", 1e6),
    (1e8, "s", 1e9),
)
"""From which size on a number is an instant since 1970, counted in this unit, and the unit in nanoseconds."""

HOW_TO_WRITE: Final = "write times as 2026-01-31 or 2026-01-31T08:00:00Z"
_LAST_NANOSECOND: Final = 9.2e18


def parse_times(column: pd.Series, name: str) -> tuple[pd.Series, list[Finding]]:
    """Return the times of a column as ``datetime64[ns]`` in UTC; missing stay missing.

    Raises
    ------
    DataError
        If a value is no time: the sentence names the first one and its data row (the first row below the header is 1).
    """
    times, bad, findings = read_times(column, name)
    if bad.any():
        position = int(bad.argmax())
        row = int(column.index[position]) + 1
        value = str(column.iloc[position])
        raise DataError(
            f"column {name!r} (data.time), data row {row}: {value!r} is not a time; {HOW_TO_WRITE}", row=row
        )
    return times, findings


def read_times(column: pd.Series, name: str) -> tuple[pd.Series, npt.NDArray[np.bool_], list[Finding]]:
    """Return the times of a column as :func:`parse_times` does, and which values are no times (they become missing).

    Raises
    ------
    DataError
        If a time is out of range, or numbers are no times at all.
    """
    findings: list[Finding] = []
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        times = column
    elif pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        times = _from_numbers(column, name)
    else:
        times, findings = _from_text(column, name)
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    bad = (times.isna() & column.notna()).to_numpy()
    return _within_range(times, name).astype("datetime64[ns]"), bad, findings


def _from_numbers(column: pd.Series, name: str) -> pd.Series:
    numbers = column.dropna()
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 0.0)
    whole = bool((numbers == numbers.round()).all())
    for floor, ceiling, form in _CALENDAR_NUMBERS:
        if whole and low >= floor and high <= ceiling:
            texts = column.astype("Int64").astype("string")
            return pd.to_datetime(texts, format=form, errors="coerce")
    for size, unit, nanoseconds in _EPOCH_UNITS:
        if low >= size:
            beyond = (column > _LAST_NANOSECOND / nanoseconds).to_numpy(dtype=bool, na_value=False)
            if beyond.any():
                raise _out_of_range(column, int(beyond.argmax()), f"{high:g}", name)
            return pd.Series(pd.to_datetime(column.to_numpy(), unit=unit), index=column.index)
    raise DataError(
        f"column {name!r} (data.time) holds numbers such as {low:g} that are no times; "
        "use a date, a year, or seconds since 1970"
    )


def _from_text(column: pd.Series, name: str) -> tuple[pd.Series, list[Finding]]:
    # A panel repeats each time once per series: parse the distinct ones only.
    codes, distinct = pd.factorize(column)
    texts = pd.Series([str(value) for value in distinct], dtype="string")
    if len(texts) == 0:
        return pd.Series(pd.NaT, index=column.index), []
    findings: list[Finding] = []
    parsed = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    if parsed.isna().any():
        month_first, day_first = (_by_position(texts, order) for order in ("month", "day"))
        readings = {"month": month_first, "day": day_first}
        best = max(readings, key=lambda order: int(readings[order].notna().sum()))
        if readings[best].notna().sum() >= parsed.notna().sum():
            parsed = readings[best]
        if month_first.notna().all() and day_first.notna().all() and not month_first.equals(day_first):
            findings.append(
                Finding(
                    "AmbiguousDates",
                    "warning",
                    f"column {name!r} can be read with the month or the day first; month first was taken. "
                    "Write dates as 2026-01-31",
                )
            )
    lookup = parsed.dt.tz_localize(None).to_numpy()
    values = np.where(codes >= 0, lookup[np.maximum(codes, 0)], np.datetime64("NaT", "ns"))
    return pd.Series(values, index=column.index), findings


def _by_position(texts: pd.Series, first: Literal["month", "day"]) -> pd.Series:
    """Read dates such as 3/4/2026 or 31.12.26, with an optional time of day, with the month or the day in front."""
    tidy = texts.str.strip().str.replace(r"[.\-]", "/", regex=True, n=2)
    head = "%m/%d/" if first == "month" else "%d/%m/"
    result = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[ns, UTC]")
    for year in ("%Y", "%y"):
        for clock in ("", " %H:%M", " %H:%M:%S"):
            parsed = pd.to_datetime(tidy, format=head + year + clock, errors="coerce", utc=True)
            result = result.fillna(parsed)
    return result


def _within_range(times: pd.Series, name: str) -> pd.Series:
    """Refuse what 64 bits of nanoseconds cannot hold."""
    days = times.to_numpy("datetime64[D]")
    bad = (days < _FIRST_DAY) | (days > _LAST_DAY)
    if bad.any():
        row = int(bad.argmax())
        raise _out_of_range(times, row, str(days[row]), name)
    return times


def _out_of_range(column: pd.Series, row: int, value: str, name: str) -> DataError:
    return DataError(
        f"column {name!r} (data.time), data row {column.index[row] + 1}: {value} is out of range; "
        f"times lie between {_FIRST_DAY} and {_LAST_DAY}",
        row=int(column.index[row]) + 1,
    )
