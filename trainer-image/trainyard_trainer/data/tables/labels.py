"""Classes and their codes. Of two, the positive class is second: precision, recall and curves refer to it."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.dataset import Finding
from trainyard_trainer.errors import DataError

_FEW_ROWS: Final = 10
_IMBALANCED: Final = 0.05
"""If the rarer of two classes has a smaller share, its metrics depend on few rows, and accuracy is not informative."""

_CLASSES_NAMED: Final = 10


@dataclass(frozen=True)
class Labels:
    """The class names, and the code of each row. -1 means no class."""

    classes: tuple[str, ...]
    codes: npt.NDArray[np.intp]

    @property
    def counts(self) -> npt.NDArray[np.intp]:
        """Number of rows of each class."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.classes))


def labels_of(column: pd.Series) -> Labels:
    """Assign codes to the classes: in numeric order if all are numbers, else in text order."""
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if numeric:
        whole = column.dropna()
        if (whole == whole.round()).all():
            column = column.astype("Int64")
    if not isinstance(column.dtype, pd.CategoricalDtype):  # otherwise, the values are distinct texts already
        column = column.astype("string")
    codes, distinct = pd.factorize(column, use_na_sentinel=True)
    names = [str(value) for value in distinct]
    numbers = pd.to_numeric(pd.Series(names, dtype=object), errors="coerce")
    order = np.argsort(numbers.to_numpy()) if names and numbers.notna().all() else np.argsort(np.array(names))
    rank = np.empty(len(names), dtype=np.intp)
    rank[order] = np.arange(len(names))
    renumbered = np.where(codes >= 0, rank[codes], -1) if names else codes
    return Labels(tuple(names[i] for i in order), renumbered)


def positive_second(labels: Labels, requested: str | None, column: str, findings: list[Finding]) -> Labels:
    """Return two classes with the positive one second.

    It is the requested one, else the rarer one, else the second one.

    More than two classes are unchanged. Each is evaluated against the rest.

    Raises
    ------
    DataError
        If a class is requested that does not exist, or if there are more than two classes.
    """
    if requested is not None and len(labels.classes) > 2:
        raise DataError(
            f"column {column!r} (data.target) has {len(labels.classes)} classes, but data.positiveClass is for two; "
            "leave it out"
        )
    if requested is not None and requested not in labels.classes:
        raise DataError(
            f"column {column!r} (data.target) has no class {requested!r} (data.positiveClass)"
            f"{_nearest(requested, labels)}; it has {_named(labels.classes)}; use one of them"
        )
    if len(labels.classes) != 2:
        return labels
    counts = labels.counts
    positive = labels.classes.index(requested) if requested is not None else int(counts[1] <= counts[0])
    findings.append(_positive_finding(labels, positive, requested))
    if positive == 1:
        return labels
    return Labels(labels.classes[::-1], np.where(labels.codes >= 0, 1 - labels.codes, -1))


def note_weak_classes(labels: Labels, column: str, findings: list[Finding]) -> None:
    """Add findings about classes with few rows, and about two classes of very different size."""
    counts = labels.counts
    for label, count in zip(labels.classes, counts, strict=True):
        if count < _FEW_ROWS:
            text = f"class {label!r} of {column!r} has {count} rows, too few to train or evaluate it"
            findings.append(Finding("RareClass", "warning", text, count=int(count)))
    rarer = int(counts.argmin())
    share = counts[rarer] / counts.sum()
    if len(counts) == 2 and share < _IMBALANCED:
        text = (
            f"class {labels.classes[rarer]!r} of {column!r} is {share:.2%} of the rows, so accuracy is not "
            "informative; use recall, precision and average_precision"
        )
        findings.append(Finding("ImbalancedClasses", "warning", text, count=int(counts[rarer])))


def _positive_finding(labels: Labels, positive: int, requested: str | None) -> Finding:
    counts = labels.counts
    share = f"{counts[positive] / counts.sum():.2%} of the rows"
    if requested is not None:
        why = f"data.positiveClass, {share}"
    elif counts[0] == counts[1]:
        why = f"the second of two equally frequent classes, {share}"
    else:
        why = f"the rarer of two classes, {share}"
    text = f"positive class {labels.classes[positive]!r} ({why}): precision, recall, F1 and the curves refer to it"
    return Finding("PositiveClass", "info", text, count=int(counts[positive]))


def _nearest(requested: str, labels: Labels) -> str:
    near = difflib.get_close_matches(requested, labels.classes, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _named(classes: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in classes[:_CLASSES_NAMED])
    more = len(classes) - _CLASSES_NAMED
    return shown if more <= 0 else f"{shown} and {more} more"
