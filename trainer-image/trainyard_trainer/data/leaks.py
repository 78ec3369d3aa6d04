"""Features that give the answer away: one that predicts the target alone is most often made from it.

The measures are of the kind that no honest feature reaches: rank correlation for numbers, the area under the ROC curve
for two classes, and for text the share of the target's spread, or of its classes, that the values explain.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.dataset import Finding

_SAMPLE: Final = 2_000
"""Rows to look at: two hundred features take half a second."""

_SUSPICIOUS: Final = 0.995
_BINS: Final = 100
_ROWS_PER_VALUE: Final = 5
"""A text feature with fewer rows per value explains any target by chance."""

_LEAST_ROWS: Final = 30
_LEAST_OF_A_CLASS: Final = 10
"""Of fewer rows one feature in a hundred tells any by chance."""

Numbers = npt.NDArray[np.float64]


def suspects(columns: Mapping[str, "pd.Series[Any]"], target: Numbers, classes: int) -> Iterable[Finding]:
    """Yield a warning for each feature that alone predicts the target.

    Parameters
    ----------
    columns
        Numbers or pandas categories, all of the length of the target.
    classes
        How many the target has; 0 for numbers.
    """
    rows = np.linspace(0, len(target) - 1, min(len(target), _SAMPLE)).astype(np.intp)
    wanted = target[rows]
    for name, column in columns.items():
        part = column.iloc[rows]
        share = _of_text(part, wanted, classes) if isinstance(part.dtype, pd.CategoricalDtype) else None
        if share is None:
            share = _of_numbers(part, wanted, classes)
        if share >= _SUSPICIOUS:
            text = (
                f"feature {name!r} alone predicts the target almost perfectly: if it is known only afterwards, put it "
                "into data.exclude"
            )
            yield Finding("LeakSuspected", "warning", text)


def _of_text(column: "pd.Series[Any]", target: Numbers, classes: int) -> float:
    codes = column.cat.codes.to_numpy()
    known = codes >= 0
    codes, target = codes[known], target[known]
    if len(codes) < max(_LEAST_ROWS, _ROWS_PER_VALUE * len(np.unique(codes))):
        return 0.0
    return _explained(codes.astype(np.intp), target, classes)


def _of_numbers(column: "pd.Series[Any]", target: Numbers, classes: int) -> float:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    known = ~np.isnan(values)
    values, target = values[known], target[known]
    if len(values) < _LEAST_ROWS or target.min() == target.max() or values.min() == values.max():
        return 0.0
    if classes > 2:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, min(_BINS, len(values) // _ROWS_PER_VALUE))))
        borders = (classes - 1) / len(edges)  # each border between two classes spoils one bin
        return min(1.0, _explained(np.searchsorted(edges, values), target, classes) + borders)
    ranks = pd.Series(values).rank().to_numpy(dtype=np.float64)
    if classes == 2:
        return _area(ranks, target == target.max())
    return abs(float(np.corrcoef(ranks, pd.Series(target).rank().to_numpy())[0, 1]))


def _area(ranks: npt.NDArray[Any], positive: npt.NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve, of the better direction."""
    ones = int(positive.sum())
    zeros = len(positive) - ones
    if min(ones, zeros) < _LEAST_OF_A_CLASS:
        return 0.0
    area = float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))
    return max(area, 1 - area)


def _explained(groups: npt.NDArray[np.intp], target: Numbers, classes: int) -> float:
    """Return the share of the target's spread, or of what the largest class leaves unsaid, that the groups explain."""
    if classes:
        table = np.zeros((int(groups.max()) + 1, classes))
        np.add.at(table, (groups, target.astype(np.intp)), 1)
        unsaid = len(target) - table.sum(axis=0).max()
        return float(1 - (len(target) - table.max(axis=1).sum()) / unsaid) if unsaid else 0.0
    counts = np.bincount(groups)
    means = np.bincount(groups, weights=target) / np.maximum(counts, 1)
    total = float(((target - target.mean()) ** 2).sum())
    return 1 - float(((target - means[groups]) ** 2).sum()) / total if total else 0.0
