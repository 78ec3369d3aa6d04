"""Quantiles beside a forecast: drawn from Prophet's own uncertainty; of a fallback from its errors in the past."""

import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trainyard_trainer.data.values.frequency import Frequency
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.evaluate.scales import seasonal_differences
from trainyard_trainer.frameworks.forecast.columns import quantile_columns
from trainyard_trainer.frameworks.prophet.series import Fitted, Times, question

SAMPLES: Final = 1000
"""Prophet's own number of draws."""

_NUMPY: Final = threading.Lock()
"""Prophet draws from numpy's global generator: one thread at a time, or the same seed gives different draws."""


@dataclass(frozen=True)
class Quantiles:
    """Which quantiles a model answers with, ascending, and the seed of the draws."""

    levels: tuple[float, ...] = ()
    seed: int = 0

    @property
    def columns(self) -> list[str]:
        """The names of their columns."""
        return quantile_columns(self.levels)


def drawn(fitted: Fitted, times: Times, regressors: Floats | None, quantiles: Quantiles, floor: float | None) -> Floats:
    """Return Prophet's quantiles at ``times``, in their order; shape (times, levels).

    The same question gets the same answer. A time asked among others gets slightly other draws than alone.
    """
    model = fitted.model
    with warnings.catch_warnings(), _seeded(quantiles.seed):
        warnings.simplefilter("ignore")
        model.uncertainty_samples = SAMPLES
        samples = model.predictive_samples(question(fitted, times, regressors))["yhat"]
        model.uncertainty_samples = 0
    found = np.empty((len(times), len(quantiles.levels)))
    # predictive_samples sorts by time.
    found[np.argsort(times, kind="stable")] = np.quantile(samples, quantiles.levels, axis=1).T
    return found if floor is None else np.maximum(found, floor)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with _NUMPY:
        before = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)


def offsets_of(
    record: Mapping[str, Any], times: Times, values: Floats, frequency: Frequency, levels: tuple[float, ...]
) -> list[float]:
    """Return how far the quantiles of a fallback lie from its forecast, one season ahead, by its errors so far.

    Those of the seasonal naive model are the differences to one season earlier; those of a flat one what its level
    is missed by. Where there is none the quantiles are the forecast.
    """
    if "value" in record:
        errors = values - float(record["value"])
    else:
        errors = seasonal_differences(frequency.ordinals(times), values, frequency.season)
    return [float(offset) for offset in np.quantile(errors, levels)] if len(errors) else [0.0] * len(levels)
