"""What the judges of forecasts and of tables give."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Judgement:
    """Metrics of all rows together by name, the long table, the rows that judged, and notes: see ``Evaluation``.

    ``baseline`` says what stands beside the model: a naive forecast, or what tables are judged beside.
    """

    metrics: dict[str, float]
    table: pd.DataFrame
    holdout: pd.DataFrame
    notes: tuple[str, ...]
    baseline: str = ""
