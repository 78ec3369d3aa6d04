"""The result of an evaluation of forecasts or of tables."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Judgement:
    """Metrics of all rows by name, the long table, the held-out rows, and notes: see ``Evaluation``.

    ``baseline`` is the name of the naive forecast or of the naive model for tables.
    """

    metrics: dict[str, float]
    table: pd.DataFrame
    holdout: pd.DataFrame
    notes: tuple[str, ...]
    baseline: str = ""
