"""The confusion matrix as a table that highlights large counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from trainyard_trainer.evaluate.rows import CONFUSION

_MOST: Final = 12
"""A table with more classes does not fit on a page. It is in metrics.parquet."""


@dataclass(frozen=True)
class Cell:
    """A count, and its share of the row, 0 to 1."""

    count: int
    part: float


@dataclass(frozen=True)
class Row:
    """The predictions for the rows of one class, and the share of correct ones."""

    name: str
    cells: Sequence[Cell]
    found: str


@dataclass(frozen=True)
class Confusion:
    """The confusion matrix with one row and one column per class."""

    names: Sequence[str]
    rows: Sequence[Row]


def confusion_of(table: pd.DataFrame, classes: Sequence[str]) -> Confusion | None:
    """Return the confusion matrix of the evaluation, or ``None`` if there is none or it has too many classes."""
    lines = table[table["metric"].astype(str).str.startswith(f"{CONFUSION}:")]
    if lines.empty or not 2 <= len(classes) <= _MOST:
        return None
    counts = dict(zip(lines["metric"], lines["value"], strict=True))
    rows = []
    for actual in classes:
        row = [int(counts.get(f"{CONFUSION}:{actual}:{predicted}", 0)) for predicted in classes]
        total = sum(row)
        cells = [Cell(count, round(count / total, 3) if total else 0.0) for count in row]
        hits = row[list(classes).index(actual)]
        rows.append(Row(actual, cells, f"{hits / total:.1%}" if total else ""))
    return Confusion(classes, rows)
