"""Checks of a specification for all frameworks for forecasts, and warnings about unused parts of a dataset."""

from trainyard_api.training import Forecast
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.evaluate import names


def check_forecast(spec: TrainingJobSpec) -> Forecast:
    """Return the section of the forecast. Raises ConfigError, which names the field and a valid value."""
    if spec.forecast is None:
        raise ConfigError("task Forecast needs spec.forecast (at least forecast.horizon)")
    if spec.split is not None and spec.split.strategy not in {"Auto", "Time"}:
        raise ConfigError(f"spec.split.strategy {spec.split.strategy} would train a forecast on future rows; use Time")
    names.check_metrics(spec)
    if spec.forecast.frequency != "Auto":
        frequency_of(spec.forecast.frequency)
    return spec.forecast


def unused_columns(dataset: Dataset) -> tuple[str, ...]:
    """Return the warnings of a framework that uses neither ``data.static`` nor covariates that are not known in the
    future.
    """
    found = []
    if names := dataset.static.names:
        found.append(f"the columns {', '.join(names)} of data.static are not used: only LightGBM uses them")
    if names := dataset.lagged:
        found.append(f"{', '.join(names)} are not known in the future and not used: only LightGBM uses such columns")
    return tuple(found)
