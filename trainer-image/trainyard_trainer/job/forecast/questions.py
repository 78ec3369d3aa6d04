"""What a saved model is asked: the steps behind the end of each series, with the covariates that are known of them."""

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
"""At most so much is asked at once: a model per series answers it in one or two seconds."""


@dataclass(frozen=True)
class Question:
    """Some series, and the same number of steps of each.

    Attributes
    ----------
    names
        Of the series.
    ends, times
        The last known time of each and the times that are asked for, by the clock of the dataset; shapes (series,) and
        (series, steps).
    inputs
        The table that a caller would send: a row per series and step, in this order.
    """

    names: tuple[str, ...]
    ends: Times
    times: Times
    inputs: pd.DataFrame


def questions(dataset: Dataset, columns: Columns, horizon: int) -> Iterator[Question]:
    """Ask for ``horizon`` steps behind the last row of each series, in the order of the series."""
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
        yield Question(names, ends, ahead, inputs)
