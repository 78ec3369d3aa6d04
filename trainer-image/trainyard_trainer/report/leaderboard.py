"""The candidates of framework Auto as rows of a table: their errors, weights and cost."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trainyard_trainer.report.svg import readable


@dataclass(frozen=True)
class LeaderboardRow:
    """One candidate. Parts of a candidate are below it. Each cell is text."""

    candidate: str
    is_part: bool
    windows: str
    holdout: str
    weight: str
    seconds: str


def leaderboard_rows(table: pd.DataFrame | None) -> list[LeaderboardRow]:
    """Return the candidates, best first, each followed by its parts. Empty without a table.

    The table is that of ``Evaluation.leaderboard``.
    """
    if table is None:
        return []
    rows = []
    for _, one in table[table["within"] == ""].iterrows():
        rows.append(_row(one))
        rows += [_row(part) for _, part in table[table["within"] == one["candidate"]].iterrows()]
    return rows


def _row(row: "pd.Series[Any]") -> LeaderboardRow:
    def number(name: str) -> str:
        value = float(str(row[name]))
        return "" if np.isnan(value) else readable(value)

    return LeaderboardRow(
        candidate=str(row["candidate"]),
        is_part=row["within"] != "",
        windows=number("windows"),
        holdout=number("holdout"),
        weight=f"{float(str(row['weight'])):.0%}",
        seconds=f"{float(str(row['seconds'])):.1f}",
    )
