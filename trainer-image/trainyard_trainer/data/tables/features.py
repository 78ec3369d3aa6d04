"""The features of a table: numbers, or categories of text."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd

from trainyard_api.data import Data
from trainyard_trainer.data.dataset import Finding
from trainyard_trainer.data.notation import Notation
from trainyard_trainer.data.values.columns import codes_by_name, is_row_number, is_text, notes_of, without_sentinel
from trainyard_trainer.data.values.numbers import read_numbers
from trainyard_trainer.errors import DataError

CAUSES_SHOWN: Final = 3
_NUMERIC_SHARE: Final = 0.95
"""A text column with this share of numbers is a numeric column with some errors."""

_LEFT_OUT: Final = frozenset({"ConstantColumn", "IdentifierColumn", "RowNumbers", "ManyValues", "UnusedColumn"})
_MAX_CATEGORIES: Final = 10_000
_MANY_SHARE: Final = 0.5
"""A model cannot learn from text values that occur once."""

_IDENTIFIER_SHARE: Final = 0.95
"""With this many distinct values per row, a text column is an identifier."""


@dataclass
class Features:
    """The features of a table: ``columns`` as numbers or categories, and the metadata to reproduce them."""

    columns: dict[str, pd.Series] = field(default_factory=dict)
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sentinels: dict[str, float] = field(default_factory=dict)


def features_of(
    frame: pd.DataFrame, data: Data, joined: list[str], known: Notation, findings: list[Finding]
) -> Features:
    """Return the features: those that the specification names, or else all useful columns.

    Raises
    ------
    DataError
        If there are none. The message says why columns were left out.
    """
    roles = {data.target, data.time, data.series, data.group, data.key}
    names = [*data.features, *joined] if data.features else [name for name in frame.columns if name not in roles]
    left_out = set(data.exclude or ())
    found = Features()
    for name in names:
        if name in left_out:
            continue
        if not data.features and len(names) > 1 and is_row_number(frame[name], frame.index.to_numpy()):
            text = f"column {name!r} is a row number, so it is left out; to use it, list it in data.features"
            findings.append(Finding("RowNumbers", "warning", text))
            continue
        column = _feature(frame[name], name, known, findings)
        if column is None:
            continue
        if isinstance(column.dtype, pd.CategoricalDtype):
            found.categories[name] = tuple(str(value) for value in column.cat.categories)
        elif column.dtype != np.bool_:
            values, sentinel = without_sentinel(column.to_numpy(np.float64, na_value=np.nan), name, data, findings)
            if sentinel is not None:
                column, found.sentinels[name] = pd.Series(values), sentinel
        found.columns[name] = column
    if not found.columns:
        raise DataError(_no_feature(data, findings))
    return found


def _no_feature(data: Data, findings: list[Finding]) -> str:
    """Return the reasons why columns were left out, because findings of a failed job are not shown."""
    causes = [finding.message for finding in findings if finding.code in _LEFT_OUT]
    more = f"; and {len(causes) - CAUSES_SHOWN} more" if len(causes) > CAUSES_SHOWN else ""
    why = "; ".join(causes[:CAUSES_SHOWN]) + more or "the table has no other column, or data.exclude names them all"
    return f"no usable feature is left besides the target {data.target!r}: {why}; add columns that vary with the target"


def _feature(column: pd.Series, name: str, known: Notation, findings: list[Finding]) -> pd.Series | None:
    """Return a column as numbers or as categories. Return ``None`` if it is not useful."""
    column = pd.Series(column.array)  # with a new index, without a copy
    if column.isna().all() or (column == column.iloc[0]).all():
        findings.append(Finding("ConstantColumn", "info", f"column {name!r} has only one value: left out"))
        return None
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "boolean":
        return column.astype("float64")  # has missing values
    if is_text(column):
        return _from_text(column, name, known, findings)
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.astype("float64")
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _without_infinity(column, name, findings)
    text = f"column {name!r} of type {column.dtype} is neither a number nor text: left out"
    findings.append(Finding("UnusedColumn", "warning", text))
    return None


def _without_infinity(column: pd.Series, name: str, findings: list[Finding]) -> pd.Series:
    if not pd.api.types.is_float_dtype(column.dtype):
        return column.astype("float64") if column.dtype == object or column.isna().any() else column
    infinite = np.isinf(column.to_numpy())
    if not infinite.any():
        return column
    count = int(infinite.sum())
    findings.append(
        Finding("InfiniteValues", "warning", f"{count} infinite values in {name!r} count as missing", count=count)
    )
    return column.mask(infinite)


def _from_text(column: pd.Series, name: str, known: Notation, findings: list[Finding]) -> pd.Series | None:
    read = read_numbers(column, known)
    found = int((~np.isnan(read.values)).sum())
    if found and found >= _NUMERIC_SHARE * (found + int(read.bad.sum())):
        findings += notes_of(read, name)
        if read.bad.any():
            first = int(read.bad.argmax())
            text = (
                f"{int(read.bad.sum())} values of {name!r} are not numbers (first: {str(column.iloc[first])!r}) and "
                "count as missing"
            )
            findings.append(Finding("TextInNumbers", "warning", text, count=int(read.bad.sum())))
        return pd.Series(read.values)
    distinct, present = column.nunique(), int(column.notna().sum())
    if distinct >= max(2, _IDENTIFIER_SHARE * present):
        text = f"text column {name!r} has {distinct} distinct values in {present} rows: left out as an identifier"
        findings.append(Finding("IdentifierColumn", "warning", text, count=distinct))
        return None
    if distinct > min(_MAX_CATEGORIES, max(2, _MANY_SHARE * len(column))):
        numbers = f", {found} of its values are numbers" if found else ""
        text = f"text column {name!r} has {distinct} distinct values in {present} rows, too many{numbers}; left out"
        findings.append(Finding("ManyValues", "warning", text, count=distinct))
        return None
    if found > read.bad.sum():
        word, bad = str(column.iloc[int(read.bad.argmax())]), int(read.bad.sum())
        text = (
            f"column {name!r} is used as text: {bad} of its values are not numbers (first: {word!r}), {found} are; "
            "list the words for a missing value in data.csv.nulls"
        )
        findings.append(Finding("NumbersInText", "warning", text, count=found))
    codes, values = codes_by_name(column)
    dtype = pd.CategoricalDtype(list(values))
    return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype))  # type: ignore[arg-type] # the stubs know no arrays
