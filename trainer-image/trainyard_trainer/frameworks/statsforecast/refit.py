"""Refit the methods of a saved model on another dataset: to compare two versions, or to forecast from its end."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.environment import worker_count
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.base import Refreshed
from trainyard_trainer.frameworks.forecast.baseline import Baseline
from trainyard_trainer.frameworks.forecast.refresh import (
    UNKNOWN,
    columns_by,
    floors_with,
    notes_of_ends,
    require_refreshable,
)
from trainyard_trainer.frameworks.forecast.rows import Unit
from trainyard_trainer.frameworks.statsforecast.fit import Cut, forecast_series
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
    layout = _layout(model, dataset)
    known = frozenset(model.ends.names)
    units = [Unit(number, one.split, one.stop) for number, one in enumerate(dataset.series)]
    cuts = {unit.series: layout.cut(unit) for unit in units if dataset.series[unit.series].name in known}
    mixed = _forecasts(model, layout, cuts)
    found = []
    for unit in units:
        step = layout.rows.positions([unit])[1]
        if unit.series not in cuts:
            found.append(np.full(len(step), np.nan))
        else:
            found.append(mixed.get(unit.series, layout.naive(unit.series, cuts[unit.series]))[step])
    return np.concatenate(found)


def refreshed(model: StatsModel, dataset: Dataset) -> Refreshed:
    """Return the methods and weights of a model, fitted to all rows of a dataset: see ``ForecastFramework``.

    A series that the model does not know is left out. Quantiles keep the scales of the training.
    """
    require_refreshable(dataset, model.ends.columns, model.ends.frequency.alias)
    number_of = {name: number for number, name in enumerate(model.ends.names)}
    left_out = {one.name: UNKNOWN for one in dataset.series if one.name not in number_of}
    known = dataset.part(number_of.__contains__)
    model = replace(model, learned=model.learned_until)
    if not known.series:
        return Refreshed(_without_series(model), left_out)
    layout = _layout(model, known)
    stops = np.array([one.stop for one in known.series], dtype=np.intp)
    ends = layout.ends(stops, columns_by(model.ends.columns, dataset), model.ends.horizon)
    cuts = {
        number: (layout.known(number, int(stop)), int(reach))
        for number, (stop, reach) in enumerate(zip(stops, ends.reach(), strict=True))
    }
    mixed = _forecasts(model, layout, cuts)
    steps = [mixed[number] if number in mixed else layout.naive(number, cut) for number, cut in cuts.items()]
    before = np.array([number_of[one.name] for one in known.series], dtype=np.intp)
    found = replace(
        model,
        ends=ends,
        weights=model.weights[before],
        forecasts=np.concatenate(steps),
        begins=np.cumsum([0, *(len(one) for one in steps)]).astype(np.int64),
        floors=floors_with(model.floors[before], known),
    )
    naive = len(cuts) - len(mixed)
    notes = (f"{naive} series are answered by the seasonal naive model: no method could be fitted to them",)
    return Refreshed(found, left_out, (*(notes if naive else ()), *notes_of_ends(model.learned_until, known)))


def _layout(model: StatsModel, dataset: Dataset) -> Layout:
    return Layout.of(dataset, Baseline("last value", model.ends.frequency), model.input_size)


def _forecasts(model: StatsModel, layout: Layout, cuts: Mapping[int, Cut]) -> dict[int, Floats]:
    """Return the weighted forecasts of cuts, by the number of their series; shape (steps,).

    A series is missing if none of its methods can be fitted.
    """
    methods = asked_methods({"models": list(model.methods)})
    names, weights = layout.rows.panel.names, model.weights_of()
    tasks = {
        number: layout.task(
            number, [cut], [one for one, weight in zip(methods, weights[names[number]], strict=True) if weight]
        )
        for number, cut in cuts.items()
        if weights[names[number]].any()
    }
    workers = max(1, min(worker_count(0), len(tasks)))
    if workers > 1:
        start()
    mixed: dict[int, Floats] = {}
    with tempfile.TemporaryDirectory(prefix="trainyard-") as folder:
        made = fit_all(forecast_series, tasks.values(), workers, lambda: False, Path(folder))
        for number, outcome in zip(tasks, made, strict=True):
            row = weights[names[number]]
            used = row[row > 0]
            table = outcome.forecasts[0]
            complete = ~np.isnan(table).any(axis=1)
            if complete.any():
                mixed[number] = used[complete] @ table[complete] / used[complete].sum()
    return mixed


def _without_series(model: StatsModel) -> StatsModel:
    """Return a model that knows no series. Every request to it fails."""
    ends = replace(model.ends, names=(), times=model.ends.times[:0])
    return replace(
        model,
        ends=ends,
        weights=model.weights[:0],
        forecasts=model.forecasts[:0],
        begins=model.begins[:1],
        floors=model.floors[:0],
    )
