"""Forecasts of the steps after the newest observation of each series, by a model that is not fitted again."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import tee
from typing import Any, Final, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.environment import worker_count
from trainyard_trainer.errors import DataError
from trainyard_trainer.frameworks.base import ForecastFramework
from trainyard_trainer.frameworks.forecast.columns import Columns, quantile_columns
from trainyard_trainer.frameworks.forecast.quantiles import levels_of
from trainyard_trainer.frameworks.registry import predict_each
from trainyard_trainer.job.forecast.files import ForecastRows, Origin, as_written
from trainyard_trainer.job.forecast.requests import prediction_requests
from trainyard_trainer.job.forecast.write_forecast import PREDICTION
from trainyard_trainer.job.predict.opened import Opened
from trainyard_trainer.job.predict.predictions import Predictions
from trainyard_trainer.job.predict.predictor import Predictor
from trainyard_trainer.job.stages import prepare_data
from trainyard_trainer.job.steps import Job
from trainyard_trainer.outputs.base import Facts

_NAMED: Final = 3
_GAPS: Final = 10
"""With fewer pairs of rows, gaps between them do not show another frequency."""

_OF_TRAININGS: Final = frozenset({"CovariateNotKnownInFuture", "FeatureNotKnownInFuture", "ConstantColumn"})
"""Warnings about what a training does with the data."""


def forecast_series(job: Job, opened: Opened, predictor: Predictor) -> Predictions:
    """Read the observations, bring the model to the end of each series, and return its forecasts.

    Raises
    ------
    DataError
        If the observations do not fit the model, or it can forecast none of the series.
    """
    observed = prepare_data(job)
    if (signature := opened.manifest.signature) is not None:
        observed = observed.known_ahead([column.name for column in signature.inputs])
    _require_frequency(observed, opened)
    framework = cast("ForecastFramework", predictor.framework)
    refreshed = framework.refreshed(predictor.model, observed)
    dataset = observed.part(lambda name: name not in refreshed.left_out)
    if not dataset.series:
        name, why = next(iter(refreshed.left_out.items()))
        raise DataError(
            f"{observed.origin.uri}: the model can forecast none of the series; train a new version, or give data "
            f"of its series; {name!r}: {why}"
        )
    left_out = observed.series_total - len(dataset.series)
    names = [PREDICTION, *quantile_columns(levels_of(job.config.spec))]
    origin = Origin(opened.config.model_name, opened.config.version, opened.config.uid)
    rows = ForecastRows(dataset.clock, names, origin)
    facts = Facts(_newest(dataset), len(dataset.series), left_out)
    lost = [0]
    tables = _tables(job, _Forecasts(predictor, refreshed.model, dataset, names, rows, lost))
    warnings = (*refreshed.notes, *_left_out(observed, refreshed.left_out), *_of_data(observed))
    return Predictions(rows.schema, tables, facts, lambda: (*warnings, *_lost(lost[0])))


def _require_frequency(observed: Dataset, opened: Opened) -> None:
    """Check that the rows have the frequency of the training.

    Rows with gaps are allowed if the specification of the training has the frequency.

    Raises
    ------
    DataError
        If most rows share a step with the row before, or most rows come several steps after the row before.
    """
    frequency = frequency_of(observed.frequency or "D")
    ordinals = frequency.ordinals(observed.frame["ds"].to_numpy("datetime64[ns]"))
    within = np.ones(len(ordinals), dtype=np.bool_)
    within[[one.start for one in observed.series]] = False
    gaps = (ordinals - np.roll(ordinals, 1))[within]
    if len(gaps) == 0:
        return
    typical = float(np.median(gaps))
    asked = opened.manifest.asked
    is_detected = asked is not None and asked.forecast is not None and asked.forecast.frequency == "Auto"
    if typical < 1:
        found = "most rows are in the same step as the row before"
    elif is_detected and typical > 1 and len(gaps) >= _GAPS:
        found = f"the rows are typically {typical:g} steps apart"
    else:
        return
    raise DataError(
        f"{observed.origin.uri}: the model has the frequency {frequency.alias}, but {found}; give data with the "
        "frequency of the training"
    )


@dataclass(frozen=True)
class _Forecasts:
    """What is forecast: the model at the ends of the series, the dataset, and the columns of the output."""

    predictor: Predictor
    model: Any
    dataset: Dataset
    names: list[str]
    rows: ForecastRows
    lost: list[int]


def _tables(job: Job, forecasts: _Forecasts) -> Iterator[pa.Table]:
    spec, dataset = job.config.spec, forecasts.dataset
    if spec.forecast is None:
        raise AssertionError("task Forecast has the section forecast: Opened sets it")
    wanted, sent = tee(prediction_requests(dataset, Columns.of(dataset, spec.data), spec.forecast.horizon))
    inputs = (one.inputs for one in sent)
    predicting = predict_each(forecasts.predictor.framework, forecasts.model, inputs, worker_count(spec.workers))
    total, done = len(dataset.series), 0
    with closing(predicting) as predicted:
        for one in wanted:
            predictions = next(predicted)[forecasts.names].astype(np.float64)
            finite = np.isfinite(predictions)
            forecasts.lost[0] += int((~finite).sum().sum())
            done += len(one.names)
            job.tracker(done / total, f"forecast {done} of {total} series")
            yield forecasts.rows.table(forecasts.rows.frame(one.names, one.ends, one.times, predictions.where(finite)))


def _newest(dataset: Dataset) -> str:
    """Return the time of the newest observation in RFC 3339. A time without a zone counts as UTC."""
    ends = dataset.frame["ds"].to_numpy()[[one.stop - 1 for one in dataset.series]]
    newest = pd.Timestamp(as_written(np.array([ends.max()]), dataset.clock).iloc[0])
    instant = newest.tz_localize("UTC") if newest.tzinfo is None else newest.tz_convert("UTC")
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _left_out(observed: Dataset, by_model: Any) -> list[str]:
    """Return warnings about the series that are not forecast: those that cannot be read, and those by the model."""
    reasons = {one.series: one.message for one in observed.findings if one.severity == "error" and one.series}
    found = []
    for what, entries in (("cannot be used", reasons), ("cannot be forecast", by_model)):
        if entries:
            shown = "; ".join(f"{name!r}: {why}" for name, why in list(entries.items())[:_NAMED])
            found.append(f"{len(entries)} series {what} and are left out: {shown}")
    return found


def _of_data(observed: Dataset) -> list[str]:
    """Return the warnings about the whole table."""
    return [
        one.message
        for one in observed.findings
        if one.severity == "warning" and one.series is None and one.code not in _OF_TRAININGS
    ]


def _lost(count: int) -> tuple[str, ...]:
    return (f"{count} values of the forecast are not finite: they are missing in the output",) if count else ()
