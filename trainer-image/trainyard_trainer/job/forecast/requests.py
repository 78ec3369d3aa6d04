"""The requests for the saved model: the steps after the end of each series, with the known covariates."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.frameworks.forecast.columns import Columns, Times, as_asked

_ROWS: Final = 20_000
_SERIES: Final = 100
"""Maximum number of series per request. A model per series needs one or two seconds for them."""


@dataclass(frozen=True)
class PredictionRequest:
    """A request for some series, with the same number of steps for each.

    Attributes
    ----------
    names
        Names of the series.
    ends, times
        The last known time of each series and the requested times, by the clock of the dataset; shapes (series,) and
        (series, steps).
    inputs
        The input table, as a caller would send it: one row per series and step, in this order.
    """

    names: tuple[str, ...]
    ends: Times
    times: Times
    inputs: pd.DataFrame


def prediction_requests(dataset: Dataset, columns: Columns, horizon: int) -> Iterator[PredictionRequest]:
    """Yield requests for ``horizon`` steps after the last row of each series, in the order of the series."""
    frequency = frequency_of(dataset.frequency or "D")
    size = max(1, min(_SERIES, _ROWS // horizon))
    times = dataset.frame["ds"].to_numpy()
    for begin in range(0, len(dataset.series), size):
        series = dataset.series[begin : begin + size]
        ends = times[[one.stop - 1 for one in series]]
        ahead = frequency.after(ends, horizon)
        names = tuple(one.name for one in series)
        inputs = pd.DataFrame({columns.time: as_asked(ahead.ravel(), columns.clock)})
        if columns.series is not None:
            inputs[columns.series] = np.repeat(np.array(names, dtype=object), horizon)
        if columns.regressors:
            beside = np.concatenate([dataset.ahead[name] for name in names])
            inputs = inputs.assign(**dict(zip(columns.regressors, beside.T, strict=True)))
        yield PredictionRequest(names, ends, ahead, inputs)
