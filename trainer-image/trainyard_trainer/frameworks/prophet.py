"""Prophet: forecasts, one model per series, each judged beside the seasonal naive model on the same holdout."""

import dataclasses
import difflib
import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from trainyard_api.training import Split
from trainyard_api.trainingjob import SeriesCount
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.frequency import frequency_of
from trainyard_trainer.errors import ConfigError, DataError, Unsupported
from trainyard_trainer.evaluate import metrics, names
from trainyard_trainer.evaluate.forecasts import Forecast, judge
from trainyard_trainer.frameworks.base import GOLDEN_ROWS, Context, Dataset, Evaluation, Golden, Trained
from trainyard_trainer.frameworks.forecast_columns import Columns, read_questions, unknown_series
from trainyard_trainer.frameworks.prophet_bundle import INDEX_FILE, MODELS_FILE, Bundle, BundleWriter
from trainyard_trainer.frameworks.prophet_pool import fit_all
from trainyard_trainer.frameworks.prophet_series import (
    Fitted,
    Outcome,
    Recipe,
    Task,
    build,
    fit_series,
    forecast_at,
    naive_at,
    quiet_prophet,
)

FORMAT: Final = "prophet-json"
PREDICTION: Final = "prediction"

_GOLDEN_SERIES: Final = 3
_NOT_SETTABLE: Final = {
    "holidays": "use spec.forecast.holidaysCountry",
    "stan_backend": "it is fixed",
    "mcmc_samples": "only the most probable fit is made",
    "uncertainty_samples": "forecasts have no interval yet",
}


@dataclass(frozen=True)
class Model:
    """The saved models, and what they were judged by: the outcomes without their records."""

    bundle: Bundle
    outcomes: tuple[Outcome, ...]


class ProphetFramework:
    """One Prophet per series."""

    name = "Prophet"

    def check(self, config: TrainerConfig) -> None:
        """Judge options and parameters; Prophet itself tries the values on a few made-up rows."""
        spec = config.spec
        if spec.data.features:
            raise Unsupported(
                "spec.data.features with framework Prophet comes with a later release; leave it out for now"
            )
        if spec.split is not None and spec.split.strategy not in {"Auto", "Time"}:
            raise ConfigError(
                f"spec.split.strategy {spec.split.strategy} would let a forecast see the future; use Time"
            )
        if spec.forecast is None:
            raise ConfigError("task Forecast needs the section forecast (at least forecast.horizon)")
        if spec.forecast.quantiles:
            raise Unsupported("spec.forecast.quantiles comes with a later release; leave it out for now")
        names.check_metrics(spec)
        if spec.forecast.frequency != "Auto":
            frequency_of(spec.forecast.frequency)
        _check_names(spec.parameters or {})
        _check_country(spec.forecast.holidays_country)
        _try_out(spec.parameters or {})

    def train(self, dataset: Dataset, context: Context) -> Trained:
        """Fit every series twice, without its holdout and with it; write the models as they are finished.

        Raises
        ------
        DataError
            If not one series could be fitted.
        Interrupted
            When the pod must stop.
        """
        data = context.config.spec.data
        writer = BundleWriter(context.output, Columns(data.time or "ds", data.series, dataset.features, dataset.clock))
        outcomes: list[Outcome] = []
        total = len(dataset.series)
        try:
            workers = max(1, min(context.workers, total))
            for outcome in fit_all(_tasks(dataset, context), workers, context.stop):
                writer.add(outcome)
                outcomes.append(dataclasses.replace(outcome, record=b""))
                context.progress(len(outcomes) / total, f"{len(outcomes)} of {total} series")
        finally:
            bundle = writer.close()
        failures = [outcome for outcome in outcomes if outcome.failure is not None]
        if len(failures) == total:
            raise DataError(
                f"{dataset.origin.uri}: Prophet could fit none of {total} series; first: series {failures[0].name!r}: "
                f"{failures[0].failure}; correct the data or spec.parameters"
            )
        return Trained(
            formats=(FORMAT,),
            files=(MODELS_FILE, INDEX_FILE),
            model=Model(bundle, tuple(outcomes)),
            parameters={"frequency": dataset.frequency, **(context.config.spec.parameters or {})},
            series=SeriesCount(
                total=dataset.series_total,
                trained=total - len(failures),
                fallback=len(failures),
                failed=dataset.series_total - total,
            ),
            warnings=_describe_failures(failures),
        )

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:
        """Judge the forecasts of the holdouts, per series and over all rows together."""
        model: Model = trained.model
        times, values = dataset.frame["ds"].to_numpy(), dataset.frame["y"].to_numpy()
        season = frequency_of(dataset.frequency or "D").season
        found = judge(
            [
                Forecast(
                    name=series.name,
                    times=times[series.split : series.stop],
                    actual=values[series.split : series.stop],
                    predicted=outcome.forecast,
                    baseline=outcome.baseline,
                    known=values[series.start : series.split],
                    season=season,
                )
                for series, outcome in zip(dataset.series, model.outcomes, strict=True)
            ]
        )
        text = f"judged {len(found.holdout)} rows of {len(dataset.series)} series"
        context.progress(1.0, text, {"mae": found.metrics["mae"]})
        return Evaluation(
            metrics=found.metrics,
            table=found.table,
            golden=_golden(dataset, model),
            holdout=found.holdout,
            notes=found.notes,
        )

    def load(self, folder: Path) -> Bundle:
        """Read the index of the models; each is read when it is asked."""
        return Bundle.load(folder)

    def predict(self, model: Bundle, inputs: pd.DataFrame) -> pd.DataFrame:
        """Answer times of series.

        Parameters
        ----------
        inputs
            The user's time column and, where the model has them, the series column and the covariates; one without a
            value counts as the mean of its training.

        Returns
        -------
        ``prediction``, one number per row in the order of the rows.

        Raises
        ------
        DataError
            If a column is missing or a series is not known.
        """
        asked = read_questions(inputs, model.columns)
        forecast = np.empty(len(inputs))
        for asked_name, rows in asked.by_series():
            name = asked_name if asked_name is not None else next(iter(model.index))
            if name not in model.index:
                raise unknown_series(model.columns, name, len(model.index))
            beside = None if asked.regressors is None else asked.regressors[rows]
            forecast[rows] = _answer(model, name, asked.times[rows], beside)
        return pd.DataFrame({PREDICTION: forecast})


