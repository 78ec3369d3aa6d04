"""The members of a saved Auto model with the state at the ends of the series of a dataset."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.auto.model import AutoModel
from trainyard_trainer.frameworks.base import Refreshed
from trainyard_trainer.frameworks.forecast.ends import Ends
from trainyard_trainer.frameworks.forecast.refresh import (
    UNKNOWN,
    columns_by,
    ends_of,
    floors_with,
    notes_of_ends,
    require_refreshable,
)


def refreshed(model: AutoModel, dataset: Dataset) -> Refreshed:
    """Return the members with the state at the ends of a dataset: see ``ForecastFramework``.

    The weights of a series stay. If a member leaves the series out, the weights of the others are scaled to the sum 1.
    A series is left out if the model does not know it, or if every member with a weight leaves it out.
    """
    require_refreshable(dataset, model.ends.columns, model.ends.frequency.alias)
    number_of = {name: number for number, name in enumerate(model.ends.names)}
    left_out = {one.name: UNKNOWN for one in dataset.series if one.name not in number_of}
    known = dataset.part(number_of.__contains__)
    made = {
        name: member.framework.refreshed(member.model, known) for name, member in model.members.items() if known.series
    }
    before = np.array([number_of[one.name] for one in known.series], dtype=np.intp)
    weights, notes = _weights(made, model.weights[before], known)
    answered = weights.any(axis=1)
    for number in np.flatnonzero(~answered):
        name = known.series[number].name
        left_out[name] = next(one.left_out[name] for one in made.values() if name in one.left_out)
    rest = dataset.part(lambda name: name not in left_out)
    columns = columns_by(model.ends.columns, dataset)
    found = AutoModel(
        ends=Ends(
            tuple(one.name for one in rest.series), ends_of(rest), model.ends.frequency, columns, model.ends.horizon
        ),
        members={name: replace(model.members[name], model=one.model) for name, one in made.items()} or model.members,
        weights=weights[answered],
        floors=floors_with(model.floors[before[answered]], rest),
        quantiles=model.quantiles,
        learned=model.learned_until,
    )
    earlier = notes_of_ends(found.learned_until, known)  # the members have the same note
    inner = (f"{name}: {note}" for name, one in made.items() for note in one.notes if note not in earlier)
    return Refreshed(found, left_out, (*notes, *inner, *earlier))


def _weights(made: Mapping[str, Refreshed], weights: Floats, known: Dataset) -> tuple[Floats, list[str]]:
    """Return the weights of the members that forecast each series, shape (series, members), and notes about others.

    All weights of a series are 0 if no member forecasts it.
    """
    names, notes = [one.name for one in known.series], []
    out = np.array([[name in one.left_out for one in made.values()] for name in names], dtype=bool)
    out = out.reshape(weights.shape) & (weights > 0)
    found = np.where(out, 0.0, weights)
    total = found.sum(axis=1, keepdims=True)
    for index, (name, one) in enumerate(made.items()):
        series = [names[number] for number in np.flatnonzero(out[:, index] & (total[:, 0] > 0))]
        if series:
            text = f"{name} does not forecast {len(series)} series, so the weights of the other members are scaled"
            notes.append(f"{text}; {series[0]!r}: {one.left_out[series[0]]}")
    scaled = np.divide(found, total, out=np.zeros_like(found), where=total > 0)
    return np.where(out.any(axis=1, keepdims=True), scaled, weights), notes
