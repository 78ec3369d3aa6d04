"""Golden rows of a saved model of many series: the first steps after the ends of a few series."""

from collections.abc import Callable

import pandas as pd

from trainyard_trainer.data.dataset import GOLDEN_SERIES, Dataset
from trainyard_trainer.frameworks.base import GOLDEN_ROWS, Golden
from trainyard_trainer.frameworks.forecast.columns import as_asked
from trainyard_trainer.frameworks.forecast.ends import Ends, times_after


def golden_rows(dataset: Dataset, ends: Ends, predict: Callable[[pd.DataFrame], pd.DataFrame]) -> Golden:
    """Return these rows and the model's predictions. Covariates have the values of the holdout.

    Parameters
    ----------
    ends
        The ends of the series of the dataset, in order.
    """
    count = max(1, min(ends.horizon, GOLDEN_ROWS // GOLDEN_SERIES))
    columns = ends.columns
    inputs = []
    for number, series in enumerate(dataset.series):
        if series.name not in dataset.golden_series:
            continue
        steps = min(count, series.holdout) if columns.regressors else count
        times = times_after(ends.times[[number]], steps, ends.frequency)[0]
        table = pd.DataFrame({columns.time: as_asked(times, columns.clock)})
        if columns.series is not None:
            table[columns.series] = series.name
        for name in columns.regressors:
            table[name] = dataset.frame[name].iloc[series.split : series.split + steps].to_numpy()
        inputs.append(table)
    asked = pd.concat(inputs, ignore_index=True)
    return Golden(asked, predict(asked))