def _answer(bundle: Bundle, series: str, times: Any, regressors: metrics.Floats | None) -> metrics.Floats:
    record = bundle.read(series)
    if record["kind"] == "seasonal-naive":
        return naive_at(record, times)
    model = quiet_prophet().serialize.model_from_json(record["model"])
    return forecast_at(Fitted(model, tuple(record.get("fills", ()))), times, regressors, floor=record["floor"])


def _tasks(dataset: Dataset, context: Context) -> Iterator[Task]:
    spec = context.config.spec
    recipe = Recipe(
        frequency=dataset.frequency or "D",
        parameters=dict(spec.parameters or {}),
        holidays_country=spec.forecast.holidays_country if spec.forecast else None,
        seed=(spec.split or Split()).seed,
        work_dir=str(context.work_dir),
    )
    beside = dataset.frame[list(dataset.features)].to_numpy(dtype=np.float64) if dataset.features else None
    times, values = dataset.frame["ds"].to_numpy(), dataset.frame["y"].to_numpy()
    for number, series in enumerate(dataset.series):
        rows = slice(series.start, series.stop)
        golden = GOLDEN_ROWS // _GOLDEN_SERIES if number < _GOLDEN_SERIES else 0
        regressors = None if beside is None else beside[rows]
        yield Task(series.name, times[rows], values[rows], series.holdout, golden, recipe, regressors)


def _describe_failures(failures: list[Outcome]) -> tuple[str, ...]:
    reasons = Counter(outcome.failure for outcome in failures)
    return tuple(
        f"{count} series fell back to the seasonal naive model: {reason}" for reason, count in reasons.most_common(3)
    )


def _golden(dataset: Dataset, model: Model) -> Golden:
    columns = model.bundle.columns
    inputs: list[pd.DataFrame] = []
    answers: list[metrics.Floats] = []
    for series, outcome in zip(dataset.series[:_GOLDEN_SERIES], model.outcomes, strict=False):
        times = dataset.frame["ds"].iloc[series.split : series.split + len(outcome.golden)]
        is_utc = columns.clock.zone is not None and not columns.clock.wall
        table = pd.DataFrame({columns.time: (times.dt.tz_localize("UTC") if is_utc else times).reset_index(drop=True)})
        if columns.series is not None:
            table[columns.series] = series.name
        for name in columns.regressors:
            table[name] = dataset.frame[name].iloc[series.split : series.split + len(outcome.golden)].to_numpy()
        inputs.append(table)
        answers.append(outcome.golden)
    return Golden(pd.concat(inputs, ignore_index=True), pd.DataFrame({PREDICTION: np.concatenate(answers)}))


def _check_names(parameters: Mapping[str, Any]) -> None:
    known = set(inspect.signature(quiet_prophet().Prophet).parameters) - set(_NOT_SETTABLE)
    for name in parameters:
        if name in _NOT_SETTABLE:
            raise ConfigError(f"spec.parameters.{name} cannot be set for Prophet: {_NOT_SETTABLE[name]}; leave it out")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(known))}"
            raise ConfigError(f"spec.parameters.{name} is not a parameter of Prophet; {hint}")
    if parameters.get("growth") == "logistic":
        raise ConfigError(
            "spec.parameters.growth logistic needs a cap per row, which data has no place for; use linear"
        )


def _check_country(country: str | None) -> None:
    if country is None:
        return
    try:
        build({}, country)
    except (AttributeError, NotImplementedError, ValueError) as error:
        raise ConfigError(f"spec.forecast.holidaysCountry {country} has no known holidays; leave it out") from error


def _try_out(parameters: Mapping[str, Any]) -> None:
    """Fit thirty made-up rows: a value that Prophet refuses would else fail every single series."""
    import tempfile

    if not parameters:
        return
    times = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]").astype("datetime64[ns]")
    values = np.linspace(10.0, 20.0, len(times))
    with tempfile.TemporaryDirectory() as folder:
        outcome = fit_series(Task("trial", times, values, 7, 0, Recipe("D", dict(parameters), None, 0, folder)))
    if outcome.failure is not None:
        raise ConfigError(f"spec.parameters: Prophet refused a value: {outcome.failure}")
