"""Shared parts of a refresh: a model gets the state at the ends of the series of a dataset, without a fit."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import DataError
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.forecast.columns import Columns, Times, require_same_steps

UNKNOWN: Final = "the model was not trained on this series; train again to include it"
"""Why a series is left out that needs a state from the training."""

LEARNED: Final = "learned"
"""The field of a description that has the ends of the training. It is missing unless the model was refreshed."""

Learned = Mapping[str, np.datetime64]


def require_refreshable(dataset: Dataset, columns: Columns, frequency: str) -> None:
    """Check that a model with these columns and this frequency can get its state from a dataset.

    Raises
    ------
    DataError
        If the dataset has another frequency or clock, lacks a covariate, or has several series for a model of one
        series without a name.
    """
    try:
        require_same_steps(dataset, columns, frequency)
    except DataError as error:
        raise not_refreshable(error) from error
    if columns.series is None and len(dataset.series) > 1:
        raise not_refreshable(f"it forecasts one series without a name, the data has {len(dataset.series)} series")


def not_refreshable(why: object) -> DataError:
    """Return the error for a dataset that does not fit a model. ``why`` continues a sentence about the model."""
    return DataError(
        f"the model cannot forecast from the end of this data: {why}; give data in the form of its training, or train "
        "again"
    )


def columns_by(columns: Columns, dataset: Dataset) -> Columns:
    """Return the columns with the clock of a dataset. Requests are still written as in the training."""
    return replace(columns, clock=replace(dataset.clock, form=columns.clock.form))


def ends_of(dataset: Dataset) -> Times:
    """Return the time of the last row of each series; shape (series,)."""
    stops = np.array([one.stop - 1 for one in dataset.series], dtype=np.intp)
    return np.asarray(dataset.frame["ds"].to_numpy("datetime64[ns]")[stops])


def floors_with(floors: Floats, dataset: Dataset) -> Floats:
    """Return lower bounds, without those of series that have negative values in a dataset; shape (series,)."""
    values = dataset.frame["y"].to_numpy(dtype=np.float64)
    negative = np.array([values[one.start : one.stop].min() < 0 for one in dataset.series], dtype=bool)
    return np.where(negative, -np.inf, floors)


def notes_of_ends(learned: Learned, dataset: Dataset) -> tuple[str, ...]:
    """Return a note if series end before the end of their training, because the model has seen the rows after that."""
    earlier = [
        one.name
        for one, end in zip(dataset.series, ends_of(dataset), strict=True)
        if one.name in learned and end < learned[one.name]
    ]
    if not earlier:
        return ()
    text = f"{len(earlier)} series end before the end of their training, such as {earlier[0]!r}"
    return (f"{text}: the model was trained on rows after that",)


def learned_fields(learned: Learned | None) -> dict[str, dict[str, str]]:
    """Return the field for a description, or none if the model was not refreshed."""
    return {} if learned is None else {LEARNED: {name: str(end) for name, end in learned.items()}}


def read_learned(fields: Mapping[str, Mapping[str, str]]) -> Learned | None:
    """Read the field of :func:`learned_fields`."""
    if LEARNED not in fields:
        return None
    return {name: np.datetime64(end, "ns") for name, end in fields[LEARNED].items()}
