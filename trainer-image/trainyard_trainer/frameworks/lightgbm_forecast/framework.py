"""LightGBM for forecasts: one model of all series, each beside a naive forecast of the same holdout."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.trainingjob import SeriesCount
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.data.dataset import GOLDEN_SERIES, Dataset
from trainyard_trainer.data.frequency import frequency_of
from trainyard_trainer.errors import ConfigError, Unsupported
from trainyard_trainer.evaluate import names
from trainyard_trainer.evaluate.forecasts import judge
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.base import (
    GOLDEN_ROWS,
    Context,
    Evaluation,
    Golden,
    OnnxModel,
    Trained,
    Tunable,
)
from trainyard_trainer.frameworks.forecast_baseline import Baseline
from trainyard_trainer.frameworks.forecast_columns import Columns, as_asked, read_questions, require_same_steps
from trainyard_trainer.frameworks.forecast_quantiles import ErrorQuantiles, levels_of, no_windows, with_quantiles
from trainyard_trainer.frameworks.lightgbm import parameters as lightgbm_parameters
from trainyard_trainer.frameworks.lightgbm.tunable import ForecastTunable
from trainyard_trainer.frameworks.lightgbm_forecast.features import times_after
from trainyard_trainer.frameworks.lightgbm_forecast.fit import Choice, Fitter, rounds_of
from trainyard_trainer.frameworks.lightgbm_forecast.model import ForecastModel, load_forecast_model
from trainyard_trainer.frameworks.lightgbm_forecast.origins import Rows, Unit
from trainyard_trainer.frameworks.prophet.public_holidays import check_country

FORMAT: Final = "lightgbm-forecast"
PREDICTION: Final = "prediction"


@dataclass(frozen=True)
class Fitted:
    """The model that is kept, the one that had not seen the holdouts, and what it said of them, series by series."""

    kept: ForecastModel
    judged: ForecastModel
    units: tuple[Unit, ...]
    forecasts: Floats
    rows: Rows

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """How many steps ahead each of the forecasts was made, from 1 on."""
        return self.rows.places(self.units)[1] + 1


class LightGBMForecastFramework:
    """Gradient boosted trees over the lags of all series together."""

    name = "LightGBM"

    def check(self, config: TrainerConfig) -> None:
        """Judge options and parameters; LightGBM itself tries the values on a few made-up rows."""
        spec = config.spec
        if spec.forecast is None:
            raise ConfigError("task Forecast needs the section forecast (at least forecast.horizon)")
        if spec.data.features:
            raise Unsupported("spec.data.features with task Forecast comes with a later release; leave it out for now")
        if spec.split is not None and spec.split.strategy not in {"Auto", "Time"}:
            raise ConfigError(
                f"spec.split.strategy {spec.split.strategy} would let a forecast see the future; use Time"
            )
        names.check_metrics(spec)
        if spec.forecast.frequency != "Auto":
            frequency_of(spec.forecast.frequency)
        check_country(spec.forecast.holidays_country)
        lightgbm_parameters.try_out(spec.parameters or {}, "Regression")
        lightgbm_parameters.check_space(spec)

    def tunable(self, dataset: Dataset, context: Context) -> Tunable | None:
        """Return the one model as something to search parameters for; the windows before the holdout judge."""
        return ForecastTunable(dataset, context)

    def train(self, dataset: Dataset, context: Context) -> Trained:
        """Choose lags and rounds on the windows before the holdout, then fit without the holdout and with it.

        Raises
        ------
        DataError
            If every series is too short for lags, or for the windows that tell quantiles.
        Interrupted
            When the pod must stop.
        """
        lightgbm.register_logger(logging.getLogger("lightgbm"))
        fitter = Fitter(dataset, context)
        parameters = fitter.parameters(context.parameters)
        chosen = fitter.choose(parameters, lambda done, text: context.progress(0.6 * done, text))
        final = rounds_of(parameters, chosen.rounds)
        threads = parameters["num_threads"]
        quantiles = _quantiles(fitter, chosen, final, levels_of(context.config.spec))
        units = tuple(Unit(number, one.split, one.stop) for number, one in enumerate(dataset.series))
        judged = fitter.fit(chosen.recipe, fitter.splits, final, fitter.plain(0.6, 0.8))
        forecasts = fitter.rows.forecast(judged, units, threads)
        trees = fitter.fit(chosen.recipe, fitter.stops, final, fitter.plain(0.8, 1.0))
        ends = tuple(Unit(number, one.stop, one.stop) for number, one in enumerate(dataset.series))
        data = context.config.spec.data
        columns = Columns(data.time or "ds", data.series, dataset.features, dataset.clock)
        quantiles = quantiles.ending(dataset, fitter.rows.frequency.season)
        kept = ForecastModel(trees, fitter.rows.state(chosen.recipe, ends), columns, fitter.horizon, quantiles)
        at_split = ForecastModel(judged, fitter.rows.state(chosen.recipe, units), columns, fitter.horizon, quantiles)
        fitted = Fitted(kept, at_split, units, forecasts, fitter.rows)
        beside = (f"{JUDGED}/{name}" for name in at_split.save(context.output / JUDGED))
        short = int((~kept.state.fitted).sum())
        return Trained(
            formats=(FORMAT,),
            files=(*kept.save(context.output), *beside),
            model=fitted,
            judged=at_split,
            parameters={
                **parameters,
                "best_iteration": chosen.rounds,
                "frequency": dataset.frequency,
                "features": chosen.recipe.names,
                "base": None if chosen.recipe.base is None else chosen.recipe.names[chosen.recipe.base],
            },
            series=SeriesCount(
                total=dataset.series_total,
                trained=len(dataset.series) - short,
                fallback=short,
                failed=dataset.series_total - len(dataset.series),
            ),
            warnings=_warnings(chosen.recipe.shortest, short),
        )

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:
        """Judge the forecasts of the holdouts, per series and over all rows together."""
        fitted: Fitted = trained.model
        forecasts = fitted.rows.judged(fitted.units, fitted.forecasts)
        baseline = fitted.rows.baseline
        quantiles = fitted.kept.quantiles
        found = with_quantiles(
            judge(forecasts, baseline.name), quantiles.levels, quantiles.beside(forecasts, fitted.steps)
        )
        text = f"judged {len(found.holdout)} rows of {len(dataset.series)} series"
        context.progress(1.0, text, {"mae": found.metrics["mae"]})
        return Evaluation(
            metrics=found.metrics,
            table=found.table,
            golden=_golden(dataset, fitted.kept),
            importance=_importance(fitted.kept),
            holdout=found.holdout,
            notes=(baseline.note, *found.notes),
            baseline=found.baseline,
        )

    def load(self, folder: Path) -> ForecastModel:
        """Read ``model.txt``, ``model.json`` and ``state.parquet``."""
        return load_forecast_model(folder)

    def predict(self, model: ForecastModel | Fitted, inputs: pd.DataFrame) -> pd.DataFrame:
        """Answer times of series, up to the horizon behind the newest row that the model knows.

        Parameters
        ----------
        inputs
            The user's time column and, where the model has them, the series column and the covariates. A lag that lies
            between the last known row and the asked one is forecast on the way; covariates of steps on the way that
            are not asked for count as missing.

        Returns
        -------
        ``prediction``, one number per row in the order of the rows, and ``quantile:<level>`` for each of
        ``spec.forecast.quantiles``.

        Raises
        ------
        DataError
            If a column is missing, a series is not known, or a time is outside the horizon.
        """
        known = model.kept if isinstance(model, Fitted) else model
        return _answers(known, inputs)

    def learned_until(self, model: ForecastModel) -> Mapping[str, np.datetime64]:
        """Return where each series ends that the trees have learned."""
        return dict(zip(model.state.names, model.state.ends, strict=True))

    def forecast_holdouts(self, model: ForecastModel, dataset: Dataset) -> Floats:
        """Forecast held-out rows from what lies before them: see ``ForecastFramework``. Any series can be answered."""
        require_same_steps(dataset, model.columns, model.trees.frequency.alias)
        frequency = model.trees.frequency
        rows = Rows.of(dataset, frequency, model.columns.regressors, Baseline("last value", frequency))
        units = tuple(Unit(number, one.split, one.stop) for number, one in enumerate(dataset.series))
        return rows.forecast(model.trees, units, 0)

    def to_onnx(self, model: Any) -> OnnxModel | None:  # noqa: ARG002 - the protocol's
        """Return nothing: a walk over a horizon is no single graph of trees."""
        return None


def _quantiles(fitter: Fitter, chosen: Choice, parameters: dict[str, Any], levels: tuple[float, ...]) -> ErrorQuantiles:
    """Return by what a fit on the rows before the windows misses these; without levels nothing is fitted."""
    if not levels:
        return ErrorQuantiles()
    if fitter.origins is None:
        raise no_windows(fitter.rows.dataset.origin.uri)
    units = fitter.origins.units
    trees = fitter.fit(chosen.recipe, fitter.origins.cuts, parameters, fitter.plain(0.6, 0.6))
    forecasts = fitter.rows.forecast(trees, units, parameters["num_threads"])
    steps = fitter.rows.places(units)[1] + 1
    return ErrorQuantiles.of(levels, fitter.horizon, fitter.rows.judged(units, forecasts), steps)


def _answers(model: ForecastModel, inputs: pd.DataFrame) -> pd.DataFrame:
    columns = [PREDICTION, *model.quantiles.columns]
    if inputs.empty:
        return pd.DataFrame(np.empty((0, len(columns))), columns=columns)
    return pd.DataFrame(model.answer(read_questions(inputs, model.columns)), columns=columns)


def _warnings(shortest: int, short: int) -> tuple[str, ...]:
    if not short:
        return ()
    return (f"{short} series are answered by the seasonal naive model: they have fewer than {shortest} steps",)


def _golden(dataset: Dataset, model: ForecastModel) -> Golden:
    """Return the first steps behind the ends of a few series; covariates stand there with the holdout's values."""
    count = max(1, min(model.horizon, GOLDEN_ROWS // GOLDEN_SERIES))
    columns = model.columns
    inputs = []
    for number, series in enumerate(dataset.series):
        if series.name not in dataset.golden_series:
            continue
        steps = min(count, series.holdout) if columns.regressors else count
        times = times_after(model.state.ends[[number]], steps, model.trees.frequency)[0]
        table = pd.DataFrame({columns.time: as_asked(times, columns.clock)})
        if columns.series is not None:
            table[columns.series] = series.name
        for name in columns.regressors:
            table[name] = dataset.frame[name].iloc[series.split : series.split + steps].to_numpy()
        inputs.append(table)
    asked = pd.concat(inputs, ignore_index=True)
    return Golden(asked, _answers(model, asked))


def _importance(model: ForecastModel) -> pd.DataFrame:
    gain = model.trees.booster.feature_importance("gain")
    table = pd.DataFrame({"feature": model.trees.recipe.names, "gain": gain})
    return table.sort_values("gain", ascending=False, ignore_index=True)
