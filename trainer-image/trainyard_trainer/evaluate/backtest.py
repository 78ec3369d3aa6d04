"""Metrics of the forecasts of a backtest: over all rows, by step, by series and by cutoff."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.metric_goals import BACKTEST
from trainyard_trainer.evaluate import metrics, names
from trainyard_trainer.evaluate.forecasts import judge_rows
from trainyard_trainer.evaluate.quantiles import QUANTILE, quantile_scores

AGE: Final = "age"
"""Column of the rows: number of newer cutoffs."""


@dataclass(frozen=True)
class Scores:
    """The metrics of a backtest.

    Attributes
    ----------
    metrics
        Metrics over all rows, with the prefix ``backtest_``. Scaled errors are means over series and windows.
    by_step, by_series, by_window
        Tables with ``step``, ``series``, or ``cutoff`` (the newest one of its series) with ``series`` (their number);
        then ``rows``, ``mae``, ``baseline`` (the same for the naive model), ``skill`` and, by series, ``wape`` and
        ``bias``.
    """

    metrics: dict[str, float]
    by_step: pd.DataFrame
    by_series: pd.DataFrame
    by_window: pd.DataFrame


@dataclass(frozen=True)
class Backtest:
    """A finished backtest.

    Attributes
    ----------
    rows
        A row per series, cutoff and step of the evaluation, window by window, oldest first: ``series``, ``cutoff``,
        ``time``, ``step``, ``actual``, ``predicted``, ``baseline``, quantiles, scales, ``age`` and ``champion``; times
        by the clock of the dataset.
    step
        Number of steps between two cutoffs.
    warnings
        Warnings about series that are not in all windows.
    """

    rows: pd.DataFrame
    scores: Scores
    step: int
    warnings: tuple[str, ...]

    @property
    def windows(self) -> int:
        """Number of cutoffs."""
        return len(self.scores.by_window)


def score(rows: pd.DataFrame) -> Scores:
    """Return the metrics of the rows of all windows.

    Parameters
    ----------
    rows
        Rows as in a holdout of forecasts (see ``Evaluation``), window by window, with ``cutoff``, ``step`` and ``AGE``.
    """
    codes, series = pd.factorize(rows["series"])
    units = (rows[AGE].to_numpy() * len(series) + codes).astype(object)
    judged = judge_rows(rows.assign(series=units))
    by_series = _grouped(rows, codes).assign(series=series)
    losing = {names.SERIES_BELOW_BASELINE: float((by_series["skill"] < 0).sum())}
    found = {name: value for name, value in judged.metrics.items() if not name.startswith(names.BASELINE)} | losing
    levels = [name for name in rows.columns if name.startswith(QUANTILE)]
    found |= quantile_scores(
        rows["actual"].to_numpy(np.float64),
        rows[levels].to_numpy(np.float64),
        [float(name.removeprefix(QUANTILE)) for name in levels],
    )
    steps, step = np.unique(rows["step"].to_numpy(), return_inverse=True)
    ages, age = np.unique(-rows[AGE].to_numpy(), return_inverse=True)
    cutoffs = rows.groupby(AGE)["cutoff"].max().sort_index(ascending=False).to_numpy()
    counts = rows.groupby(AGE)["series"].nunique().sort_index(ascending=False).to_numpy()
    if len(ages) != len(cutoffs):
        raise AssertionError("both have an entry per window")
    return Scores(
        metrics.only_finite({BACKTEST + name: value for name, value in found.items()}),
        _first("step", _grouped(rows, step).assign(step=steps)).drop(columns=["wape", "bias"]),
        _first("series", by_series),
        _first("cutoff", _grouped(rows, age).assign(series=counts, cutoff=cutoffs)).drop(columns=["wape", "bias"]),
    )


def _first(name: str, table: pd.DataFrame) -> pd.DataFrame:
    return table[[name, *(other for other in table.columns if other != name)]]


@np.errstate(divide="ignore", invalid="ignore")  # undefined values are NaN
def _grouped(rows: pd.DataFrame, codes: npt.NDArray[Any]) -> pd.DataFrame:
    """Return the metrics of each group. ``codes`` are the group numbers, from 0 without gaps."""
    actual, predicted, naive = (rows[name].to_numpy(np.float64) for name in ("actual", "predicted", "baseline"))
    count = np.bincount(codes)

    def total(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(np.bincount(codes, weights=values), dtype=np.float64)

    loss, baseline_loss = total(np.abs(actual - predicted)), total(np.abs(actual - naive))
    return pd.DataFrame(
        {
            "rows": count,
            "mae": loss / count,
            "baseline": baseline_loss / count,
            "skill": np.where(baseline_loss > 0, 1 - loss / baseline_loss, np.nan),
            "wape": loss / total(np.abs(actual)),
            "bias": total(predicted - actual) / count,
        }
    )
