"""Prophet: forecasts with one model per series, compared with a naive forecast of the same holdout."""

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from trainyard_api.training import Split
from trainyard_api.trainingjob import SeriesCount
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.data.dataset import GOLDEN_SERIES, Dataset, Series
from trainyard_trainer.data.series.demand import trials_of
from trainyard_trainer.data.series.prepare import ONLY_SERIES
from trainyard_trainer.data.values.frequency import frequency_by
from trainyard_trainer.data.values.zones import wall_times
from trainyard_trainer.errors import DataError
from trainyard_trainer.evaluate import names
from trainyard_trainer.evaluate.forecasts import Forecast, judge
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.base import GOLDEN_ROWS, Context, Evaluation, Golden, OnnxModel, Refreshed, Trained
from trainyard_trainer.frameworks.forecast.baseline import Baseline
from trainyard_trainer.frameworks.forecast.checks import check_forecast, unused_columns
from trainyard_trainer.frameworks.forecast.columns import Columns, read_questions, require_same_steps, unknown_series
from trainyard_trainer.frameworks.forecast.quantiles import levels_of, with_quantiles
from trainyard_trainer.frameworks.prophet.bundle import FILES, Bundle, BundleWriter
from trainyard_trainer.frameworks.prophet.checks import check_prophet, space_of
from trainyard_trainer.frameworks.prophet.choice import Outcome, fit_series
from trainyard_trainer.frameworks.prophet.fallbacks import going_on
from trainyard_trainer.frameworks.prophet.models import read_model
from trainyard_trainer.frameworks.prophet.quantiles import Quantiles
from trainyard_trainer.frameworks.prophet.records import NEEDED, PREFIX, outcome_fields, outcome_of
from trainyard_trainer.frameworks.prophet.refresh import refreshed
from trainyard_trainer.frameworks.prophet.series import FitSpec, Kind, SearchPlan, Task
from trainyard_trainer.frameworks.prophet.server import start
from trainyard_trainer.frameworks.workers.pieces import Finished, PieceWriter
from trainyard_trainer.frameworks.workers.pool import fit_all
from trainyard_trainer.progress.log import LOGGER
from trainyard_trainer.search.space import inside
from trainyard_trainer.search.tunable import Tunable, Tuned

FORMAT: Final = "prophet-json"
PREDICTION: Final = "prediction"

_FALLBACKS: Final[dict[Kind, str]] = {
    "seasonal-naive": "seasonal naive model",
    "tsb": "TSB model",
    "imapa": "IMAPA model",
}
_REASONS_REPORTED: Final = 3


@dataclass(frozen=True)
class Model:
    """The saved models, and the outcomes for their evaluation, without the records."""

    bundle: Bundle
    outcomes: tuple[Outcome, ...]


