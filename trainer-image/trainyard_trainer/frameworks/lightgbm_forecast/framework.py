"""LightGBM for forecasts: one global model of all series, compared with a naive forecast of the same holdout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.evaluate.forecasts import judge
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.base import Context, Evaluation, OnnxModel, Refreshed, Trained
from trainyard_trainer.frameworks.forecast.checks import check_forecast
from trainyard_trainer.frameworks.forecast.columns import read_questions, require_same_steps
from trainyard_trainer.frameworks.forecast.golden import golden_rows
from trainyard_trainer.frameworks.forecast.quantiles import with_quantiles
from trainyard_trainer.frameworks.forecast.rows import Unit
from trainyard_trainer.frameworks.lightgbm import parameters as lightgbm_parameters
from trainyard_trainer.frameworks.lightgbm.tunable import ForecastTunable
from trainyard_trainer.frameworks.lightgbm_forecast.model import ForecastModel, load_forecast_model
from trainyard_trainer.frameworks.lightgbm_forecast.refresh import refreshed, require_columns, rows_of
from trainyard_trainer.frameworks.lightgbm_forecast.training import FORMAT, Fitted, TreesTraining
from trainyard_trainer.frameworks.prophet.public_holidays import check_country
from trainyard_trainer.search.tunable import Tunable

PREDICTION: Final = "prediction"


class LightGBMForecastFramework:
    """Gradient boosted trees on lags of all series."""

    name = "LightGBM"
    format = FORMAT

    def check(self, config: TrainerConfig) -> None:
        """Check options and parameters. LightGBM validates the values on a few synthetic rows."""
        spec = config.spec
        check_country(check_forecast(spec).holidays_country)
        lightgbm_parameters.try_out(spec.parameters or {}, "Regression")
        lightgbm_parameters.check_space(spec)

    def tunable(self, dataset: Dataset, context: Context) -> Tunable | None:
        """Return the global model for a parameter search, which is scored on the windows before the holdout."""
        return ForecastTunable(dataset, context)

    def train(self, dataset: Dataset, context: Context) -> Trained:
        """Choose features and rounds on the windows before the holdout, then fit without the holdout and with it.

        Raises
        ------
        DataError
            If every series is too short for lags, or for the windows of the quantiles.
        Interrupted
            When the pod must stop.
        """
        return TreesTraining(dataset, context).train()

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:
        """Evaluate the forecasts of the holdouts, per series and over all rows."""
        fitted: Fitted = trained.model
        forecasts = fitted.rows.judged(fitted.units, fitted.forecasts)
        baseline = fitted.rows.baseline
        quantiles = fitted.kept.quantiles
        found = with_quantiles(
            judge(forecasts, baseline.name), quantiles.levels, quantiles.at_forecasts(forecasts, fitted.steps)
        )
        text = f"judged {len(found.holdout)} rows of {len(dataset.series)} series"
        context.progress(1.0, text, {"mae": found.metrics["mae"]})
        return Evaluation(
            metrics=found.metrics,
            table=found.table,
            golden=golden_rows(dataset, fitted.kept.ends, lambda asked: _predictions(fitted.kept, asked)),
            importance=_importance(fitted.kept),
            holdout=found.holdout,
            notes=(baseline.note, *found.notes),
            baseline=found.baseline,
        )

    def load(self, folder: Path) -> ForecastModel:
        """Read ``model.txt``, ``model.json`` and ``state.parquet``."""
        return load_forecast_model(folder)

    def predict(self, model: ForecastModel | Fitted, inputs: pd.DataFrame) -> pd.DataFrame:
        """Forecast times of series, up to the horizon after the newest row of the training.

        Parameters
        ----------
        inputs
            The user's time column and, if the model has them, the series column and the covariates. Steps between the
            last known row and the requested one are also forecast. Covariates of such steps are missing unless they are
            requested too.

        Returns
        -------
        ``prediction``, one number per row in the order of the rows, and ``quantile:<level>`` for each of
        ``spec.forecast.quantiles``.

        Raises
        ------
        DataError
            If a column is missing, a series is unknown, or a time is outside the horizon.
        """
        known = model.kept if isinstance(model, Fitted) else model
        return _predictions(known, inputs)

    def learned_until(self, model: ForecastModel) -> Mapping[str, np.datetime64]:
        """Return the end of each series in the training."""
        return model.learned_until

    def forecast_holdouts(self, model: ForecastModel, dataset: Dataset) -> Floats:
        """Forecast held-out rows from the rows before them: see ``ForecastFramework``.

        Unknown series can also be forecast.
        """
        require_same_steps(dataset, model.columns, model.trees.frequency.alias)
        require_columns(model, dataset)
        units = tuple(Unit(number, one.split, one.stop) for number, one in enumerate(dataset.series))
        return rows_of(model, dataset).forecast(model.trees, units, 0)

    def refreshed(self, model: ForecastModel, dataset: Dataset) -> Refreshed:
        """Return the trees with the state at the ends of a dataset: see ``ForecastFramework``.

        A series that is new to the model is forecast by the same trees. No series is left out.
        """
        return refreshed(model, dataset)

    def to_onnx(self, model: Any) -> OnnxModel | None:  # noqa: ARG002 - the protocol's
        """Return ``None``: a recursive forecast is not a single graph."""
        return None


def _predictions(model: ForecastModel, inputs: pd.DataFrame) -> pd.DataFrame:
    columns = [PREDICTION, *model.quantiles.columns]
    if inputs.empty:
        return pd.DataFrame(np.empty((0, len(columns))), columns=columns)
    return pd.DataFrame(model.predict(read_questions(inputs, model.columns)), columns=columns)


def _importance(model: ForecastModel) -> pd.DataFrame:
    gain = model.trees.booster.feature_importance("gain")
    table = pd.DataFrame({"feature": model.trees.feature_spec.names, "gain": gain})
    return table.sort_values("gain", ascending=False, ignore_index=True)
