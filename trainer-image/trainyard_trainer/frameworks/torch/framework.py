"""Torch: a network for tables, and one global network for forecasts. Torch is only imported for training.

Saved models run in onnxruntime, here and in a server: see ``torch_model``.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import GOLDEN_SERIES, Dataset, Parts
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.errors import ConfigError, Unsupported
from trainyard_trainer.evaluate import names
from trainyard_trainer.evaluate.forecasts import judge
from trainyard_trainer.evaluate.judgement import Judgement
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.evaluate.rows import judge_classes, judge_numbers
from trainyard_trainer.frameworks.base import GOLDEN_ROWS, Context, Evaluation, Golden, OnnxModel, Refreshed, Trained
from trainyard_trainer.frameworks.forecast.checks import check_forecast
from trainyard_trainer.frameworks.forecast.columns import as_asked, require_same_steps
from trainyard_trainer.frameworks.forecast.quantiles import with_quantiles
from trainyard_trainer.frameworks.prophet.public_holidays import check_country
from trainyard_trainer.frameworks.thresholds import note_of
from trainyard_trainer.frameworks.torch import parameters as torch_parameters
from trainyard_trainer.frameworks.torch import windows as torch_windows
from trainyard_trainer.frameworks.torch.calendar import times_of
from trainyard_trainer.frameworks.torch.model import FORMATS, ForecastModel, KnownRows, TabularModel, load
from trainyard_trainer.frameworks.torch.refresh import refreshed
from trainyard_trainer.frameworks.torch.rows import PREDICTION
from trainyard_trainer.search.tunable import Tunable

FORMAT: Final = FORMATS[1]
"""The format that a server reads."""


class TorchFramework:
    """Neural networks."""

    name = "Torch"
    format = FORMAT

    def check(self, config: TrainerConfig) -> None:
        """Check task, options and parameters, and whether this image has Torch."""
        spec = config.spec
        names.check_metrics(spec)
        torch_parameters.check_names(spec.parameters or {}, spec.task, "spec.parameters")
        if spec.search is not None:
            torch_parameters.check_names(spec.search.space or {}, spec.task, "spec.search.space")
        if spec.shards > 1:
            raise ConfigError("spec.shards must be 1, because one network is trained on all series; leave it out")
        if spec.task == "Forecast":
            _check_forecast(config)
            torch_parameters.forecast(spec.parameters or {})
        else:
            torch_parameters.tabular(spec.parameters or {})
        try:
            import torch  # noqa: F401
        except ModuleNotFoundError as error:
            raise Unsupported(
                "this image has no Torch; set spec.image to an image that has it, or for all jobs the chart's "
                "trainer.imageByFramework.Torch"
            ) from error

    def tunable(self, dataset: Dataset, context: Context) -> Tunable | None:
        """Return the network for a parameter search."""
        return _TorchTunable(dataset, context)

    def train(self, dataset: Dataset, context: Context) -> Trained:
        """Train with early stopping on the validation part, then on all rows for the best number of epochs."""
        if dataset.task == "Forecast":
            from trainyard_trainer.frameworks.torch.fit_series import train_series

            return train_series(dataset, context)
        from trainyard_trainer.frameworks.torch.fit_rows import train_rows

        return train_rows(dataset, context)

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:
        """Evaluate on the test part or the holdouts, compared with the same naive models as in other frameworks."""
        context.progress(0.0, "judging the held-out rows")
        model: TabularModel | ForecastModel = trained.model
        match model:
            case TabularModel():
                found, golden = _judge_rows(dataset, trained.judged), _golden_rows(dataset, model)
            case ForecastModel():
                found, golden = _judge_series(dataset, trained.judged, context), _golden_steps(dataset, model)
        context.progress(1.0, f"judged {len(found.holdout)} rows", _shown(found.metrics))
        return Evaluation(
            found.metrics, found.table, golden, holdout=found.holdout, notes=found.notes, baseline=found.baseline
        )

    def load(self, folder: Path) -> TabularModel | ForecastModel:
        """Read the files that ``train`` wrote. This does not need Torch."""
        return load(folder)

    def predict(self, model: TabularModel | ForecastModel, inputs: pd.DataFrame) -> pd.DataFrame:
        """Return predictions for raw rows, or for times of series after their last known one.

        Returns
        -------
        ``prediction``, and for classes ``probability:<class>`` each, for forecasts ``quantile:<level>`` for each of
        ``spec.forecast.quantiles``, in the order of the rows.

        Raises
        ------
        DataError
            If a column is missing, a series is unknown, or a time is not after the last known one.
        """
        return model.predict(inputs)

    def learned_until(self, model: ForecastModel) -> Mapping[str, np.datetime64]:
        """Return the end of each series in the training."""
        return model.learned_until

    def forecast_holdouts(self, model: ForecastModel, dataset: Dataset) -> Floats:
        """Forecast held-out rows from the rows before them: see ``ForecastFramework``.

        Unknown series can also be forecast.
        """
        require_same_steps(dataset, model.description.columns, model.description.frequency)
        rows = KnownRows.of(model, dataset)
        asked = [rows.holdout(one) for one in dataset.series]
        return np.concatenate(torch_windows.forecast(asked, model.description, model.run))

    def refreshed(self, model: ForecastModel, dataset: Dataset) -> Refreshed:
        """Return the network with the newest steps of a dataset as its input: see ``ForecastFramework``.

        A new series is forecast by the same network, with its own scale. No series is left out.
        """
        return refreshed(model, dataset)

    def to_onnx(self, model: TabularModel | ForecastModel) -> OnnxModel:
        """Return the network, which is already saved as ONNX."""
        return model.as_onnx()


class _TorchTunable:
    """The network of a dataset, for a parameter search."""

    def __init__(self, dataset: Dataset, context: Context) -> None:
        self._dataset, self._context = dataset, context

    def space(self) -> Mapping[str, Any]:
        """Return the default search space."""
        return torch_parameters.space(self._dataset.task)

    def score(self, parameters: Mapping[str, Any], report: Callable[[int, float], None]) -> float:
        """Train once, and evaluate on the validation part or at rolling origins before the holdouts."""
        if self._dataset.task == "Forecast":
            from trainyard_trainer.frameworks.torch.fit_series import score_series

            return score_series(self._dataset, self._context, parameters, report)
        from trainyard_trainer.frameworks.torch.fit_rows import score_rows

        return score_rows(self._dataset, self._context, parameters, report)


def _check_forecast(config: TrainerConfig) -> None:
    spec = config.spec
    check_country(check_forecast(spec).holidays_country)


def _parts(dataset: Dataset) -> Parts:
    if dataset.parts is None:
        raise ConfigError("Torch needs a table with a split for this task")
    return dataset.parts


def _judge_rows(dataset: Dataset, model: TabularModel) -> Judgement:
    parts = _parts(dataset)
    target = dataset.frame[dataset.target].to_numpy(dtype=np.float64)
    predictions = model.predict(dataset.frame.iloc[parts.test])
    actual, known = target[parts.test], target[np.concatenate([parts.train, parts.validation])]
    if dataset.classes:
        probabilities = predictions.drop(columns=PREDICTION).to_numpy(dtype=np.float64)
        found = judge_classes(
            actual.astype(np.intp), probabilities, known.astype(np.intp), dataset.classes, model.description.threshold
        )
        note = note_of(dataset, model.description.threshold, model.description.threshold_by)
        return dataclasses.replace(found, notes=(*note, *found.notes))
    return judge_numbers(actual, predictions[PREDICTION].to_numpy(dtype=np.float64), known)


def _golden_rows(dataset: Dataset, model: TabularModel) -> Golden:
    rows = _parts(dataset).test[:GOLDEN_ROWS]
    raw = dataset.frame.iloc[rows, : len(dataset.features)].reset_index(drop=True)
    asked = raw.astype(dict.fromkeys(dataset.categories, object))
    return Golden(asked, model.predict(asked))


def _judge_series(dataset: Dataset, model: ForecastModel, context: Context) -> Judgement:
    from trainyard_trainer.frameworks.torch.material import Material, holdouts

    parameters = torch_parameters.forecast(context.parameters).of_length(model.description.length)
    material = Material(dataset, context, parameters)
    cuts = holdouts(dataset)
    forecasts = material.forecasts(cuts, model.run)
    quantiles = model.quantiles.at_forecasts(forecasts, material.steps(cuts))
    found = with_quantiles(judge(forecasts, material.baseline.name), model.quantiles.levels, quantiles)
    return dataclasses.replace(found, notes=(material.baseline.note, *found.notes))


def _golden_steps(dataset: Dataset, model: ForecastModel) -> Golden:
    inputs = pd.concat(
        [_next_rows(model, name) for name in model.contexts if name in dataset.golden_series], ignore_index=True
    )
    return Golden(inputs, model.predict(inputs))


def _next_rows(model: ForecastModel, series: str) -> pd.DataFrame:
    """Return the first steps after the end of a series, as a caller would request them, with regressors at their
    mean.
    """
    columns, last = model.description.columns, model.contexts[series].last
    frequency = frequency_of(model.description.frequency)
    steps = np.arange(1, min(model.description.horizon, GOLDEN_ROWS // GOLDEN_SERIES) + 1)
    table = pd.DataFrame({columns.time: as_asked(times_of(last, steps, frequency), columns.clock)})
    if columns.series is not None:
        table[columns.series] = series
    for name, scale in zip(columns.regressors, model.description.regressor_scales, strict=True):
        table[name] = scale.mean
    return table


def _shown(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: metrics[name] for name in (names.SKILL,) if name in metrics}
