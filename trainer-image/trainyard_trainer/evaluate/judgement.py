"""What the judges of forecasts and of tables give."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Judgement:
    """Metrics of all rows together by name, the long table, the rows that judged, and notes: see ``Evaluation``."""

    metrics: dict[str, float]
    table: pd.DataFrame
    holdout: pd.DataFrame
    notes: tuple[str, ...]
