"""StatsForecast: for each series, a weighted mix of the methods that forecast best before its holdout."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from trainyard_api.trainingjob import SeriesCount
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.evaluate.names import searched_metric
from trainyard_trainer.frameworks.base import Context, Evaluation, OnnxModel, Refreshed, Trained
from trainyard_trainer.frameworks.ensemble import shares
from trainyard_trainer.frameworks.forecast.checks import check_forecast, unused_columns
from trainyard_trainer.frameworks.forecast.columns import read_questions, require_same_steps
from trainyard_trainer.frameworks.forecast.ends import Ends
from trainyard_trainer.frameworks.forecast.golden import golden_rows
from trainyard_trainer.frameworks.forecast.judging import judged_holdouts
from trainyard_trainer.frameworks.forecast.quantiles import ErrorQuantiles, levels_of, no_windows
from trainyard_trainer.frameworks.statsforecast.fitter import Choice, Fit, StatsFitter
from trainyard_trainer.frameworks.statsforecast.methods import Method, check_parameters
from trainyard_trainer.frameworks.statsforecast.model import StatsModel, load_stats_model
from trainyard_trainer.frameworks.statsforecast.refit import refit_and_forecast, refreshed
from trainyard_trainer.search.tunable import Tunable

FORMAT: Final = "statsforecast"
PREDICTION: Final = "prediction"
_REASONS_REPORTED: Final = 3


@dataclass(frozen=True)
class Fitted:
    """The final model, and the judged model's forecasts of the holdouts, series by series."""

    kept: StatsModel
    forecasts: Floats
    fitter: StatsFitter
    choice: Choice


