"""The naive models that a trained model must beat."""

from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.evaluate.scales import Ordinals

Naive = Literal["last value", "seasonal naive", "drift"]
"""The naive forecasts, the simplest first. If two are equally good, the simpler one is the baseline."""

NAIVES: Final[tuple[Naive, ...]] = get_args(Naive)

CONSTANTS: Final = "mean or median"
"""The baseline for a numeric target of a table."""

CLASS_SHARES: Final = "class shares"
"""The baseline for classes."""


def naive_forecast(name: Naive, known: Ordinals, values: Floats, wanted: Ordinals, season: int) -> Floats:
    """Return a naive forecast. The parameters are those of :func:`seasonal_naive`."""
    match name:
        case "last value":
            return np.full(len(wanted), values[-1], dtype=np.float64)
        case "seasonal naive":
            return seasonal_naive(known, values, wanted, season)
        case "drift":
            return drift(known, values, wanted)


def drift(known: Ordinals, values: Floats, wanted: Ordinals) -> Floats:
    """Extrapolate the line through the first and the last known value (Hyndman and Athanasopoulos, section 5.2).

    ``y(T) + h (y(T) - y(1)) / (T - 1)`` with ``T`` and ``h`` in steps. Forecasts of a series without negative values
    are not below 0, as for all models. The parameters are those of :func:`seasonal_naive`.
    """
    apart = known[-1] - known[0]
    slope = (values[-1] - values[0]) / apart if apart else 0.0
    found = values[-1] + slope * (wanted - known[-1])
    return np.asarray(np.maximum(found, 0.0) if values.min() >= 0 else found, dtype=np.float64)


def seasonal_naive(known: Ordinals, values: Floats, wanted: Ordinals, season: int) -> Floats:
    """Repeat the last season.

    The forecast for step ``t`` is the value ``k`` whole seasons earlier, with the smallest ``k`` that is within the
    known rows. If the data has a gap there, one more season back is tried, and so on. If there is no value, the last
    known value is used.

    Parameters
    ----------
    known
        Step numbers of the known rows (see ``Frequency.ordinals``), ascending, not empty; shape (n,).
    values
        Their values; shape (n,).
    wanted
        Step numbers to forecast, all after the last known one; shape (m,).
    season
        Steps per season, at least 1. If less than one season is known, the last value is repeated.

    Returns
    -------
    Forecasts of shape (m,).
    """
    last = known[-1]
    seasons_back = np.maximum(1, -((last - wanted) // season))
    source = wanted - seasons_back * season
    forecast = np.full(len(wanted), values[-1], dtype=np.float64)
    open_ = np.ones(len(wanted), dtype=bool)
    while (open_ := open_ & (source >= known[0])).any():
        at = np.minimum(np.searchsorted(known, source, side="right") - 1, len(known) - 1)
        found = open_ & (known[at] == source)
        forecast[found] = values[at[found]]
        open_ &= ~found
        source = np.where(open_, source - season, source)
    return forecast


def constant_regressors(train: Floats, rows: int) -> dict[str, Floats]:
    """Return the forecasts of a model that always predicts the mean, and of one that always predicts the median."""
    return {"mean": np.full(rows, train.mean()), "median": np.full(rows, np.median(train))}


def class_prior(train: npt.NDArray[np.intp], classes: int) -> Floats:
    """Return the share of each class; shape (classes,). One row is added per class, so that no share is 0."""
    counts = np.bincount(train, minlength=classes) + 1.0
    return np.asarray(counts / counts.sum(), dtype=np.float64)
