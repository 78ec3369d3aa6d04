"""Map names to frameworks. Each library is imported only if a job needs it."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from trainyard_api.data import Data
from trainyard_api.training import Framework as FrameworkName
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.environment import worker_count
from trainyard_trainer.errors import ConfigError, Unsupported
from trainyard_trainer.frameworks.base import Framework
from trainyard_trainer.frameworks.lightgbm.library import import_lightgbm

if TYPE_CHECKING:
    import pandas as pd


def framework_for(config: TrainerConfig) -> Framework:
    """Return the framework of a job, after a check of its specification.

    Raises
    ------
    Unsupported
        For a valid setting that this release does not support. The message names the field.
    ConfigError
        If the framework rejects the specification.
    """
    refuse_later_features(config)
    _check_export(config.spec)
    framework = framework_named(config.spec.framework, forecast=config.spec.task == "Forecast")
    framework.check(config)
    return framework


def start_early(spec: TrainingJobSpec) -> None:
    """Start slow processes before the trainer imports its libraries and reads the data.

    This is the fork server of worker processes. It is started for jobs that probably need it: those with many series on
    more than one processor.
    """
    if spec.data.series is None or worker_count(spec.workers) <= 1:
        return
    if spec.framework == "Prophet":
        from trainyard_trainer.frameworks.prophet.server import start

        start(search=spec.search is not None)
    elif spec.framework == "StatsForecast":
        from trainyard_trainer.frameworks.statsforecast.server import start as start_stats

        start_stats()


def predict_each(
    framework: Framework, model: Any, tables: Iterable[pd.DataFrame], workers: int
) -> Generator[pd.DataFrame]:
    """Yield the predictions of ``framework.predict`` for each table, in order.

    With a model per series, several processes predict.

    Parameters
    ----------
    model
        The result of ``framework.load``.
    """
    if framework.name == "Prophet" and workers > 1:
        from trainyard_trainer.frameworks.prophet.predictions import predict_on_processes

        return predict_on_processes(model, tables, workers)
    return (framework.predict(model, table) for table in tables)


def framework_named(name: FrameworkName, *, forecast: bool) -> Framework:
    """Return a framework by name. Raises Unsupported for user code, and ImportError if a library is missing."""
    if name == "Container":
        raise Unsupported(
            "spec.framework Container runs an image in the pod of a job; apply the TrainingJob to a cluster"
        )
    if name == "Script":
        raise Unsupported("spec.framework Script runs your own code; the trainer cannot load its model")
    if name in {"Auto", "LightGBM"}:
        import_lightgbm()
    module, made = (_FORECASTS if forecast else _TABLES)[name]
    found: Framework = getattr(importlib.import_module(f"{__package__}.{module}"), made)()
    return found


_TORCH: Final = ("torch.framework", "TorchFramework")
_PROPHET: Final = ("prophet.framework", "ProphetFramework")
_STATSFORECAST: Final = ("statsforecast.framework", "StatsForecastFramework")
_FORECASTS: Final[Mapping[str, tuple[str, str]]] = {
    "Auto": ("auto.framework", "AutoForecastFramework"),
    "LightGBM": ("lightgbm_forecast.framework", "LightGBMForecastFramework"),
    "Prophet": _PROPHET,
    "StatsForecast": _STATSFORECAST,
    "Torch": _TORCH,
}
_TABLES: Final[Mapping[str, tuple[str, str]]] = {
    "Auto": ("auto.tables", "AutoTableFramework"),
    "LightGBM": ("lightgbm.framework", "LightGBMFramework"),
    "Prophet": _PROPHET,  # its own check requires a forecast
    "StatsForecast": _STATSFORECAST,
    "Torch": _TORCH,
}
"""Module below this package and class, by framework. A library is imported only if it is needed."""


def _check_export(spec: TrainingJobSpec) -> None:
    """Raise Unsupported if a model has no ONNX form. If it were silently left out, users would notice it too late."""
    has_none = spec.framework in {"Auto", "StatsForecast", "Prophet"}
    trees_of_series = spec.framework == "LightGBM" and spec.task == "Forecast"
    if spec.export is not None and spec.export.onnx and (has_none or trees_of_series):
        raise Unsupported(
            f"spec.export.onnx: framework {spec.framework} with task {spec.task} has no ONNX export; leave it out, or "
            "use framework Torch"
        )


def refuse_later_features(config: TrainerConfig) -> None:
    """Raise Unsupported for a request that this release does not support, ConfigError for one that is impossible."""
    spec = config.spec
    if spec.search is not None and spec.search.space is not None:
        from trainyard_trainer.search.space import parse

        parse(spec.search.space)
    check_shards(spec)
    _check_covariates(spec.data)
    if spec.data.time_zone is not None:
        from trainyard_trainer.data.values.zones import check_zone

        check_zone(spec.data.time_zone)


def check_shards(spec: TrainingJobSpec) -> None:
    """Raise Unsupported unless the work can be shared. Only frameworks with a model per series support shards."""
    if spec.shards > 1 and (spec.framework != "Prophet" or spec.mode != "Train"):
        raise Unsupported(
            f"spec.shards {spec.shards} needs a model per series, which only framework Prophet with mode Train has; "
            f"leave it out for {spec.framework if spec.mode == 'Train' else f'mode {spec.mode}'}"
        )


def _check_covariates(data: Data) -> None:
    names = Counter(covariate.name for covariate in data.covariates or ())
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ConfigError(f"spec.data.covariates contains {twice[0]!r} twice; give each covariate its own name")
    if names and not data.time:
        raise ConfigError("spec.data.covariates are joined by time; set spec.data.time to the time column of the data")
