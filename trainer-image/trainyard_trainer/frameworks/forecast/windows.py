"""Which windows judge candidates before the holdout is looked at: the last ones of each series."""

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
"""Metrics by what counts: the part of a series' own size, and the square."""

SERIES_COMPARED: Final = 1000
"""On so many series candidates are compared: more would only take time."""

_MOST_ORIGINS: Final = 8


def origins_wanted(dataset: Dataset, horizon: int, folds: int, rows_per_judged: int) -> int:
    """Return how many windows a series has: more than ``folds`` where they are cheap, because one tells chance.

    Parameters
    ----------
    rows_per_judged
        As long as so many rows stand behind each that judges, there is one more.
    """
    typical = int(np.median([one.split - one.start for one in dataset.series]))
    return max(folds, min(_MOST_ORIGINS, typical // (rows_per_judged * horizon)))


def spread_series(dataset: Dataset) -> list[int]:
    """Return the numbers of at most ``SERIES_COMPARED`` series, evenly spread."""
    count = len(dataset.series)
    chosen: list[int] = np.unique(np.linspace(0, count - 1, min(SERIES_COMPARED, count)).round().astype(int)).tolist()
    return chosen


def windows_of(rows: Rows, horizon: int, folds: int, series: Iterable[int]) -> tuple[Unit, ...]:
    """Return at most so many windows of some series, by their numbers; of one that is too short none."""
    units: list[Unit] = []
    for number in series:
        one = rows.dataset.series[number]
        steps = rows.panel.steps[one.start : one.stop]
        found = rolling_origins(steps, holdout=one.holdout, horizon=horizon, folds=folds)
        units += [Unit(number, one.start + fold.cut, one.start + fold.stop) for fold in found]
    return tuple(units)


def sizes_of(rows: Rows, units: Sequence[Unit], metric: str) -> tuple[Floats, bool]:
    """Return what an error of each row that judges is divided by, and whether errors count squared.

    So that the mean over windows orders forecasts as the metric would: by the usual move of each series where the
    metric knows no unit, else by nothing.
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
