"""Single columns: parse numbers from text, and report values that are not numbers."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.data import Data
from trainyard_trainer.data.dataset import Finding
from trainyard_trainer.data.notation import Notation
from trainyard_trainer.data.values.numbers import Numbers, read_numbers
from trainyard_trainer.errors import DataError

_ROWS_TO_COUNT: Final = 30
"""With this many rows, a column 0, 1, 2, ... is not a coincidence."""

_SENTINELS: Final = frozenset(
    [-sign * number for number in (99, 999, 9999, 99999, 999999, 999.9, 9999.9, 99.99, 999.99) for sign in (1.0, -1.0)]
    + [-1e20, 1e20, -32768.0, 32767.0, -2147483648.0, 2147483647.0, -888.0, -8888.0]
)
"""Numbers that loggers, surveys and old file formats use for a missing value."""

_REPEATS: Final = 3

LARGEST: Final = 1e30
"""LightGBM keeps targets in single precision, and squared errors must be finite."""


def is_text(column: pd.Series) -> bool:
    """Return whether a column has text (strings, or categories of strings)."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    return pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype)


def codes_by_name(column: pd.Series) -> tuple[npt.NDArray[np.intp], tuple[str, ...]]:
    """Return codes of the distinct values in text order, -1 for missing ones, and the names.

    The storage type has no effect.
    """
    codes, distinct = pd.factorize(column)
    names = np.array([str(value) for value in distinct], dtype=object)
    order = np.argsort(names)
    rank = np.full(len(names) + 1, -1, dtype=np.intp)  # the last value is for code -1
    rank[order] = np.arange(len(names))
    return rank[codes], tuple(names[order])


def target_numbers(column: pd.Series, name: str, known: Notation | None = None) -> npt.NDArray[np.float64]:
    """Return the target as numbers. Infinite values become missing.

    Raises
    ------
    DataError
        If a value is text or too large. The message names the first one and its data row (1 is the first after the
        header). Also if the notation of the column is ambiguous.
    """
    target = read_target(column, name, known)
    if target.bad.any():
        row = int(target.bad.argmax())
        value = str(column.iloc[row])
        raise DataError(
            f"column {name!r} (data.target), data row {row + 1}: {value!r} is not a number{_unless(target)}; "
            f"{_advice(value)}",
            row=row + 1,
        )
    return target.values


def read_target(column: pd.Series, name: str, known: Notation | None = None) -> Numbers:
    """Return the target as :func:`target_numbers` does, but values that are text become missing.

    Raises
    ------
    DataError
        If a value is too large, the notation is ambiguous, or the column has a type other than numbers and text.
    """
    if is_text(column):
        read = read_numbers(column, known)
        if read.doubt:
            raise DataError(
                f"column {name!r} (data.target): {read.doubt}, and no other value shows which; set data.csv.thousands "
                "to the thousands separator, or data.csv.decimal to the decimal sign"
            )
    elif pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
        read = Numbers(values, np.zeros(len(column), dtype=np.bool_))
    else:
        raise DataError(
            f"column {name!r} (data.target) has the type {column.dtype}; set data.target to a column of numbers"
        )
    numbers = read.values
    numbers[~np.isfinite(numbers)] = np.nan
    too_large = np.abs(numbers) > LARGEST
    if too_large.any():
        row = int(too_large.argmax())
        raise DataError(
            f"column {name!r} (data.target), data row {row + 1}: {numbers[row]:g} is beyond the limit of {LARGEST:g}; "
            "use a larger unit for the target",
            row=row + 1,
        )
    return read


def notes_of(read: Numbers, name: str) -> list[Finding]:
    """Return findings about the notation of a text column, and about its words for a missing value."""
    found: list[Finding] = []
    if how := read.describe():
        found.append(Finding("NumberFormat", "info", f"text column {name!r} contains numbers: {how}"))
    if read.doubt:
        text = (
            f"column {name!r}: {read.doubt}, and no other value shows which; set data.csv.thousands or data.csv.decimal"
        )
        found.append(Finding("AmbiguousNumbers", "warning", text))
    if read.marks:
        text = f"values of {name!r} that mean a missing value: {read.describe_marks()}"
        found.append(Finding("MissingMarks", "info", text, count=read.marks.total()))
    return found


def sentinel_of(values: npt.NDArray[np.float64]) -> float | None:
    """Return the number that means a missing value, such as -999. It must repeat and be far from all other values.

    "Far" means farther than the range of the others.
    """
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return None
    for edge in (float(known.min()), float(known.max())):
        if edge not in _SENTINELS:
            continue
        others = known[known != edge]
        repeats = len(known) - len(others)
        if repeats < _REPEATS or len(others) < max(_REPEATS, repeats):
            continue
        gap = min(abs(float(others.min()) - edge), abs(float(others.max()) - edge))
        if gap > float(others.max()) - float(others.min()):
            return edge
    return None


def without_sentinel(
    values: npt.NDArray[np.float64], name: str, data: Data, findings: list[Finding]
) -> tuple[npt.NDArray[np.float64], float | None]:
    """Replace a sentinel by NaN, unless the user has listed the marks of missing values.

    Return the values and the sentinel.
    """
    if data.csv is not None and data.csv.nulls is not None:
        return values, None
    sentinel = sentinel_of(values)
    if sentinel is None:
        return values, None
    found = values == sentinel
    text = (
        f"{int(found.sum())} values of {name!r} are {sentinel:g}, far from all others, and count as missing; if they "
        "are real numbers, list the words for a missing value in data.csv.nulls"
    )
    findings.append(Finding("Sentinel", "warning", text, count=int(found.sum())))
    return np.where(found, np.nan, values), sentinel


def is_row_number(column: pd.Series, rows: npt.NDArray[np.intp]) -> bool:
    """Return whether a column counts the rows of its table. The count can restart with each file.

    Parameters
    ----------
    rows
        The position of each value in the table as it was read; shape (rows,).
    """
    if not pd.api.types.is_integer_dtype(column.dtype):
        return False
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if len(values) < _ROWS_TO_COUNT or not np.isfinite(values).all():
        return False
    since = values - rows
    starts = 1 + int((np.diff(since) != 0).sum())
    begins_alike = bool(np.isin(values[1:][np.diff(since) != 0], (values[0], values[0] + 1)).all())
    return values[0] in (0.0, 1.0) and begins_alike and starts <= max(1, len(values) // _ROWS_TO_COUNT)


def _unless(read: Numbers) -> str:
    how = read.describe()
    return f" (the other values have {how})" if how else ""


def _advice(value: str) -> str:
    if any(character.isdigit() for character in value):
        return "correct it, or set the notation of numbers in data.csv.decimal and data.csv.thousands"
    return (
        "correct the data, list the word in data.csv.nulls if it means a missing value, or use task "
        "Classification for labels"
    )