class ProphetFramework:
    """One Prophet model per series.

    Parameters
    ----------
    alone
        Whether a fallback is only used if Prophet cannot be fitted.
    """

    name = "Prophet"
    format = FORMAT

    def __init__(self, *, only_prophet: bool = False) -> None:
        self._only_prophet = only_prophet

    def check(self, config: TrainerConfig) -> None:
        """Check options and parameters. Prophet validates the values on a few synthetic rows."""
        spec = config.spec
        check_forecast(spec)
        check_prophet(spec)

    def tunable(self, dataset: Dataset, context: Context) -> Tunable | None:  # noqa: ARG002 - the protocol's
        """Return ``None``: each series is searched where it is fitted."""
        return None

    def to_onnx(self, model: Any) -> OnnxModel | None:  # noqa: ARG002 - the protocol's
        """Return ``None``: ONNX is not supported."""
        return None

    def train(self, dataset: Dataset, context: Context) -> Trained:
        """Fit the series that no earlier attempt has finished. Write the models in the order of the series.

        Raises
        ------
        DataError
            If Prophet could not be fitted to any series.
        Interrupted
            When the pod must stop. Finished series are in the checkpoints.
        """
        final, judged = (_writer(folder, dataset, context) for folder in (context.output, context.output / JUDGED))
        outcomes: list[Outcome] = []
        total, times = len(dataset.series), dataset.frame["ds"].to_numpy()
        try:
            for series, outcome in zip(
                dataset.series, _finish(dataset, context, only_prophet=self._only_prophet), strict=True
            ):
                final.add(series.name, outcome.record, times[series.stop - 1])
                judged.add(series.name, outcome.judged, times[series.split - 1])
                outcomes.append(dataclasses.replace(outcome, record=b"", judged=b""))
                context.progress(len(outcomes) / total, f"{len(outcomes)} of {total} series")
        finally:
            bundle, at_split = final.close(), judged.close()
        failed = [outcome for outcome in outcomes if "prophet" in outcome.failures]
        if len(failed) == total:
            raise DataError(
                f"{dataset.origin.uri}: Prophet could fit none of {total} series; first: series {failed[0].name!r}: "
                f"{failed[0].failures['prophet']}; correct the data or spec.parameters"
            )
        fallback = sum(outcome.kind != "prophet" for outcome in outcomes)
        return Trained(
            formats=(FORMAT,),
            files=(*FILES, *(f"{JUDGED}/{name}" for name in FILES)),
            model=Model(bundle, tuple(outcomes)),
            judged=at_split,
            parameters={"frequency": dataset.frequency, **context.parameters},
            series=SeriesCount(
                total=dataset.series_total,
                trained=total - fallback,
                fallback=fallback,
                failed=dataset.series_total - total,
            ),
            warnings=(*_describe(outcomes), *unused_columns(dataset)),
            tuned=_tuned(outcomes) if context.config.spec.search is not None else None,
        )

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:
        """Evaluate the forecasts of the holdouts, per series and over all rows."""
        model: Model = trained.model
        baseline = Baseline.chosen(dataset, context.config.spec)
        forecasts = _forecasts(dataset, model.outcomes, baseline)
        quantiles = np.concatenate([outcome.forecast[:, 1:] for outcome in model.outcomes])
        found = with_quantiles(judge(forecasts, baseline.name), model.bundle.quantiles.levels, quantiles)
        text = f"judged {len(found.holdout)} rows of {len(dataset.series)} series"
        context.progress(1.0, text, {"mae": found.metrics["mae"]})
        return Evaluation(
            metrics=found.metrics,
            table=found.table,
            golden=_golden(dataset, model),
            holdout=found.holdout,
            notes=(baseline.note, *found.notes),
            baseline=found.baseline,
        )

    def load(self, folder: Path) -> Bundle:
        """Read the index of the models. Each model is read when it is used."""
        return Bundle.load(folder)

    def learned_until(self, model: Bundle) -> Mapping[str, np.datetime64]:
        """Return the end of each series in the training. Empty for models of older releases."""
        return {name: np.datetime64(until, "ns") for name, until in model.until.items()}

    def forecast_holdouts(self, model: Bundle, dataset: Dataset) -> Floats:
        """Forecast held-out rows: see ``ForecastFramework``.

        Prophet extrapolates. The seasonal naive model uses the season before the holdout.
        """
        require_same_steps(dataset, model.columns, dataset.frequency or "D")
        times, values = dataset.frame["ds"].to_numpy(dtype="datetime64[ns]"), dataset.frame["y"].to_numpy()
        regressors = list(model.columns.regressors)
        regressor_values = dataset.frame[regressors].to_numpy(dtype=np.float64) if regressors else None
        found = []
        for series in dataset.series:
            held = slice(series.split, series.stop)
            if series.name not in model.index:
                found.append(np.full(series.holdout, np.nan))
                continue
            known = slice(series.start, series.split)
            one = read_model(going_on(model.read(series.name), model.seen(times[known]), values[known]))
            found.append(
                one.predict(
                    model.seen(times[held]), None if regressor_values is None else regressor_values[held], Quantiles()
                )[:, 0]
            )
        return np.concatenate(found)

    def refreshed(self, model: Bundle, dataset: Dataset) -> Refreshed:
        """Return the models with the reach to forecast from the ends of a dataset: see ``ForecastFramework``.

        Prophet extrapolates from the end of its training, over at most one horizon. Series with a larger gap are left
        out. The seasonal naive model repeats the newest season.
        """
        return refreshed(model, dataset)

    def predict(self, model: Bundle, inputs: pd.DataFrame) -> pd.DataFrame:
        """Forecast times of series.

        Parameters
        ----------
        inputs
            The user's time column and, if the model has them, the series column and the covariates. A missing value is
            replaced by the mean of the training.

        Returns
        -------
        ``prediction``, one number per row in the order of the rows, and a column such as ``quantile:0.1`` for each
        level.

        Raises
        ------
        DataError
            If a column is missing or a series is unknown.
        """
        asked = read_questions(inputs, model.columns)
        columns = [PREDICTION, *model.quantiles.columns]
        predictions, times = np.empty((len(inputs), len(columns))), model.seen(asked.times)
        for asked_name, rows in asked.by_series():
            name = asked_name if asked_name is not None else next(iter(model.index), ONLY_SERIES)
            if name not in model.index:
                raise unknown_series(model.columns, name, len(model.index))
            regressor_values = None if asked.regressors is None else asked.regressors[rows]
            predictions[rows] = read_model(model.read(name)).predict(times[rows], regressor_values, model.quantiles)
        return pd.DataFrame(predictions, columns=columns)