class StatsForecastFramework:
    """A mix of methods per series."""

    name = "StatsForecast"
    format = FORMAT

    def check(self, config: TrainerConfig) -> None:
        """Check options and parameters. statsforecast validates the arguments on a few synthetic rows."""
        check_forecast(config.spec)
        if config.spec.search is not None:
            raise ConfigError(
                "spec.search: the methods of framework StatsForecast choose their parameters themselves; leave it out"
            )
        check_parameters(config.spec.parameters or {})

    def tunable(self, dataset: Dataset, context: Context) -> Tunable | None:  # noqa: ARG002 - the protocol's
        """Return ``None``: each method finds its parameters itself."""
        return None

    def to_onnx(self, model: Any) -> OnnxModel | None:  # noqa: ARG002 - the protocol's
        """Return ``None``: ONNX is not supported."""
        return None

    def train(self, dataset: Dataset, context: Context) -> Trained:
        """Compare the methods on windows before the holdout, then fit those with a weight, without the holdout and with
        it.

        Raises
        ------
        DataError
            If quantiles are requested and every series is too short for a window.
        Interrupted
            When the pod must stop. Finished series are in the checkpoints.
        """
        fitter = StatsFitter(dataset, context)
        levels = levels_of(context.config.spec)
        compared = len(fitter.methods) > 1 or bool(levels)
        units = fitter.sampled_windows() if compared else ()
        choice = fitter.choose(units, searched_metric(context.config.spec), 0.0, 0.5)
        return train_chosen(dataset, context, fitter, choice, 0.5 if compared else 0.0)

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:
        """Evaluate the forecasts of the holdouts, per series and over all rows."""
        fitted: Fitted = trained.model
        rows = fitted.fitter.layout.rows
        found = judged_holdouts(rows, fitted.forecasts, fitted.kept.quantiles, context)
        return Evaluation(
            metrics=found.metrics,
            table=found.table,
            golden=golden_rows(dataset, fitted.kept.ends, lambda asked: self.predict(fitted.kept, asked)),
            holdout=found.holdout,
            notes=(rows.baseline.note, shares(trained.parameters["weights"]), *found.notes),
            baseline=found.baseline,
        )

    def load(self, folder: Path) -> StatsModel:
        """Read ``model.json`` and ``forecasts.parquet``."""
        return load_stats_model(folder)

    def predict(self, model: StatsModel | Fitted, inputs: pd.DataFrame) -> pd.DataFrame:
        """Forecast times of series, up to the horizon after the newest row of the training.

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
        columns = [PREDICTION, *known.quantiles.columns]
        if inputs.empty:
            return pd.DataFrame(np.empty((0, len(columns))), columns=columns)
        return pd.DataFrame(known.predict(read_questions(inputs, known.ends.columns)), columns=columns)

    def learned_until(self, model: StatsModel) -> Mapping[str, np.datetime64]:
        """Return the end of each series in the training."""
        return model.learned_until

    def forecast_holdouts(self, model: StatsModel, dataset: Dataset) -> Floats:
        """Forecast held-out rows from the rows before them: see ``ForecastFramework``.

        The trained part of such a model is the choice of methods and their weights for a series. A method has no other
        state, so it is fitted to the values before the split.
        """
        require_same_steps(dataset, model.ends.columns, model.ends.frequency.alias)
        return refit_and_forecast(model, dataset)

    def refreshed(self, model: StatsModel, dataset: Dataset) -> Refreshed:
        """Return the methods and weights, fitted to all rows of a dataset: see ``ForecastFramework``.

        The choice of methods and their weights stay. A series that the model does not know is left out.
        """
        return refreshed(model, dataset)


def train_chosen(dataset: Dataset, context: Context, fitter: StatsFitter, choice: Choice, begin: float) -> Trained:
    """Fit the chosen methods to all series, and write both models. ``begin`` is for the progress."""
    spec = context.config.spec
    quantiles = _quantiles(dataset, fitter, choice, levels_of(spec))
    held, ahead = fitter.ends()
    fits = list(fitter.fit(choice, held, ahead, begin, 1.0))
    kept = _model(fitter, ahead, quantiles, fits, [one.ahead for one in fits], "stop")
    judged = _model(fitter, held, quantiles, fits, [one.held for one in fits], "split")
    files = (*kept.save(context.output), *(f"{JUDGED}/{name}" for name in judged.save(context.output / JUDGED)))
    naive = sum(not one.weights.any() for one in fits)
    return Trained(
        formats=(FORMAT,),
        files=files,
        model=Fitted(kept, _of_holdouts(fitter, judged), fitter, choice),
        judged=judged,
        parameters={
            **context.parameters,
            "frequency": dataset.frequency,
            "input_size": fitter.layout.input_size,
            "weights": mean_weights(fitter.methods, fits),
        },
        series=SeriesCount(
            total=dataset.series_total,
            trained=len(fits) - naive,
            fallback=naive,
            failed=dataset.series_total - len(fits),
        ),
        warnings=_warnings(context, dataset, fitter, fits),
    )


def mean_weights(methods: Sequence[Method], fits: Sequence[Fit]) -> dict[str, float]:
    """Return the mean weight over all series of each method with a weight, largest first."""
    means = np.mean([one.weights for one in fits], axis=0)
    order = np.argsort(-means, kind="stable")
    return {methods[number].label: round(float(means[number]), 4) for number in order if means[number] > 0}


def _quantiles(dataset: Dataset, fitter: StatsFitter, choice: Choice, levels: tuple[float, ...]) -> ErrorQuantiles:
    if not levels:
        return ErrorQuantiles()
    if not choice.units:
        raise no_windows(dataset.origin.uri)
    rows = fitter.layout.rows
    steps = rows.positions(choice.units)[1] + 1
    found = ErrorQuantiles.of(levels, fitter.horizon, rows.judged(choice.units, choice.forecasts), steps)
    return found.with_final_scales(dataset, rows.frequency.season)


def _model(
    fitter: StatsFitter,
    ends: Ends,
    quantiles: ErrorQuantiles,
    fits: Sequence[Fit],
    steps: Sequence[Floats],
    until: str,
) -> StatsModel:
    """Return the model. ``until`` is the name of the row where the series end."""
    series = fitter.layout.rows.dataset.series
    values = fitter.layout.rows.values
    return StatsModel(
        ends=ends,
        methods=tuple(one.as_json() for one in fitter.methods),
        weights=np.stack([one.weights for one in fits]),
        forecasts=np.concatenate(steps),
        begins=np.cumsum([0, *(len(one) for one in steps)]).astype(np.int64),
        floors=np.array([0.0 if values[one.start : getattr(one, until)].min() >= 0 else -np.inf for one in series]),
        input_size=fitter.layout.input_size,
        quantiles=quantiles,
    )


def _of_holdouts(fitter: StatsFitter, judged: StatsModel) -> Floats:
    """Return the judged model's forecasts of the holdouts, series by series; shape (rows,)."""
    number, step = fitter.layout.rows.positions(fitter.layout.rows.holdouts())
    return np.asarray(judged.forecasts[judged.begins[number] + step])


def _warnings(context: Context, dataset: Dataset, fitter: StatsFitter, fits: Sequence[Fit]) -> tuple[str, ...]:
    forecast = context.config.spec.forecast
    failed = Counter((label, reason) for one in fits for label, reason in one.failures.items())
    naive = sum(not one.weights.any() for one in fits)
    found = [
        f"{count} series: {label} failed and is left out: {reason}"
        for (label, reason), count in failed.most_common(_REASONS_REPORTED)
    ]
    if naive:
        found.append(f"{naive} series use the seasonal naive model, because no method could be fitted to them")
    if dataset.features:
        found.append(f"the covariates {', '.join(dataset.features)} are not used: the methods only use the target")
    if forecast is not None and forecast.holidays_country is not None:
        found.append("forecast.holidaysCountry is not used: the methods only use the target")
    found += unused_columns(dataset)
    longest = int(np.diff(fitter.layout.rows.panel.begins).max())
    if longest > fitter.layout.input_size:
        found.append(
            f"the methods are fitted to the newest {fitter.layout.input_size} of up to {longest} steps of a series; "
            "to change this number, set spec.parameters.input_size"
        )
    return tuple(found)
