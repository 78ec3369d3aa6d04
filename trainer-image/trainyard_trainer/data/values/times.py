"""Read times from many notations.

All times become instants in UTC without a zone. :mod:`trainyard_trainer.data.values.zones` converts them to wall-clock
times for daily data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.dataset import Clock, Finding
from trainyard_trainer.data.values.calendar_text import Order, Parts, digits, parts_of
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.data.values.zones import by_clock, to_instants
from trainyard_trainer.errors import DataError

_FIRST_DAY: Final = np.datetime64("1678-01-01")
LAST_DAY: Final = np.datetime64("2261-12-31")
_FIRST_YEAR, _LAST_YEAR = 1678, 2261
Unit = Literal["ns", "us", "ms", "s"]
AMBIGUOUS: Final = "AmbiguousDates"
EXCEL: Final = "Excel"
DIGITS: Final = "Digits"
_UNIX: Final = "Unix:"
ORDERS: Final[tuple[Order, Order]] = ("MDY", "DMY")

_EXCEL_EPOCH: Final = pd.Timestamp("1899-12-30")
_EXCEL_DAYS: Final = (20_000, 80_000)
_DAY_NS: Final = 86_400_000_000_000
_FIRST_DATE, _LAST_DATE = 19_000_101, 99_991_231
_NOT_YET: Final = pd.Timedelta(days=366)
_CLEARLY: Final = 0.05
_FEW: Final = 4
_EPOCH_UNITS: Final[tuple[tuple[float, Unit, float], ...]] = (
    (1e17, "ns", 1),
    (1e14, "us", 1e3),
    (1e11, "ms", 1e6),
    (1e8, "s", 1e9),
)
"""Lower bound of numbers since 1970 in each unit, and the unit in nanoseconds."""

HOW_TO_ASK: Final = "write it as 2026-01-31 or 2026-01-31T08:00:00Z"
HOW_TO_WRITE: Final = "write times as 2026-01-31 or 2026-01-31T08:00:00Z, or set data.timeFormat"
_OFFSET: Final = r"(?i)[T:].*(?:Z|[+-]\d{2}(?::?\d{2})?)\s*$"
"""An offset at the end of a time of day. Without the time, the day of a date would look like an offset."""

_LAST_NANOSECOND: Final = 9.2e18


@dataclass(frozen=True)
class Times:
    """A column of times as instants.

    Attributes
    ----------
    instants
        ``datetime64[ns]`` in UTC without a zone; missing where there is none; shape (rows,).
    bad
        Mask of values that are neither times nor missing; shape (rows,).
    form
        The format: see :func:`read_times`. Times of requests to the model are read in the same way.
    """

    instants: pd.Series
    bad: npt.NDArray[np.bool_]
    form: str
    findings: tuple[Finding, ...] = ()


def parse_times(
    column: pd.Series, name: str, zone: str | None = None, form: str | None = None
) -> tuple[pd.Series, list[Finding]]:
    """Return the times of a column as instants, ``datetime64[ns]`` in UTC. Missing values stay missing.

    Raises
    ------
    DataError
        If a value is not a time. The message names the first one and its data row (the first row after the header is
        1).
    """
    times = read_times(column, name, zone, form=form)
    if times.bad.any():
        position = int(times.bad.argmax())
        row = int(column.index[position]) + 1
        value = str(column.iloc[position])
        raise DataError(
            f"column {name!r} (data.time), data row {row}: {value!r} is not a time; {HOW_TO_WRITE}", row=row
        )
    return times.instants, list(times.findings)


def read_times(
    column: pd.Series,
    name: str,
    zone: str | None = None,
    keys: npt.NDArray[Any] | None = None,
    form: str | None = None,
) -> Times:
    """Return the times of a column as :func:`parse_times` does, but values that are not times become missing.

    Parameters
    ----------
    zone
        The zone of times without an offset. The default is UTC.
    keys
        The series of each row: see :func:`trainyard_trainer.data.values.zones.to_instants`.
    form
        The format, if it is known: a format of ``strftime``, ``ISO8601``, ``DMY`` or ``MDY`` for the order of ambiguous
        dates, ``Digits`` for numbers such as 2026013108, ``Unix:s`` (``ms``, ``us``, ``ns``), ``Excel``.

    Raises
    ------
    DataError
        If a time is out of range, or if numbers cannot be times.
    """
    findings: list[Finding] = []
    has_offset = np.zeros(len(column), dtype=bool)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        times, form = column, "ISO8601"
        if isinstance(times.dtype, pd.DatetimeTZDtype):
            has_offset[:] = True
            times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    else:
        numbers = _as_numbers(column, form)
        if numbers is not None:
            times, form = _from_numbers(numbers, name, form)
            has_offset[:] = form.startswith(_UNIX)
        else:
            times, has_offset, form = _from_text(column, name, form, findings)
    bad = (times.isna() & column.notna()).to_numpy()
    times = _within_range(times, name).astype("datetime64[ns]")
    local = ~has_offset & times.notna().to_numpy()
    if zone is not None and local.any():
        instants, notes = to_instants(times[local], zone, None if keys is None else keys[local], name)
        times = times.mask(pd.Series(local, index=times.index), instants)
        findings = [*findings, *notes]
    return Times(times, bad, form, tuple(findings))


def asked_times(column: pd.Series, name: str, clock: Clock) -> npt.NDArray[np.datetime64]:
    """Return the times of a request to a model, read as the table that it was trained on, with ``clock``.

    Raises
    ------
    DataError
        If a value is not a time, is ambiguous, is missing, or is on a closed step.
    """
    read = read_times(column, name, clock.zone, form=clock.form or None)
    if any(finding.code == AMBIGUOUS for finding in read.findings):  # the times of the training do not show the order
        raise DataError(f"column {name!r}: the order of day and month in its dates is ambiguous; {HOW_TO_ASK}")
    missing = read.instants.isna().to_numpy()
    if missing.any():
        row = int(missing.argmax())
        raise DataError(f"column {name!r}, row {row + 1}: {_shown(column.iloc[row])} is not a time; {HOW_TO_ASK}")
    times = by_clock(read.instants, clock).to_numpy("datetime64[ns]")
    frequency = frequency_of(clock.opening) if clock.opening else None
    if frequency is not None and frequency.opening is not None and (closed := frequency.closed(times)).any():
        row, opening = int(closed.argmax()), frequency.opening
        raise DataError(
            f"column {name!r}, row {row + 1}: {_shown(column.iloc[row])} ({pd.Timestamp(times[row]).day_name()}) is "
            f"closed: the data has {opening.describe()}; leave it out, or train with forecast.calendar: Full"
        )
    return times


def _shown(value: Any) -> str:
    return "an empty value" if pd.isna(value) else repr(str(value))


# ---- numbers ---------------------------------------------------------------------------------------------------------


def _as_numbers(column: pd.Series, form: str | None) -> pd.Series | None:
    """Return a numeric column, also from text that only has digits. Return ``None`` for other text."""
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return column
    texts = column.dropna().astype(str).str.strip()
    is_number = texts.str.fullmatch(r"\d+(?:\.\d+)?")
    if len(texts) == 0 or not is_number.all() or (form is not None and "%" in form):
        return None
    return pd.to_numeric(column.astype("string").str.strip()).astype("Float64").astype("float64")


def _from_numbers(column: pd.Series, name: str, form: str | None) -> tuple[pd.Series, str]:
    """Return times and their format: instants since 1970, days of Excel, or digits of a date."""
    numbers = column.dropna()
    whole = bool((numbers == numbers.round()).all())
    if form is not None and "%" in form:
        texts = column.astype("Int64").astype("string") if whole else column.astype("string")
        return pd.to_datetime(texts, format=form, errors="coerce"), form
    if form == EXCEL:
        days = (column * _DAY_NS).round()
        return pd.Series(_EXCEL_EPOCH + pd.to_timedelta(days.to_numpy(), unit="ns"), index=column.index), EXCEL
    if form is not None and form.startswith(_UNIX):
        return _since_1970(column, cast("Unit", form.removeprefix(_UNIX)), name), form
    if whole:
        read = _digits(column)
        if form == DIGITS or read.notna().sum() == len(numbers) or _are_calendar(numbers):
            return read, DIGITS
    low = float(numbers.min()) if len(numbers) else 0.0
    for size, unit, _ in _EPOCH_UNITS:
        if low >= size:
            times = _since_1970(column, unit, name)
            _require_sense(times, numbers, unit, name)
            return times, f"{_UNIX}{unit}"
    excel = ", or set data.timeFormat to Excel for dates of Excel" if _EXCEL_DAYS[0] <= low <= _EXCEL_DAYS[1] else ""
    raise DataError(
        f"column {name!r} (data.time) contains numbers such as {low:g} that are not times; "
        f"use dates, years, or seconds since 1970{excel}"
    )


def _digits(column: pd.Series) -> pd.Series:
    codes, distinct = pd.factorize(column)
    parts = [digits(str(int(value))) for value in distinct]
    return _looked_up([_instant(part) for part in parts], codes, column.index)


def _are_calendar(numbers: pd.Series) -> bool:
    """Return whether all numbers have eight digits and start like a year.

    Then a number that is not a date is an error.
    """
    return bool(((numbers >= _FIRST_DATE) & (numbers <= _LAST_DATE)).all())


def _since_1970(column: pd.Series, unit: Unit, name: str) -> pd.Series:
    nanoseconds = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}[unit]
    beyond = (column > _LAST_NANOSECOND / nanoseconds).to_numpy(dtype=bool, na_value=False)
    if beyond.any():
        raise _out_of_range(column, int(beyond.argmax()), f"{float(column.max()):g}", name)
    values = column.to_numpy(dtype=np.float64, na_value=np.nan) if column.isna().any() else column.to_numpy()
    return pd.Series(pd.DatetimeIndex(pd.to_datetime(pd.Series(values), unit=unit)), index=column.index)


def _require_sense(times: pd.Series, numbers: pd.Series, unit: str, name: str) -> None:
    """Raise DataError if a guessed unit results in times in the future, because data is from the past."""
    last = times.max()
    if last > pd.Timestamp.now() + _NOT_YET:
        raise DataError(
            f"column {name!r} (data.time) contains numbers such as {int(numbers.iloc[0])}; read as {unit} since 1970, "
            f"they are in the year {last.year}. If that is correct, set data.timeFormat to Unix:{unit}, otherwise to a "
            "format such as %Y%m%d%H"
        )


# ---- text ------------------------------------------------------------------------------------------------------------


def _from_text(
    column: pd.Series, name: str, form: str | None, findings: list[Finding]
) -> tuple[pd.Series, npt.NDArray[np.bool_], str]:
    """Return times, a mask of those with an offset, and their format. Notes are appended to ``findings``."""
    # A panel repeats each time once per series, so parse only distinct texts.
    codes, distinct = pd.factorize(column)
    texts = pd.Series([str(value) for value in distinct], dtype="string")
    if len(texts) == 0:
        return pd.Series(pd.NaT, index=column.index), np.zeros(len(column), dtype=bool), form or "ISO8601"
    has_offset = texts.str.contains(_OFFSET).to_numpy(dtype=bool)
    parsed = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[ns, UTC]")
    # Parse times with and without offset separately. Otherwise pandas applies an offset to later times without one.
    for kind in (has_offset, ~has_offset):
        if form is not None and "%" in form:
            parsed[kind] = pd.to_datetime(texts[kind], format=form, errors="coerce", utc=True)
        iso = texts[kind & parsed.isna().to_numpy() & _may_be_iso(texts, form)]
        parsed[iso.index] = pd.to_datetime(iso, format="ISO8601", errors="coerce", utc=True)
    lookup = parsed.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]").copy()
    unread = np.isnat(lookup)
    found = "ISO8601" if form is None or "%" not in form else form
    if unread.any() and found == "ISO8601":
        parts = [parts_of(texts[number]) for number in np.flatnonzero(unread).tolist()]
        order = form if form in {"DMY", "MDY"} else _order([part for part in parts if part], name, findings)
        lookup[unread] = np.array([_instant(part, order) for part in parts], dtype="datetime64[ns]")
        has_offset[unread] = [
            part is not None and (part.offset_minutes is not None or part.zone != "") for part in parts
        ]
        found = order if any(part is not None and part.open for part in parts) else found
    elif form in {"DMY", "MDY"}:
        found = str(form)
    return _looked_up(lookup, codes, column.index), np.append(has_offset, False)[codes], found


def _may_be_iso(texts: pd.Series, form: str | None) -> npt.NDArray[np.bool_]:
    """Return which texts may be ISO 8601. If the format also starts with the year, only texts that it cannot match."""
    if form is None or not form.upper().startswith("%Y"):
        return np.ones(len(texts), dtype=np.bool_)
    sign = "T" if form.upper().startswith("%Y-%") else "[T-]"
    return texts.str.contains(sign).to_numpy(dtype=np.bool_)


def _looked_up(values: Any, codes: npt.NDArray[np.intp], index: pd.Index) -> pd.Series:
    table = np.append(np.asarray(values, dtype="datetime64[ns]"), np.datetime64("NaT", "ns"))  # the last is for code -1
    return pd.Series(table[codes], index=index)


def _instant(part: Parts | None, order: str = "DMY") -> np.datetime64:
    """Return a time in UTC, or without conversion if it has no zone.

    Return NaT if the day does not exist or is out of range.
    """
    nothing = np.datetime64("NaT", "ns")
    if part is None or not _FIRST_YEAR <= part.year <= _LAST_YEAR:
        return nothing
    month, day = (part.month, part.day) if not part.open or order == "DMY" else (part.day, part.month)
    try:
        instant = pd.Timestamp(part.year, month, day) + pd.Timedelta(seconds=part.seconds)
        if part.zone:
            local = instant.tz_localize(part.zone, ambiguous=True, nonexistent="shift_forward")
            instant = local.tz_convert("UTC").tz_localize(None)
    except (ValueError, KeyError, OSError):  # not a day of the calendar, or an unknown zone
        return nothing
    east = pd.Timedelta(minutes=part.offset_minutes or 0)
    return np.datetime64(instant - east, "ns") + np.timedelta64(part.nanoseconds, "ns")


def _order(parts: Sequence[Parts], name: str, findings: list[Finding]) -> Order:
    """Return whether day or month comes first in dates such as 3/4/2026. The order is the same for all.

    First, dates that only fit one order decide. Next, points decide, because no country uses them with the month first.
    Last, the order with more equal steps between the times is used.
    """
    is_open = [part for part in parts if part.open]
    read = {order: np.array([_instant(part, order) for part in is_open], "datetime64[ns]") for order in ORDERS}
    known = {order: int((~np.isnat(times)).sum()) for order, times in read.items()}
    if known["DMY"] != known["MDY"]:
        return max(ORDERS, key=lambda order: known[order])
    if not is_open or all(part.dotted for part in is_open) or (read["DMY"] == read["MDY"]).all():
        return "DMY" if is_open and all(part.dotted for part in is_open) else "MDY"
    evenness = {order: _evenness(times) for order, times in read.items()}
    better = max(ORDERS, key=lambda order: evenness[order])
    if evenness[better] - min(evenness.values()) > _CLEARLY:
        first = "day" if better == "DMY" else "month"
        text = f"dates in {name!r} are read with the {first} first, because their steps are then equal"
        findings.append(Finding("DateOrder", "info", text))
        return better
    text = (
        f"dates in {name!r} can have the month or the day first; they are read with the month first. "
        "Write dates as 2026-01-31, or set data.timeFormat"
    )
    findings.append(Finding(AMBIGUOUS, "warning", text))
    return "MDY"


def _evenness(times: npt.NDArray[np.datetime64]) -> float:
    """Return the share of the most frequent step, in fixed steps or in months with the same day."""
    sorted_times = np.unique(times[~np.isnat(times)])
    if len(sorted_times) < _FEW:
        return 0.0
    _, counts = np.unique(np.diff(sorted_times), return_counts=True)
    best = float(counts.max() / (len(sorted_times) - 1))
    days = sorted_times.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    if len(np.unique(days - months)) == 1:
        _, counts = np.unique(np.diff(months), return_counts=True)
        best = max(best, float(counts.max() / (len(sorted_times) - 1)))
    return best


def _within_range(times: pd.Series, name: str) -> pd.Series:
    """Raise DataError for times that do not fit in 64-bit nanoseconds."""
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