def _writer(folder: Path, dataset: Dataset, context: Context) -> BundleWriter:
    forecast = context.config.spec.forecast
    return BundleWriter(
        folder,
        Columns.of(dataset, context.config.spec.data),
        _quantiles(context),
        zone=_zone(dataset),
        frequency=dataset.frequency or "D",
        horizon=forecast.horizon if forecast is not None else 0,
    )


def _quantiles(context: Context) -> Quantiles:
    spec = context.config.spec
    return Quantiles(levels_of(spec), (spec.split or Split()).seed)


def _finish(dataset: Dataset, context: Context, *, only_prophet: bool) -> Iterator[Outcome]:
    """Yield the outcome of every series in order, read from the checkpoints or fitted. Fitted ones are saved there."""
    finished = Finished(context.checkpoints, PREFIX, context.work_dir, NEEDED)
    pieces = PieceWriter(context.checkpoints, PREFIX)
    open_ = [series for series in dataset.series if series.name not in finished]
    if known := len(dataset.series) - len(open_):
        LOGGER.info("an earlier attempt has already finished %d of %d series", known, len(dataset.series))
    workers = max(1, min(context.workers, len(open_)))
    if workers > 1:
        intermittent = any(dataset.demand.get(series.name) == "Intermittent" for series in open_)
        start(search=context.config.spec.search is not None, intermittent=intermittent)
    fitted = fit_all(
        fit_series,
        _tasks(dataset, open_, _fit_spec(dataset, context, only_prophet=only_prophet), context),
        workers,
        context.stop,
        context.work_dir,
    )
    try:
        for series in dataset.series:
            if series.name in finished:
                yield outcome_of(finished.read(series.name))
                continue
            outcome = next(fitted)
            pieces.add(outcome.name, outcome_fields(outcome))
            yield outcome
    finally:
        pieces.flush()
        finished.close()


def _tasks(dataset: Dataset, wanted: Sequence[Series], fit_spec: FitSpec, context: Context) -> Iterator[Task]:
    spec = context.config.spec
    regressor_values = dataset.frame[list(dataset.features)].to_numpy(dtype=np.float64) if dataset.features else None
    times, values = dataset.frame["ds"].to_numpy("datetime64[ns]"), dataset.frame["y"].to_numpy()
    zone = _zone(dataset)
    times = wall_times(times, zone) if zone else times
    classes = [dataset.demand.get(series.name, "High") for series in wanted]
    trials = [0 if spec.search is None else trials_of(one, spec.search) for one in classes]
    behind = list(accumulate(reversed(trials)))[::-1]
    previous = context.previous.series if context.previous is not None else {}
    for number, series in enumerate(wanted):
        rows = slice(series.start, series.stop)
        yield Task(
            series.name,
            times[rows],
            values[rows],
            series.holdout,
            golden=GOLDEN_ROWS // GOLDEN_SERIES if series.name in dataset.golden_series else 0,
            fit_spec=fit_spec,
            regressors=None if regressor_values is None else regressor_values[rows],
            demand=classes[number],
            trials=trials[number],
            share=behind[number] / max(1, trials[number]),
            previous=inside(previous.get(series.name, {}), fit_spec.search.space)
            if fit_spec.search is not None
            else {},
        )


