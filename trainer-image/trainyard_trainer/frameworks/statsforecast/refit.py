"""Refit the methods of a saved model on another dataset, to compare two versions."""

import tempfile
from pathlib import Path

import numpy as np

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.environment import worker_count
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.forecast.baseline import Baseline
from trainyard_trainer.frameworks.forecast.rows import Unit
from trainyard_trainer.frameworks.statsforecast.fit import forecast_series
from trainyard_trainer.frameworks.statsforecast.layout import Layout
from trainyard_trainer.frameworks.statsforecast.methods import asked_methods
from trainyard_trainer.frameworks.statsforecast.model import StatsModel
from trainyard_trainer.frameworks.statsforecast.server import start
from trainyard_trainer.frameworks.workers.pool import fit_all


def refit_and_forecast(model: StatsModel, dataset: Dataset) -> Floats:
    """Forecast held-out rows with the methods and weights of a model, fitted to the rows of the dataset before them.

    Returns
    -------
    Shape (held-out rows,), series by series in the order of the dataset; NaN if the model does not know a series.
    """
    layout = Layout.of(dataset, Baseline("last value", model.ends.frequency), model.input_size)
    methods = asked_methods({"models": list(model.methods)})
    weights = {name: row for name, row in model.weights_of().items() if row.any()}
    units = [Unit(number, one.split, one.stop) for number, one in enumerate(dataset.series)]
    tasks = {
        unit.series: layout.task(
            unit.series,
            [layout.cut(unit)],
            [one for one, weight in zip(methods, weights[dataset.series[unit.series].name], strict=True) if weight],
        )
        for unit in units
        if dataset.series[unit.series].name in weights
    }
    workers = max(1, min(worker_count(0), len(tasks)))
    if workers > 1:
        start()
    mixed: dict[int, Floats] = {}
    with tempfile.TemporaryDirectory(prefix="trainyard-") as folder:
        made = fit_all(forecast_series, tasks.values(), workers, lambda: False, Path(folder))
        for number, outcome in zip(tasks, made, strict=True):
            row = weights[dataset.series[number].name]
            used = row[row > 0]
            table = outcome.forecasts[0]
            complete = ~np.isnan(table).any(axis=1)
            if complete.any():
                mixed[number] = used[complete] @ table[complete] / used[complete].sum()
    known, found = frozenset(model.ends.names), []
    for unit in units:
        name = dataset.series[unit.series].name
        step = layout.rows.positions([unit])[1]
        if name not in known:
            found.append(np.full(len(step), np.nan))
        else:
            found.append(mixed.get(unit.series, layout.naive(unit.series, layout.cut(unit)))[step])
    return np.concatenate(found)
