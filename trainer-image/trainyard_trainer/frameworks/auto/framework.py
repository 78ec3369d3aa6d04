"""Auto for forecasts: statistical methods, global trees and Prophet, weighted by their errors before the holdout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trainyard_api.training import Auto
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.auto.budget import ALL
from trainyard_trainer.frameworks.auto.model import AutoModel, load_auto_model
from trainyard_trainer.frameworks.auto.refresh import refreshed
from trainyard_trainer.frameworks.auto.training import FORMAT, AutoTraining, Fitted, config_of, member_framework
from trainyard_trainer.frameworks.base import Context, Evaluation, OnnxModel, Refreshed, Trained
from trainyard_trainer.frameworks.ensemble import shares
from trainyard_trainer.frameworks.forecast.checks import check_forecast
from trainyard_trainer.frameworks.forecast.golden import golden_rows
from trainyard_trainer.frameworks.forecast.judging import judged_holdouts
from trainyard_trainer.frameworks.registry import framework_named
from trainyard_trainer.search.tunable import Tunable


class AutoForecastFramework:
    """Candidates are compared on windows before the holdout, and their forecasts are combined."""

    name = "Auto"
    format = FORMAT

    def check(self, config: TrainerConfig) -> None:
        """Check the specification for each candidate."""
        spec = config.spec
        check_forecast(spec)
        if spec.search is not None:
            raise ConfigError("spec.search needs a single framework; set spec.framework to one other than Auto")
        wanted = (spec.auto or Auto()).candidates or ALL
        for name in spec.parameters or {}:
            if name not in wanted:
                raise ConfigError(
                    f"spec.parameters.{name} is not a candidate: with framework Auto, put parameters below the name of "
                    f"a candidate, one of {', '.join(wanted)}"
                )
        for name in wanted:
            framework_named(name, forecast=True).check(config_of(config, name))

    def tunable(self, dataset: Dataset, context: Context) -> Tunable | None:  # noqa: ARG002 - the protocol's
        """Return ``None``: there is no single model to search."""
        return None

    def to_onnx(self, model: Any) -> OnnxModel | None:  # noqa: ARG002 - the protocol's
        """Return ``None``: there is no single model to export."""
        return None

    def train(self, dataset: Dataset, context: Context) -> Trained:
        """Compare the candidates that fit into the budget, and train those with a weight.

        Raises
        ------
        DataError
            If no candidate can be trained, or quantiles are requested and every series is too short for a window.
        Interrupted
            When the pod must stop. Finished series are in the checkpoints.
        """
        return AutoTraining(dataset, context).train()

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:
        """Evaluate the forecasts of the holdouts, per series and over all rows."""
        fitted: Fitted = trained.model
        rows = fitted.rows
        found = judged_holdouts(rows, fitted.forecasts, fitted.kept.quantiles, context)
        return Evaluation(
            metrics=found.metrics,
            table=found.table,
            golden=golden_rows(dataset, fitted.kept.ends, fitted.kept.predict),
            holdout=found.holdout,
            notes=(rows.baseline.note, shares(trained.parameters["weights"]), *found.notes),
            baseline=found.baseline,
            leaderboard=fitted.leaderboard,
        )

    def load(self, folder: Path) -> AutoModel:
        """Read the model of each framework."""
        return load_auto_model(folder, member_framework)

    def predict(self, model: AutoModel | Fitted, inputs: pd.DataFrame) -> pd.DataFrame:
        """Forecast times of series: see ``AutoModel.predict``."""
        return (model.kept if isinstance(model, Fitted) else model).predict(inputs)

    def learned_until(self, model: AutoModel) -> Mapping[str, np.datetime64]:
        """Return the end of each series in the training."""
        return model.learned_until

    def forecast_holdouts(self, model: AutoModel, dataset: Dataset) -> Floats:
        """Forecast held-out rows from the rows before them: see ``ForecastFramework``."""
        return model.forecast_holdouts(dataset)

    def refreshed(self, model: AutoModel, dataset: Dataset) -> Refreshed:
        """Return the members with the state at the ends of a dataset: see ``ForecastFramework``.

        Weights stay. A series is left out if the model does not know it or no member with a weight can forecast it.
        """
        return refreshed(model, dataset)