def _zone(dataset: Dataset) -> str:
    """Return the zone for Prophet's times if the dataset keeps times in UTC. Empty if times are used as they are."""
    return frequency_by(dataset.frequency or "D", dataset.clock).zone


def _fit_spec(dataset: Dataset, context: Context, *, only_prophet: bool) -> FitSpec:
    spec = context.config.spec
    split = spec.split or Split()
    plan = None
    if spec.search is not None:
        deadline = time.monotonic() + spec.search.timeout_seconds
        plan = SearchPlan(space_of(spec), deadline, max(1, context.workers))
    return FitSpec(
        frequency=dataset.frequency or "D",
        parameters=dict(context.parameters),
        holidays_country=spec.forecast.holidays_country if spec.forecast else None,
        seed=split.seed,
        work_dir=str(context.work_dir),
        horizon=spec.forecast.horizon if spec.forecast else 1,
        folds=split.folds,
        metric=names.searched_metric(spec),
        levels=_quantiles(context).levels,
        search=plan,
        only_prophet=only_prophet,
    )


def _describe(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Return why fallbacks replaced Prophet, and other failures, with the most frequent reasons."""
    replaced = Counter((_FALLBACKS[one.kind], one.failures.get("prophet")) for one in outcomes if one.kind != "prophet")
    failed = Counter((what, reason) for one in outcomes for what, reason in one.failures.items() if what != "prophet")
    better = "better than Prophet before the holdout"
    return (
        *(
            f"{count} series fell back to the {model}: {better if reason is None else reason}"
            for (model, reason), count in replaced.most_common(_REASONS_REPORTED)
        ),
        *(
            f"{count} series: {what} failed: {reason}"
            for (what, reason), count in failed.most_common(_REASONS_REPORTED)
        ),
    )


def _tuned(outcomes: Sequence[Outcome]) -> Tuned:
    return Tuned(
        parameters={},
        series={one.name: one.parameters for one in outcomes if one.parameters is not None},
        trials=sum(one.trials for one in outcomes),
        pruned=sum(one.pruned for one in outcomes),
    )


def _forecasts(dataset: Dataset, outcomes: Sequence[Outcome], baseline: Baseline) -> list[Forecast]:
    """Return the forecasts of the holdouts with the naive ones."""
    times, values = dataset.frame["ds"].to_numpy(), dataset.frame["y"].to_numpy()
    found = []
    for series, outcome in zip(dataset.series, outcomes, strict=True):
        rows = slice(series.start, series.stop)
        steps = baseline.frequency.ordinals(times[rows])
        found.append(baseline.compare(series.name, steps, times[rows], values[rows], outcome.forecast[:, 0]))
    return found


def _golden(dataset: Dataset, model: Model) -> Golden:
    columns = model.bundle.columns
    inputs: list[pd.DataFrame] = []
    predictions: list[Floats] = []
    for series, outcome in zip(dataset.series, model.outcomes, strict=True):
        if len(outcome.golden) == 0:
            continue
        times = dataset.frame["ds"].iloc[series.split : series.split + len(outcome.golden)]
        is_utc = columns.clock.zone is not None and not columns.clock.wall
        table = pd.DataFrame({columns.time: (times.dt.tz_localize("UTC") if is_utc else times).reset_index(drop=True)})
        if columns.series is not None:
            table[columns.series] = series.name
        for name in columns.regressors:
            table[name] = dataset.frame[name].iloc[series.split : series.split + len(outcome.golden)].to_numpy()
        inputs.append(table)
        predictions.append(outcome.golden)
    outputs = pd.DataFrame(np.concatenate(predictions), columns=[PREDICTION, *model.bundle.quantiles.columns])
    return Golden(pd.concat(inputs, ignore_index=True), outputs)
