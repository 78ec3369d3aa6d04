"""Forecasts beside the seasonal naive ones on the same holdouts: one way to judge them, whatever made them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.evaluate import metrics, names
from trainyard_trainer.evaluate.metrics import Floats


@dataclass(frozen=True)
class Forecast:
    """What was forecast for the holdout of one series.

    Attributes
    ----------
    times, actual, predicted, baseline
        Of the holdout's rows, all of the same length; ``baseline`` is the seasonal naive forecast.
    known
        The values before the holdout, in the order of time.
    season
        Steps per season.
    """

    name: str
    times: npt.NDArray[np.datetime64]
    actual: Floats
    predicted: Floats
    baseline: Floats
    known: Floats
    season: int


@dataclass(frozen=True)
class Judgement:
    """Metrics of all rows together by name, the long table, the rows that judged, and notes: see ``Evaluation``."""

    metrics: dict[str, float]
    table: pd.DataFrame
    holdout: pd.DataFrame
    notes: tuple[str, ...]


def judge(forecasts: Sequence[Forecast]) -> Judgement:
    """Judge the forecasts of at least one series, each alone and all rows together."""
    rows: list[dict[str, object]] = []
    for one in forecasts:
        rows += _lines(one.name, _scores(one.actual, one.predicted), _scores(one.actual, one.baseline))
    actual = np.concatenate([one.actual for one in forecasts])
    predicted = np.concatenate([one.predicted for one in forecasts])
    naive = np.concatenate([one.baseline for one in forecasts])
    scores, baseline = metrics.point_scores(actual, predicted), _scores(actual, naive)
    overall = _lines(None, scores.metrics, baseline)
    published = {str(row["metric"]): float(str(row["value"])) for row in overall}
    published |= {names.BASELINE + name: value for name, value in baseline.items()}
    skilled = [float(str(row["value"])) for row in rows if row["metric"] == names.SKILL]
    if skilled:
        published[names.SERIES_BELOW_BASELINE] = float(sum(value < 0 for value in skilled))
    return Judgement(
        metrics.only_finite(published),
        pd.DataFrame(rows if len(forecasts) == 1 else [*overall, *rows]),
        pd.DataFrame(
            {
                "series": np.repeat(
                    np.array([one.name for one in forecasts], dtype=object), [*map(_length, forecasts)]
                ),
                "time": np.concatenate([one.times for one in forecasts]),
                "actual": actual,
                "predicted": predicted,
                "baseline": naive,
            }
        ),
        scores.notes,
    )


def _length(forecast: Forecast) -> int:
    return len(forecast.actual)


def _scores(actual: Floats, forecast: Floats) -> dict[str, float]:
    return metrics.point_scores(actual, forecast).metrics


def _lines(series: str | None, scores: dict[str, float], baseline: dict[str, float]) -> list[dict[str, object]]:
    skill = metrics.skill(scores["mae"], baseline["mae"])
    return metrics.rows_of(
        series, scores if skill is None else {**scores, names.SKILL: skill}, {**baseline, names.SKILL: 0.0}
    )
