"""Times: reading them from any sane notation.

All times become instants in UTC without a zone; :mod:`trainyard_trainer.data.zones` makes days of a zone out of them.
"""

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.dataset import Clock, Finding
from trainyard_trainer.data.zones import by_clock, to_instants
from trainyard_trainer.errors import DataError

_FIRST_DAY: Final = np.datetime64("1678-01-01")
LAST_DAY: Final = np.datetime64("2261-12-31")
_CALENDAR_NUMBERS: Final = ((19000101, 99991231, "%Y%m%d"), (1000, 2999, "%Y"))
_EPOCH_UNITS: Final[tuple[tuple[float, Literal["ns", "us", "ms", "s"], float], ...]] = (
    (1e17, "ns", 1),
    (1e14, "us", 1e3),
    (1e11, "ms", 1e6),
    (1e8, "s", 1e9),
)
"""From which size on a number is an instant since 1970, counted in this unit, and the unit in nanoseconds."""

HOW_TO_WRITE: Final = "write times as 2026-01-31 or 2026-01-31T08:00:00Z"
_OFFSET: Final = r"(?i)[T:].*(?:Z|[+-]\d{2}(?::?\d{2})?)\s*$"
"""At the end of a time of day: the day of a mere date looks like an offset."""

_LAST_NANOSECOND: Final = 9.2e18


def parse_times(column: pd.Series, name: str, zone: str | None = None) -> tuple[pd.Series, list[Finding]]:
    """Return the times of a column as instants, ``datetime64[ns]`` in UTC; missing stay missing.

    Raises
    ------
    DataError
        If a value is no time: the sentence names the first one and its data row (the first row below the header is 1).
    """
    times, bad, findings = read_times(column, name, zone)
    if bad.any():
        position = int(bad.argmax())
        row = int(column.index[position]) + 1
        value = str(column.iloc[position])
        raise DataError(
            f"column {name!r} (data.time), data row {row}: {value!r} is not a time; {HOW_TO_WRITE}", row=row
        )
    return times, findings


def read_times(
    column: pd.Series, name: str, zone: str | None = None, keys: npt.NDArray[Any] | None = None
) -> tuple[pd.Series, npt.NDArray[np.bool_], list[Finding]]:
    """Return the times of a column as :func:`parse_times` does, and which values are no times (they become missing).

    Parameters
    ----------
    zone
        Of times without an offset; UTC if not given.
    keys
        The series of each row: see :func:`trainyard_trainer.data.zones.to_instants`.

    Raises
    ------
    DataError
        If a time is out of range, or numbers are no times at all.
    """
    findings: list[Finding] = []
    has_offset = np.zeros(len(column), dtype=bool)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        times = column
        if isinstance(times.dtype, pd.DatetimeTZDtype):
            has_offset[:] = True
            times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    elif pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        times, is_instant = _from_numbers(column, name)
        has_offset[:] = is_instant
    else:
        times, has_offset, findings = _from_text(column, name)
    bad = (times.isna() & column.notna()).to_numpy()
    times = _within_range(times, name).astype("datetime64[ns]")
    local = ~has_offset & times.notna().to_numpy()
    if zone is not None and local.any():
        instants, notes = to_instants(times[local], zone, None if keys is None else keys[local], name)
        times = times.mask(pd.Series(local, index=times.index), instants)
        findings = [*findings, *notes]
    return times, bad, findings


def asked_times(column: pd.Series, name: str, clock: Clock) -> npt.NDArray[np.datetime64]:
    """Return the times of a question to a model whose table was kept by ``clock``, read as that table was.

    Raises
    ------
    DataError
        If a value is no time, or missing.
    """
    times, _ = parse_times(column, name, clock.zone)
    if times.isna().any():
        row = int(times.isna().to_numpy().argmax())
        raise DataError(f"column {name!r}, data row {row + 1}: there is no time; {HOW_TO_WRITE}")
    return by_clock(times, clock).to_numpy("datetime64[ns]")


def _from_numbers(column: pd.Series, name: str) -> tuple[pd.Series, bool]:
    """Return times, and whether they are instants; else they are dates of the calendar."""
    numbers = column.dropna()
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 0.0)
    whole = bool((numbers == numbers.round()).all())
    for floor, ceiling, form in _CALENDAR_NUMBERS:
        if whole and low >= floor and high <= ceiling:
            texts = column.astype("Int64").astype("string")
            return pd.to_datetime(texts, format=form, errors="coerce"), False
    for size, unit, nanoseconds in _EPOCH_UNITS:
        if low >= size:
            beyond = (column > _LAST_NANOSECOND / nanoseconds).to_numpy(dtype=bool, na_value=False)
            if beyond.any():
                raise _out_of_range(column, int(beyond.argmax()), f"{high:g}", name)
            return pd.Series(pd.to_datetime(column.to_numpy(), unit=unit), index=column.index), True
    raise DataError(
        f"column {name!r} (data.time) holds numbers such as {low:g} that are no times; "
        "use a date, a year, or seconds since 1970"
    )


def _from_text(column: pd.Series, name: str) -> tuple[pd.Series, npt.NDArray[np.bool_], list[Finding]]:
    """Return times, which of them had an offset, and what is to be said of them."""
    # A panel repeats each time once per series: parse the distinct ones only.
    codes, distinct = pd.factorize(column)
    texts = pd.Series([str(value) for value in distinct], dtype="string")
    if len(texts) == 0:
        return pd.Series(pd.NaT, index=column.index), np.zeros(len(column), dtype=bool), []
    findings: list[Finding] = []
    has_offset = texts.str.contains(_OFFSET).to_numpy(dtype=bool)
    parsed = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[ns, UTC]")
    # Each kind on its own: pandas gives a time without an offset the one of the time before it.
    for kind in (has_offset, ~has_offset):
        parsed[kind] = pd.to_datetime(texts[kind], format="ISO8601", errors="coerce", utc=True)
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
    return pd.Series(values, index=column.index), np.append(has_offset, False)[codes], findings


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
    bad = (days < _FIRST_DAY) | (days > LAST_DAY)
    if bad.any():
        row = int(bad.argmax())
        raise _out_of_range(times, row, str(days[row]), name)
    return times


def _out_of_range(column: pd.Series, row: int, value: str, name: str) -> DataError:
    return DataError(
        f"column {name!r} (data.time), data row {column.index[row] + 1}: {value} is out of range; "
        f"times lie between {_FIRST_DAY} and {LAST_DAY}",
        row=int(column.index[row]) + 1,
    )
