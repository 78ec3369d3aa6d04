"""The state of saved trees at the ends of the series of a dataset, computed as in training."""

from dataclasses import replace

import numpy as np

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import DataError
from trainyard_trainer.frameworks.base import Refreshed
from trainyard_trainer.frameworks.forecast.baseline import Baseline
from trainyard_trainer.frameworks.forecast.refresh import (
    columns_by,
    not_refreshable,
    notes_of_ends,
    require_refreshable,
)
from trainyard_trainer.frameworks.forecast.rows import Unit
from trainyard_trainer.frameworks.lightgbm_forecast.model import ForecastModel
from trainyard_trainer.frameworks.lightgbm_forecast.origins import TreeRows
from trainyard_trainer.frameworks.lightgbm_forecast.state import State


def refreshed(model: ForecastModel, dataset: Dataset) -> Refreshed:
    """Return the trees with the state at the ends of a dataset: see ``ForecastFramework``.

    A series that is new to the model is forecast by the same trees. No series is left out.
    """
    require_refreshable(dataset, model.columns, model.trees.frequency.alias)
    try:
        require_columns(model, dataset)
    except DataError as error:
        raise not_refreshable(error) from error
    rows = rows_of(model, dataset)
    units = tuple(Unit(number, one.stop, one.stop) for number, one in enumerate(dataset.series))
    found = replace(
        model,
        state=rows.state(model.trees.feature_spec, units),
        columns=columns_by(model.columns, dataset),
        quantiles=model.quantiles.with_new_scales(dataset, model.trees.frequency.season),
        learned=model.learned_until,
    )
    return Refreshed(found, notes=(*_notes(model, found.state), *notes_of_ends(model.learned_until, dataset)))


def require_columns(model: ForecastModel, dataset: Dataset) -> None:
    """Check that a dataset has the static and lagged columns of the model. Raises DataError."""
    feature_spec = model.trees.feature_spec
    for kind, wanted, there in (
        ("column of data.static", feature_spec.static, dataset.static.names),
        ("covariate", feature_spec.lagged, dataset.lagged),
    ):
        if missing := [name for name in wanted if name not in there]:
            raise DataError(f"the data lacks the {kind} {missing[0]!r} of the model")


def rows_of(model: ForecastModel, dataset: Dataset) -> TreeRows:
    """Return the rows of a dataset, with the covariates and the frequency of the model."""
    frequency = model.trees.frequency
    return TreeRows.of(dataset, frequency, model.columns.regressors, Baseline("last value", frequency))


def _notes(model: ForecastModel, state: State) -> tuple[str, ...]:
    """Return notes about series that are new, too short, or have fewer values than in the training."""
    feature_spec = model.trees.feature_spec
    learned = model.learned_until
    new = [name for name in state.names if name not in learned]
    short = int((~state.fitted).sum())
    fewer = _with_fewer_values(model.state, state, feature_spec.reach)
    notes = []
    if new:
        notes.append(
            f"{len(new)} series are new to the model, such as {new[0]!r}: the trees of all series forecast them"
        )
    if short:
        notes.append(
            f"{short} series are answered by the seasonal naive model: they have fewer than {feature_spec.shortest} "
            "steps"
        )
    if fewer:
        notes.append(
            f"{len(fewer)} series have fewer steps than in the training, such as {fewer[0]!r}, and the lags need "
            f"{feature_spec.reach}: the missing ones are empty; give more rows"
        )
    return tuple(notes)


def _with_fewer_values(before: State, now: State, reach: int) -> list[str]:
    """Return the series whose lags reach before the start of the data, but not as far before that of the training."""
    depths = dict(zip(before.names, np.minimum(_depths(before), reach), strict=True))
    wanted = np.array([depths.get(name, 0) for name in now.names])
    return [now.names[number] for number in np.flatnonzero(_depths(now) < wanted)]


def _depths(state: State) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the number of steps from the first known value of each series to its end; shape (series,)."""
    return np.asarray(state.values.shape[1] - (~np.isnan(state.values)).argmax(axis=1))
