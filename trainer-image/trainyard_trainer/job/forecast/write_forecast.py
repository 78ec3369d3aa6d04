"""Forecast the steps after the end of each series with the saved model, and write the forecast."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.artifacts.layout import FORECAST, FORECAST_TEXT
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.environment import worker_count
from trainyard_trainer.errors import Interrupted
from trainyard_trainer.frameworks.base import Framework
from trainyard_trainer.frameworks.forecast.columns import Columns, quantile_columns
from trainyard_trainer.frameworks.forecast.quantiles import levels_of
from trainyard_trainer.frameworks.registry import predict_each
from trainyard_trainer.job.forecast.files import STEP, TIME, ForecastWriter, Origin, are_days
from trainyard_trainer.job.forecast.requests import prediction_requests
from trainyard_trainer.progress.port import Progress

PREDICTION: Final = "prediction"

PLOTTED_SERIES: Final = 6
"""The report plots the forecast of this many series, those with the largest volume."""


@dataclass(frozen=True)
class WrittenForecast:
    """The written forecast.

    Attributes
    ----------
    files
        File names in the output folder, the Parquet file first.
    plotted
        The rows of a few series, largest volume first: ``series``, ``time`` by the clock of the dataset, ``step``,
        ``prediction`` and the quantiles.
    warnings
        Warnings for readers of the files.
    """

    files: tuple[str, ...]
    plotted: pd.DataFrame
    warnings: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The file for programs."""
        return self.files[0]


def write_forecast(
    framework: Framework,
    model: Any,
    dataset: Dataset,
    config: TrainerConfig,
    output: Path,
    *,
    version: int,
    progress: Progress,
    stop: Callable[[], bool],
) -> WrittenForecast:
    """Forecast the horizon after the last row of each series, and write the files into ``output``.

    Parameters
    ----------
    model
        The loaded model. It is the one to serve, not the judged one.
    config
        Its task must be Forecast.
    version
        The version number that is reserved for this training.

    Raises
    ------
    Interrupted
        If ``stop`` returns true between two parts.
    """
    spec = config.spec
    if spec.forecast is None:
        raise AssertionError("task Forecast has the section forecast: TrainingJobSpec checks it")
    columns = Columns.of(dataset, spec.data)
    requests, sent = tee(prediction_requests(dataset, columns, spec.forecast.horizon))
    predicting = predict_each(framework, model, (request.inputs for request in sent), worker_count(spec.workers))
    names = [PREDICTION, *quantile_columns(levels_of(spec))]
    largest, total, done, undefined = _largest(dataset), len(dataset.series), 0, 0
    plotted: dict[str, pd.DataFrame] = {}
    origin = Origin(config.model_name, version, config.uid)
    writer = ForecastWriter(output, dataset.clock, days=_are_days(dataset), predictions=names, origin=origin)
    with writer, closing(predicting) as predicted:
        for request in requests:
            if stop():
                raise Interrupted(
                    "stopped while the forecast was written; nothing was registered, the next attempt continues "
                    "from the finished work"
                )
            predictions = next(predicted)[names].astype(np.float64)
            finite = np.isfinite(predictions)
            undefined += int((~finite).sum().sum())
            writer.add(request.names, request.ends, request.times, predictions.where(finite))
            for index, name in enumerate(request.names):
                if name in largest:
                    plotted[name] = _plotted_rows(
                        name, request.times[index], predictions.iloc[index * request.times.shape[1] :]
                    )
            done += len(request.names)
            progress(done / total, f"forecast {done} of {total} series")
    warnings = (
        (f"{undefined} values of the forecast are not finite: they are empty in {FORECAST}",) if undefined else ()
    )
    return WrittenForecast(
        (FORECAST, FORECAST_TEXT), pd.concat([plotted[name] for name in largest], ignore_index=True), warnings
    )


def _are_days(dataset: Dataset) -> bool:
    frequency = frequency_of(dataset.frequency or "D")
    ends = dataset.frame["ds"].to_numpy()[[request.stop - 1 for request in dataset.series]]
    return are_days(np.concatenate([ends, frequency.after(ends, 1).ravel()]), dataset.clock)


def _largest(dataset: Dataset) -> list[str]:
    """Return the names of the series with the largest volume."""
    sizes = np.abs(dataset.frame["y"].to_numpy(dtype=np.float64))
    volumes = [float(sizes[request.start : request.stop].sum()) for request in dataset.series]
    order = np.argsort(np.negative(volumes), kind="stable")[:PLOTTED_SERIES]
    return [dataset.series[index].name for index in order]


def _plotted_rows(name: str, times: Any, predictions: pd.DataFrame) -> pd.DataFrame:
    rows = predictions.iloc[: len(times)].reset_index(drop=True)
    return pd.concat([pd.DataFrame({"series": name, TIME: times, STEP: np.arange(1, len(times) + 1)}), rows], axis=1)
