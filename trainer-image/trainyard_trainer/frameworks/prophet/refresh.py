"""Saved models of Prophet at the ends of the series of a dataset.

A Prophet model depends on the time alone. Newer values do not change it, so it extrapolates from the end of its
training. Only the seasonal naive model uses newer values.

The training judges a model up to one horizon after its newest row. So a series may end at most one horizon after the
end of its training: at the limit, its forecast starts where the judged steps end. After that, no step of the forecast
is as close to the training as a judged one, and the model must be trained again. Models of older releases do not have
their horizon. For them, the limit is one season.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.frequency import Frequency, frequency_by
from trainyard_trainer.frameworks.base import Refreshed
from trainyard_trainer.frameworks.forecast.refresh import (
    UNKNOWN,
    columns_by,
    ends_of,
    notes_of_ends,
    require_refreshable,
)
from trainyard_trainer.frameworks.prophet.bundle import Bundle
from trainyard_trainer.frameworks.prophet.fallbacks import going_on

_SEASONAL_NAIVE: Final = "seasonal-naive"


@dataclass(frozen=True)
class _Extrapolated:
    """A series whose model only depends on the time: its kind, and how many steps its training ended earlier."""

    kind: str
    gap: int


def refreshed(bundle: Bundle, dataset: Dataset) -> Refreshed:
    """Return the models with the reach to forecast from the ends of a dataset: see ``ForecastFramework``.

    Prophet, TSB and IMAPA stay as they are. A series that ends more than the limit after its training is left out,
    because it must be trained again. The seasonal naive model repeats the newest season and has no limit.
    """
    require_refreshable(dataset, bundle.columns, bundle.frequency or dataset.frequency or "D")
    frequency = frequency_by(dataset.frequency or "D", dataset.clock)
    limit = bundle.horizon or frequency.season
    times, values = dataset.frame["ds"].to_numpy("datetime64[ns]"), dataset.frame["y"].to_numpy(dtype=np.float64)
    left_out: dict[str, str] = {}
    replaced: dict[str, Mapping[str, Any]] = {}
    extrapolated: list[_Extrapolated] = []
    for one, gap in zip(dataset.series, _gaps(bundle, dataset, frequency), strict=True):
        if one.name not in bundle.index:
            left_out[one.name] = UNKNOWN
            continue
        record, rows = bundle.read(one.name), slice(one.start, one.stop)
        if record["kind"] == _SEASONAL_NAIVE:
            replaced[one.name] = going_on(record, bundle.seen(times[rows]), values[rows])
        elif one.name not in bundle.until or gap > limit:
            left_out[one.name] = _why(bundle, one.name, int(gap), limit)
        else:
            extrapolated.append(_Extrapolated(record["kind"], int(gap)))
    known = [one.name for one in dataset.series if one.name not in left_out]
    found = replace(
        bundle,
        columns=columns_by(bundle.columns, dataset),
        index={name: bundle.index[name] for name in known},
        replaced=replaced,
    )
    learned = {name: np.datetime64(until, "ns") for name, until in bundle.until.items()}
    return Refreshed(found, left_out, (*_notes(extrapolated), *notes_of_ends(learned, dataset)))


def _gaps(bundle: Bundle, dataset: Dataset, frequency: Frequency) -> npt.NDArray[np.int64]:
    """Return how many steps each series ends after its training; shape (series,). 0 if the training has no end."""
    ends = ends_of(dataset)
    until = [bundle.until.get(one.name, str(end)) for one, end in zip(dataset.series, ends, strict=True)]
    steps = frequency.ordinals(np.concatenate([np.array(until, dtype="datetime64[ns]"), ends]))
    return np.asarray(steps[len(ends) :] - steps[: len(ends)])


def _why(bundle: Bundle, series: str, gap: int, limit: int) -> str:
    if series not in bundle.until:
        return "a model of an older release does not record the end of its training; train a new version"
    end = np.datetime64(bundle.until[series], "s")
    return (
        f"the model extrapolates from the end of its training at {end}, which is {gap} steps before "
        f"the end of the data; the limit is {limit} steps, so train a new version"
    )


def _notes(extrapolated: Sequence[_Extrapolated]) -> tuple[str, ...]:
    prophet = [one.gap for one in extrapolated if one.gap > 0 and one.kind == "prophet"]
    levels = [one.gap for one in extrapolated if one.gap > 0 and one.kind != "prophet"]
    notes = []
    if prophet:
        notes.append(
            f"Prophet extrapolates {len(prophet)} series from the end of their training, which is up to {max(prophet)} "
            "steps before the end of the data"
        )
    if levels:
        notes.append(
            f"TSB and IMAPA repeat the level of {len(levels)} series at the end of their training, which is up to "
            f"{max(levels)} steps before the end of the data"
        )
    return tuple(notes)
