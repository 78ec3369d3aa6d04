"""The version that predicts, and how its training has read the data."""

from dataclasses import dataclass
from typing import Any, Final, Self, cast

from pydantic import ValidationError

from trainyard_api.data import Data, DataValidation
from trainyard_api.predictionjob import PredictionData
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import PredictionConfig, TrainerConfig
from trainyard_trainer.artifacts.manifest import Manifest, VersionRequest
from trainyard_trainer.artifacts.stored_run import StoredRun, open_run
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import ConfigError, Unsupported
from trainyard_trainer.messages import messages_of

_ANY_ROWS: Final = DataValidation(
    min_points=1, recommended_points=1, max_zero_ratio=1, min_series=1, max_failed_ratio=1
)
"""Predictions need fewer rows than a training, and one series that cannot be read does not stop the others."""


@dataclass(frozen=True)
class Opened:
    """A version with a verified manifest.

    Attributes
    ----------
    training
        A training on the data of the PredictionJob. It is never trained, but the data is read as its data would be.
    """

    config: PredictionConfig
    run: StoredRun
    training: TrainerConfig

    @property
    def manifest(self) -> Manifest:
        """The manifest of the version."""
        return self.run.manifest

    @classmethod
    def of(cls, config: PredictionConfig, env: Environment) -> Self:
        """Read the manifest of the version.

        Raises
        ------
        InputMissing, DataError
            If the manifest does not exist, or is not the one that was registered.
        Unsupported
            If the version cannot predict in this way.
        ConfigError
            If the specification does not fit the version.
        """
        run = open_run(config.artifact, config.storage, env)
        return cls(config, run, _training(config, run.manifest))


def _training(config: PredictionConfig, manifest: Manifest) -> TrainerConfig:
    asked = manifest.asked
    if asked is None or asked.data is None:
        raise Unsupported(
            f"version {config.version} of model {config.model_name} was trained by a release that did not record the "
            "roles of its columns; train a new version"
        )
    forecasts = manifest.task == "Forecast"
    if config.spec.horizon is not None and not forecasts:
        raise ConfigError(f"spec.horizon is for forecasts; the task of model {config.model_name} is {manifest.task}")
    if config.spec.data.keep and forecasts:
        raise ConfigError("spec.data.keep is for tables; the rows of a forecast have their series and time")
    fields: dict[str, Any] = {
        "framework": manifest.framework,
        "task": manifest.task,
        "data": _data(asked.data, config.spec.data, manifest),
        "storage": config.storage,
        "workers": config.spec.workers,
    }
    if forecasts:
        fields["forecast"] = _forecast(config, asked, manifest)
    try:
        # Not validated again: a local storage is allowed, and parts of a training are not set.
        spec = TrainingJobSpec.model_construct(**{**_defaults(), **fields})
    except ValidationError as error:
        raise ConfigError("; ".join(messages_of(error))) from error
    return TrainerConfig.model_construct(
        namespace=config.namespace,
        name=config.name,
        uid=config.uid,
        attempt=config.attempt,
        model_name=config.model_name,
        spec=spec,
        progress_url=config.progress_url,
        champion=None,
        image=config.image,
    )


def _defaults() -> dict[str, Any]:
    return {
        name: field.get_default() for name, field in TrainingJobSpec.model_fields.items() if not field.is_required()
    }


def _data(trained_on: Data, given: PredictionData, manifest: Manifest) -> Data:
    """Return the roles of the training's columns with the source of the PredictionJob.

    Columns that only select held-out rows are not read.
    """
    source = {name: getattr(given, name) for name in PredictionData.model_fields if name in Data.model_fields}
    covariates = given.covariates if given.covariates is not None else trained_on.covariates
    return trained_on.model_copy(
        update={
            **source,
            "csv": given.csv or trained_on.csv,
            "covariates": covariates,
            "time_format": trained_on.time_format or manifest.time_form,
            "group": None,
            "key": None,
            "validation": _ANY_ROWS,
        }
    )


def _forecast(config: PredictionConfig, asked: VersionRequest, manifest: Manifest) -> Any:
    if asked.forecast is None:
        raise AssertionError("task Forecast has the section forecast: TrainingJobSpec checks it")
    most = asked.forecast.horizon
    wanted = config.spec.horizon or most
    if wanted > most:
        raise ConfigError(
            f"spec.horizon {wanted} is longer than the horizon of version {config.version}, {most} steps; leave it "
            "out, or train a version with a longer spec.forecast.horizon"
        )
    frequency = cast("str | None", manifest.parameters.get("frequency")) or asked.forecast.frequency
    return asked.forecast.model_copy(update={"horizon": wanted, "frequency": frequency})
