"""The confusion of classes as a table that shows where the rows are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from trainyard_trainer.evaluate.rows import CONFUSION

_MOST: Final = 12
"""A table of more classes fits no page; it stands in metrics.parquet."""


@dataclass(frozen=True)
class Cell:
    """A count, and its part of the row, 0 to 1."""

    count: int
    part: float


@dataclass(frozen=True)
class Row:
    """What the rows of one class were called, and the share that was called rightly."""

    name: str
    cells: Sequence[Cell]
    found: str


@dataclass(frozen=True)
class Confusion:
    """One row and one column per class."""

    names: Sequence[str]
    rows: Sequence[Row]


def confusion_of(table: pd.DataFrame, classes: Sequence[str]) -> Confusion | None:
    """Return the confusion that the evaluation counted; ``None`` without one, or for too many classes."""
    lines = table[table["metric"].astype(str).str.startswith(f"{CONFUSION}:")]
    if lines.empty or not 2 <= len(classes) <= _MOST:
        return None
    counts = dict(zip(lines["metric"], lines["value"], strict=True))
    rows = []
    for truth in classes:
        row = [int(counts.get(f"{CONFUSION}:{truth}:{said}", 0)) for said in classes]
        total = sum(row)
        cells = [Cell(count, round(count / total, 3) if total else 0.0) for count in row]
        hits = row[list(classes).index(truth)]
        rows.append(Row(truth, cells, f"{hits / total:.1%}" if total else ""))
    return Confusion(classes, rows)
