"""Detect target leakage: a feature that predicts the target alone was most likely derived from it.

The measures reach values that other features do not have: rank correlation for numbers, the area under the ROC curve
for two classes, and for text the share of the target's variance, or of its classes, that the values explain.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.dataset import Finding

_SAMPLE: Final = 2_000
"""Number of rows to check. Two hundred features take half a second."""

_SUSPICIOUS: Final = 0.995
_BINS: Final = 100
_ROWS_PER_VALUE: Final = 5
"""With fewer rows per value, a text feature explains any target by chance."""

_LEAST_ROWS: Final = 30
_LEAST_OF_A_CLASS: Final = 10
"""With fewer rows of a class, one feature in a hundred separates them by chance."""

Numbers = npt.NDArray[np.float64]


def suspects(columns: Mapping[str, "pd.Series[Any]"], target: Numbers, classes: int) -> Iterable[Finding]:
    """Yield a warning for each feature that alone predicts the target.

    Parameters
    ----------
    columns
        Numbers or pandas categories, with the length of the target.
    classes
        Number of classes; 0 for numbers.
    """
    rows = np.linspace(0, len(target) - 1, min(len(target), _SAMPLE)).astype(np.intp)
    wanted = _Wanted(target[rows], classes)
    for name, column in columns.items():
        part = column.iloc[rows]
        if isinstance(part.dtype, pd.CategoricalDtype):
            share = _of_text(part.cat.codes.to_numpy(), wanted)
        else:
            share = _of_numbers(part.to_numpy(dtype=np.float64, na_value=np.nan), wanted)
        if share >= _SUSPICIOUS:
            text = (
                f"feature {name!r} alone predicts the target almost perfectly; if its value is only known after the "
                "target, add it to data.exclude"
            )
            yield Finding("LeakSuspected", "warning", text)


@dataclass(frozen=True)
class _Wanted:
    """The target in the rows to check."""

    values: Numbers
    classes: int

    def where(self, known: npt.NDArray[np.bool_]) -> "_Wanted":
        """Return the target in some of the rows."""
        return self if known.all() else _Wanted(self.values[known], self.classes)

    @functools.cached_property
    def ranks(self) -> Numbers:
        return _ranks(self.values)


def _of_text(codes: npt.NDArray[Any], wanted: _Wanted) -> float:
    known = codes >= 0
    codes, wanted = codes[known], wanted.where(known)
    if len(codes) < max(_LEAST_ROWS, _ROWS_PER_VALUE * len(np.unique(codes))):
        return 0.0
    return _explained(codes.astype(np.intp), wanted)


def _of_numbers(values: Numbers, wanted: _Wanted) -> float:
    known = ~np.isnan(values)
    values, wanted = values[known], wanted.where(known)
    target = wanted.values
    if len(values) < _LEAST_ROWS or target.min() == target.max() or values.min() == values.max():
        return 0.0
    if wanted.classes > 2:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, min(_BINS, len(values) // _ROWS_PER_VALUE))))
        borders = (wanted.classes - 1) / len(edges)  # each border between two classes makes one bin impure
        return min(1.0, _explained(np.searchsorted(edges, values), wanted) + borders)
    if wanted.classes == 2:
        return _area(_ranks(values), target == target.max())
    return abs(float(np.corrcoef(_ranks(values), wanted.ranks)[0, 1]))


def _ranks(values: Numbers) -> Numbers:
    """Return the rank of each value, from 1. Equal values share the mean of their ranks."""
    _, distinct, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((counts.cumsum() - (counts - 1) / 2)[distinct], dtype=np.float64)


def _area(ranks: Numbers, positive: npt.NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve, in the better direction."""
    ones = int(positive.sum())
    zeros = len(positive) - ones
    if min(ones, zeros) < _LEAST_OF_A_CLASS:
        return 0.0
    area = float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))
    return max(area, 1 - area)


def _explained(groups: npt.NDArray[np.intp], wanted: _Wanted) -> float:
    """Return the share of the target's variance that the groups explain.

    For classes, the share of the largest class's errors.
    """
    target, classes = wanted.values, wanted.classes
    if classes:
        cells = np.bincount(groups * classes + target.astype(np.intp), minlength=(int(groups.max()) + 1) * classes)
        table = cells.reshape(-1, classes)
        mistakes = len(target) - table.sum(axis=0).max()
        return float(1 - (len(target) - table.max(axis=1).sum()) / mistakes) if mistakes else 0.0
    counts = np.bincount(groups)
    means = np.bincount(groups, weights=target) / np.maximum(counts, 1)
    total = float(((target - target.mean()) ** 2).sum())
    return 1 - float(((target - means[groups]) ** 2).sum()) / total if total else 0.0
