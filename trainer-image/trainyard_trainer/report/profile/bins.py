"""Bins of a column, equal for the old and the new rows. Pure functions."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.report.profile.model import ColumnProfile

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

_DECILES: Final = tuple(0.1 * step for step in range(1, 10))
_FEW_VALUES: Final = 20
"""A numeric column with at most this many distinct values has one bin for each."""

LABEL: Final = 64
"""Texts are compared by this many characters."""


def quantiles(ordered: Floats, levels: Sequence[float]) -> Floats:
    """Return quantiles of sorted numbers, at least one. Each is one of the numbers (method ``lower`` of NumPy)."""
    positions = np.floor(np.asarray(levels) * (len(ordered) - 1)).astype(np.intp)
    return np.asarray(ordered[positions], dtype=np.float64)


def cuts_of(values: Floats) -> list[float]:
    """Return the inner edges of the bins of sorted finite numbers. They are the deciles.

    A value with more than a tenth of the rows has a separate bin, and so has each of a few distinct values. Otherwise a
    flag that changes from mostly 1 to mostly 0 would stay in one bin.
    """
    if len(values) == 0:
        return []
    distinct = values[np.append(True, values[1:] != values[:-1])]
    if len(distinct) <= _FEW_VALUES:
        return [float(value) for value in distinct]
    edges, times = np.unique(quantiles(values, _DECILES), return_counts=True)
    below = np.nextafter(edges[times > 1], -np.inf)
    return [float(value) for value in np.unique(np.concatenate([edges, below]))]


def number_codes(values: Floats, cuts: Sequence[float]) -> Codes:
    """Return the bin of each number, and ``len(cuts) + 1`` for a missing one."""
    codes = np.searchsorted(np.asarray(cuts, dtype=np.float64), values, side="left")
    return np.where(np.isnan(values), len(cuts) + 1, codes)


def text_codes(column: "pd.Series[Any]", categories: Sequence[str]) -> Codes:
    """Return the position of each text in ``categories``. Other texts have the next code, and missing ones the last."""
    positions = {name: index for index, name in enumerate(categories)}
    known = [positions.get(label(name), len(categories)) for name in column.cat.categories]
    return np.array([*known, len(categories) + 1], dtype=np.intp)[column.cat.codes.to_numpy()]


def label(text: object) -> str:
    """Return a text in the form of a profile."""
    return str(text)[:LABEL]


def codes_of(column: "pd.Series[Any]", profile: ColumnProfile) -> Codes:
    """Return the bins of a column's rows, with the bins of a profile of the same kind."""
    if profile.kind == "text":
        return text_codes(column, profile.categories)
    return number_codes(numbers(column), profile.cuts)


def numbers(column: "pd.Series[Any]") -> Floats:
    """Return a numeric column with all values that are not finite as missing."""
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def bin_count(profile: ColumnProfile) -> int:
    """Return the number of bins of a column, including those of other texts and of missing values."""
    return len(profile.categories) + 2 if profile.kind == "text" else len(profile.cuts) + 2
