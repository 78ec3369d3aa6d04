"""The windows to compare candidates before the holdout is used: the last windows of each series."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.series.folds import rolling_origins
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.evaluate.scales import usual_move
from trainyard_trainer.frameworks.forecast.rows import Rows, Unit

SCALE_FREE: Final = frozenset({"mape", "smape", "mase", "rmsse"})
SQUARED: Final = frozenset({"rmse", "rmsse", "r2"})
"""Metrics whose errors are divided by the scale of each series, and metrics with squared errors."""

SERIES_COMPARED: Final = 1000
"""Maximum number of series to compare candidates on. More would only take time."""

_MOST_ORIGINS: Final = 8


def origins_wanted(dataset: Dataset, horizon: int, folds: int, rows_per_judged: int) -> int:
    """Return the number of windows per series. It is more than ``folds`` if there are enough rows, to reduce chance.

    Parameters
    ----------
    rows_per_judged
        A window is added while there are this many rows per held-out row.
    """
    typical = int(np.median([one.split - one.start for one in dataset.series]))
    return max(folds, min(_MOST_ORIGINS, typical // (rows_per_judged * horizon)))


def spread_series(dataset: Dataset) -> list[int]:
    """Return the numbers of at most ``SERIES_COMPARED`` series, evenly spread."""
    count = len(dataset.series)
    chosen: list[int] = np.unique(np.linspace(0, count - 1, min(SERIES_COMPARED, count)).round().astype(int)).tolist()
    return chosen


def windows_of(rows: Rows, horizon: int, folds: int, series: Iterable[int]) -> tuple[Unit, ...]:
    """Return at most ``folds`` windows for each of some series, by their numbers.

    A series that is too short has none.
    """
    units: list[Unit] = []
    for number in series:
        one = rows.dataset.series[number]
        steps = rows.panel.steps[one.start : one.stop]
        found = rolling_origins(steps, holdout=one.holdout, horizon=horizon, folds=folds)
        units += [Unit(number, one.start + fold.cut, one.start + fold.stop) for fold in found]
    return tuple(units)


def sizes_of(rows: Rows, units: Sequence[Unit], metric: str) -> tuple[Floats, bool]:
    """Return the divisor of the error of each held-out row, and whether errors are squared.

    So the mean over windows ranks forecasts as the metric does. For a metric without unit, the divisor is the usual
    change of each series, else 1.
    """
    lengths = [unit.stop - unit.cut for unit in units]
    if metric in SCALE_FREE:
        found = []
        for unit in units:
            known = slice(rows.dataset.series[unit.series].start, unit.cut)
            found.append(usual_move(rows.panel.steps[known], rows.values[known], rows.frequency.season) or 1.0)
    else:
        found = [1.0] * len(units)
    return np.repeat(found, lengths), metric in SQUARED
