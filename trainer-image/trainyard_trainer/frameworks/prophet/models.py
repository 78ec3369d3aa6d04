"""The model of one series, Prophet or a fallback, with one interface: fit or read, predict, save."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from trainyard_trainer.data.values.frequency import Frequency
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.prophet.fallbacks import fallback_at, fit_fallback, seasons_ahead
from trainyard_trainer.frameworks.prophet.quantiles import Quantiles, drawn, offsets_of
from trainyard_trainer.frameworks.prophet.series import (
    Fitted,
    Kind,
    Task,
    Times,
    fit,
    floor_of,
    forecast_at,
    prophet_record,
    read_prophet,
)


class SeriesModel(Protocol):
    """The model of one series."""

    def predict(self, times: Times, regressors: Floats | None, quantiles: Quantiles) -> Floats:
        """Return the forecasts at ``times``, in their order, and the quantiles; shape (times, 1 + levels).

        ``regressors`` has the shape (times, regressors of the model). NaN is replaced by the mean of the training.
        """
        ...

    def record(self) -> dict[str, Any]:
        """Return the record to save, as plain JSON."""
        ...


@dataclass(frozen=True)
class ProphetModel:
    """A Prophet model. Forecasts are not below ``floor``."""

    fitted: Fitted
    floor: float | None

    def predict(self, times: Times, regressors: Floats | None, quantiles: Quantiles) -> Floats:
        """Forecast, and sample the quantiles."""
        forecast = forecast_at(self.fitted, times, regressors, floor=self.floor)
        if not quantiles.levels:
            return forecast[:, None]
        return np.column_stack([forecast, drawn(self.fitted, times, regressors, quantiles, self.floor)])

    def record(self) -> dict[str, Any]:
        """Return Prophet's JSON, and the additional fields."""
        return prophet_record(self.fitted, self.floor)


@dataclass(frozen=True)
class FallbackModel:
    """A fallback. Its record is its complete state."""

    fields: Mapping[str, Any]

    def predict(self, times: Times, regressors: Floats | None, quantiles: Quantiles) -> Floats:  # noqa: ARG002
        """Forecast. Quantiles of a repeated season widen with the square root of the number of seasons ahead."""
        forecast = fallback_at(self.fields, times)[:, None]
        if not quantiles.levels:
            return forecast
        spread = np.sqrt(seasons_ahead(self.fields, times))[:, None]
        around = forecast + spread * np.array(self.fields["offsets"])
        floor = self.fields["floor"]
        return np.column_stack([forecast, around if floor is None else np.maximum(around, floor)])

    def record(self) -> dict[str, Any]:
        """Return the fields."""
        return dict(self.fields)


def fit_model(
    kind: Kind, task: Task, rows: slice, frequency: Frequency, parameters: Mapping[str, Any], levels: tuple[float, ...]
) -> SeriesModel:
    """Fit a model of a kind to some rows of a series. ``levels`` are the levels of its quantiles.

    Raises
    ------
    Exception
        Any error of Prophet or statsforecast.
    """
    times, values = task.times[rows], task.values[rows]
    if kind == "prophet":
        return ProphetModel(fit(task, rows, frequency, parameters), floor_of(values))
    fields = fit_fallback(kind, times, values, frequency)
    if levels:
        fields |= {"offsets": offsets_of(fields, times, values, frequency, levels), "floor": floor_of(values)}
    return FallbackModel(fields)


def read_model(record: Mapping[str, Any]) -> SeriesModel:
    """Return the model of a saved record."""
    if record["kind"] == "prophet":
        return ProphetModel(read_prophet(record), record["floor"])
    return FallbackModel(record)
