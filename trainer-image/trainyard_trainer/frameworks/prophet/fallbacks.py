"""Fallbacks of Prophet: the seasonal naive model and, for intermittent demand, TSB and IMAPA.

Each is a small record of plain JSON. The forecast of TSB and IMAPA is one constant. statsforecast fits them. Its import
takes seconds and 100 MB, so only jobs with intermittent series import it, and servers never do.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from trainyard_trainer.data.dataset import DemandClass
from trainyard_trainer.data.values.frequency import Frequency, frequency_of
from trainyard_trainer.evaluate.baselines import seasonal_naive
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.prophet.series import Kind, Times

_NAIVE_SEASONS_KEPT: Final = 4
_TSB_SMOOTHING: Final = 0.1
"""Smoothing of demand and of its probability: the usual value, slow enough for rare demand."""


def fallbacks_of(demand: DemandClass) -> tuple[Kind, ...]:
    """Return the possible fallbacks of a series, the simplest first."""
    return ("seasonal-naive", "tsb", "imapa") if demand == "Intermittent" else ("seasonal-naive",)


def fit_fallback(kind: Kind, times: Times, values: Floats, frequency: Frequency) -> dict[str, Any]:
    """Return the record of a model fitted to these rows.

    Raises
    ------
    ValueError
        If the kind is not a fallback.
    """
    match kind:
        case "seasonal-naive":
            rows = slice(-_NAIVE_SEASONS_KEPT * frequency.season, None)
            return {
                "kind": kind,
                "frequency": frequency.alias,
                "season": frequency.season,
                "times": [str(time) for time in times[rows]],
                "values": values[rows].tolist(),
            }
        case "tsb" | "imapa":
            return {"kind": kind, "value": _level(kind, values)}
        case _:
            raise ValueError(f"{kind} is not a fallback")


def _level(kind: Kind, values: Floats) -> float:
    from statsforecast.models import IMAPA, TSB

    model = TSB(alpha_d=_TSB_SMOOTHING, alpha_p=_TSB_SMOOTHING) if kind == "tsb" else IMAPA()
    return float(model.forecast(y=values, h=1)["mean"][0])


def going_on(record: Mapping[str, Any], times: Times, values: Floats) -> Mapping[str, Any]:
    """Return a saved model, updated with these rows. For a repeated season, it has the newest one. Nothing is fitted.

    TSB and IMAPA keep their fitted level.
    """
    if record["kind"] != "seasonal-naive":
        return record
    newest = fit_fallback("seasonal-naive", times, values, frequency_of(record["frequency"]))
    return {**record, **newest}


def fallback_at(record: Mapping[str, Any], times: Times) -> Floats:
    """Return the forecasts of a saved fallback at ``times``, in their order; shape (times,)."""
    if "value" in record:
        return np.full(len(times), float(record["value"]))
    known = np.array(record["times"], dtype="datetime64[ns]")
    ordinals = frequency_of(record["frequency"]).ordinals(np.concatenate([known, times.astype("datetime64[ns]")]))
    values = np.array(record["values"], dtype=np.float64)
    return seasonal_naive(ordinals[: len(known)], values, ordinals[len(known) :], record["season"])


def seasons_ahead(record: Mapping[str, Any], times: Times) -> Floats:
    """Return how many seasons each time is after the last known row of a fallback, at least 1; shape (times,).

    For a constant forecast it is always 1, because its uncertainty does not grow.
    """
    if "value" in record:
        return np.ones(len(times))
    last = np.array(record["times"][-1:], dtype="datetime64[ns]")
    ordinals = frequency_of(record["frequency"]).ordinals(np.concatenate([last, times.astype("datetime64[ns]")]))
    seasons: Floats = np.ceil((ordinals[1:] - ordinals[0]) / record["season"])
    return np.maximum(1.0, seasons)
