"""Quantiles of a forecast: sampled from Prophet's uncertainty, or for a fallback from its errors in the past."""

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
"""Default number of samples in Prophet."""

_NUMPY: Final = threading.Lock()
"""Prophet uses NumPy's global generator. Only one thread may sample at a time, to get the same samples for a seed."""


@dataclass(frozen=True)
class Quantiles:
    """The levels of the quantiles, ascending, and the seed of the samples."""

    levels: tuple[float, ...] = ()
    seed: int = 0

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return quantile_columns(self.levels)


def drawn(fitted: Fitted, times: Times, regressors: Floats | None, quantiles: Quantiles, floor: float | None) -> Floats:
    """Return Prophet's quantiles at ``times``, in their order; shape (times, levels).

    Equal requests get equal results. The samples of a time depend slightly on the other times of the request.
    """
    model = fitted.model
    with warnings.catch_warnings(), _seeded(quantiles.seed):
        warnings.simplefilter("ignore")
        model.uncertainty_samples = SAMPLES
        samples = model.predictive_samples(question(fitted, times, regressors))["yhat"]
        model.uncertainty_samples = 0
    found = np.empty((len(times), len(quantiles.levels)))
    # ``predictive_samples`` sorts by time.
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
    """Return the distances of the quantiles from the forecast of a fallback, one season ahead, from its past errors.

    For the seasonal naive model, errors are the differences to one season earlier. For a flat model, they are the
    differences to its level. Without errors, the quantiles equal the forecast.
    """
    if "value" in record:
        errors = values - float(record["value"])
    else:
        errors = seasonal_differences(frequency.ordinals(times), values, frequency.season)
    return [float(offset) for offset in np.quantile(errors, levels)] if len(errors) else [0.0] * len(levels)
