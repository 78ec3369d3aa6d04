"""Comparison of two models on equal rows: their metrics, the paired difference, and its confidence interval."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.modelversion import ComparedMetric, Comparison, ComparisonReason
from trainyard_api.training import Split
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import ChampionRef
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import Interrupted
from trainyard_trainer.evaluate import statistics
from trainyard_trainer.evaluate.bootstrap import LEAST_UNITS, Resamples
from trainyard_trainer.evaluate.forecasts import SCALE, judge_rows
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.evaluate.names import METRICS, ranking_metrics
from trainyard_trainer.evaluate.rows import PROBABILITY, judge_classes, judge_numbers
from trainyard_trainer.evaluate.statistics import Statistic
from trainyard_trainer.frameworks.base import Evaluation
from trainyard_trainer.frameworks.forecast.baseline import held_out_rows
from trainyard_trainer.job.compare.champion import Champion, PredictionError
from trainyard_trainer.job.compare.rows import Mask, Predictions, predictions_of
from trainyard_trainer.job.compare.time_limit import TimeLimit
from trainyard_trainer.progress.log import LOGGER
from trainyard_trainer.progress.tracker import metric_value

CONFIDENCE: Final = 0.95
"""Confidence level of an interval if no gate sets another."""

_MOST_METRICS: Final = 16
_MESSAGE: Final = 1024
_FEW_SERIES: Final = 10
"""With fewer series, blocks of steps are the units of resampling. A few series do not show the random variation."""

Metrics = dict[str, float]


@dataclass(frozen=True)
class _Side:
    """The metrics and the statistics of one model on the rows that both models predicted."""

    metrics: Metrics
    statistic: Callable[[str, npt.NDArray[np.intp]], Statistic | None]


def compare(
    champion: Champion, dataset: Dataset, evaluation: Evaluation, spec: TrainingJobSpec, work: Path, limit: TimeLimit
) -> Comparison:
    """Compare the judged model with the champion on the held-out rows. If that fails, return the reason.

    Parameters
    ----------
    evaluation
        Evaluation of the judged model on all held-out rows.
    work
        A folder for the champion's files.

    Raises
    ------
    Interrupted
        If the pod must stop.
    """

    def sides() -> _PredictionPair:
        mine = _judged(evaluation, dataset)
        return _PredictionPair(mine, predictions_of(champion, dataset, spec.data, work, limit), _holdout_of(evaluation))

    return _reported(champion.ref, sides, dataset, spec)


def compare_again(
    candidate: Champion, champion: Champion, dataset: Dataset, spec: TrainingJobSpec, work: Path, limit: TimeLimit
) -> Comparison:
    """Compare two registered versions on the current held-out rows, as :func:`compare` does. Nothing is trained."""

    def sides() -> _PredictionPair:
        mine, theirs = (predictions_of(one, dataset, spec.data, work, limit) for one in (candidate, champion))
        return _PredictionPair(mine, theirs, _held_out_rows(dataset, spec))

    return _reported(champion.ref, sides, dataset, spec)


@dataclass(frozen=True)
class _PredictionPair:
    """The predictions of both models for the held-out rows, and these rows: actual values, naive forecasts and
    scales.
    """

    mine: Predictions
    theirs: Predictions
    holdout: pd.DataFrame


def _reported(
    ref: ChampionRef, sides: Callable[[], _PredictionPair], dataset: Dataset, spec: TrainingJobSpec
) -> Comparison:
    began = time.monotonic()
    try:
        found = _compared(ref, sides(), dataset, spec)
    except PredictionError as error:
        return refused(ref, error)
    except Interrupted:
        raise
    except MemoryError:
        message = "there is not enough memory for its predictions; raise spec.resources.limits.memory"
        return refused(ref, PredictionError("ChampionTooLarge", message))
    except Exception as error:  # noqa: BLE001 - becomes a reason, and gates fail: the trained model is kept
        LOGGER.exception("the champion could not be compared")
        return refused(ref, PredictionError("ChampionUnreadable", f"{type(error).__name__}: {error}"))
    LOGGER.info("the champion was compared in %.2f s: %s", time.monotonic() - began, found.message)
    return found


def refused(ref: ChampionRef, error: PredictionError) -> Comparison:
    """Return a comparison without metrics, with the reason why there are none."""
    reason: ComparisonReason = error.reason
    return Comparison(
        champion=ref.version,
        champion_digest=ref.artifact.manifest_sha256.removeprefix("sha256:"),
        reason=reason,
        message=f"version {ref.version} cannot predict the held-out rows: {error}"[:_MESSAGE],
    )


def wanted_metrics(spec: TrainingJobSpec) -> list[tuple[str, float | None]]:
    """Return the metrics to compare, with confidence levels: those of the gates, then the objective, then others.

    The first two affect decisions, so they have a confidence interval. Intervals for the others would take more time
    than the predictions of the champion.
    """
    wanted: list[tuple[str, float | None]] = [
        (gate.metric, CONFIDENCE if gate.confidence is None else gate.confidence)
        for gate in spec.gates or ()
        if gate.compare_to is not None
    ]
    named = ranking_metrics(spec)[:1]
    for names, confidence in ((named, CONFIDENCE), (METRICS[spec.task], None)):
        known = {name for name, _ in wanted}
        wanted += [(name, confidence) for name in names if name not in known]
    return list(dict.fromkeys(wanted))


def _judged(evaluation: Evaluation, dataset: Dataset) -> Predictions:
    """Return the predictions of the judged model for the held-out rows. It has predicted all of them."""
    holdout = _holdout_of(evaluation)
    names = [PROBABILITY + name for name in dataset.classes] if dataset.classes else "predicted"
    values = holdout[names].to_numpy(dtype=np.float64)
    all_rows = np.ones(len(holdout), dtype=np.bool_)
    return Predictions("Judged", all_rows, values, evaluation.metrics.get("threshold"))


def _holdout_of(evaluation: Evaluation) -> pd.DataFrame:
    if evaluation.holdout is None:
        raise AssertionError("an evaluation of a built-in framework has its rows")
    return evaluation.holdout


def _held_out_rows(dataset: Dataset, spec: TrainingJobSpec) -> pd.DataFrame:
    """Return the held-out rows of a dataset in the form of an evaluation. Their predictions are placeholders."""
    if dataset.parts is not None:
        actual = dataset.frame[dataset.target].to_numpy(dtype=np.float64)[dataset.parts.test]
        if dataset.classes:
            return pd.DataFrame({"actual": actual})
        return judge_numbers(actual, actual, _known_target(dataset)).holdout
    return held_out_rows(dataset, spec, np.zeros(sum(one.holdout for one in dataset.series)))


def _compared(ref: ChampionRef, both: _PredictionPair, dataset: Dataset, spec: TrainingJobSpec) -> Comparison:
    both_predicted = both.mine.rows & both.theirs.rows
    if dataset.task == "Forecast":
        mine, theirs, units = _of_series(both, both_predicted)
    else:
        mine, theirs, units = _of_rows(both, both_predicted, dataset)
    rows = int(both_predicted.sum())
    if rows < LEAST_UNITS:
        raise PredictionError(
            "TooFewRows", f"both models predicted only {rows} of the held-out rows; provide more data"
        )
    resamples = Resamples(units, (spec.split or Split()).seed)
    metrics = [
        one
        for name, confidence in wanted_metrics(spec)
        if (one := _metric(name, confidence, mine, theirs, resamples)) is not None
    ]
    part = (
        ""
        if both_predicted.all()
        else f" of {len(both_predicted)}; it was trained on the others or cannot predict them"
    )
    return Comparison(
        champion=ref.version,
        champion_digest=ref.artifact.manifest_sha256.removeprefix("sha256:"),
        reason="Compared",
        message=f"version {ref.version} predicted {rows} held-out rows{part}",
        answered_by=both.theirs.by,
        rows=rows,
        units=resamples.count,
        metrics=metrics[:_MOST_METRICS] or None,
    )


def _metric(
    name: str, confidence: float | None, mine: _Side, theirs: _Side, resamples: Resamples
) -> ComparedMetric | None:
    if name not in mine.metrics or name not in theirs.metrics:
        return None
    value, best = mine.metrics[name], theirs.metrics[name]
    found = None
    if confidence is not None:
        left, right = mine.statistic(name, resamples.rows), theirs.statistic(name, resamples.rows)
        if left is not None and right is not None:
            found = resamples.difference(left, right, value - best, confidence)
    return ComparedMetric(
        name=name,
        value=metric_value(value),
        champion=metric_value(best),
        difference=metric_value(value - best),
        low=None if found is None else metric_value(found.low),
        high=None if found is None else metric_value(found.high),
        confidence=CONFIDENCE if confidence is None else confidence,
    )


# ---- tables ----------------------------------------------------------------------------------------------------------


def _of_rows(both: _PredictionPair, rows: Mask, dataset: Dataset) -> tuple[_Side, _Side, npt.NDArray[np.intp]]:
    part, known = both.holdout[rows], _known_target(dataset)
    groups = np.arange(len(part)) if dataset.groups is None else dataset.groups[rows]
    units = pd.factorize(groups)[0].astype(np.intp)
    if not dataset.classes:
        mine, theirs = (_numbers(part, predictions.values[rows], known) for predictions in (both.mine, both.theirs))
    else:
        mine, theirs = (
            _classes(part, predictions.values[rows], known, dataset.classes, predictions.threshold)
            for predictions in (both.mine, both.theirs)
        )
    return mine, theirs, units


def _known_target(dataset: Dataset) -> Floats:
    parts = dataset.parts
    if parts is None:
        raise AssertionError("a table is always split")
    rows = np.concatenate([parts.train, parts.validation])
    return np.asarray(dataset.frame[dataset.target].to_numpy(dtype=np.float64)[rows])


def _numbers(part: pd.DataFrame, predicted: Floats, known: Floats) -> _Side:
    actual, baseline = _column(part, "actual"), _column(part, "baseline")

    def statistic(name: str, rows: npt.NDArray[np.intp]) -> Statistic | None:
        return statistics.of_numbers(name, actual[rows], predicted[rows], baseline[rows])

    return _Side(judge_numbers(actual, predicted, known).metrics, statistic)


def _classes(
    part: pd.DataFrame, probabilities: Floats, known: Floats, classes: Sequence[str], threshold: float | None
) -> _Side:
    actual = _column(part, "actual").astype(np.intp)
    found = judge_classes(actual, probabilities, known.astype(np.intp), classes, threshold)

    def statistic(name: str, rows: npt.NDArray[np.intp]) -> Statistic | None:
        if len(classes) != 2:
            return statistics.of_many_classes(name, actual[rows], probabilities[rows])
        return statistics.of_classes(
            name, actual[rows], probabilities[rows, 1], 0.5 if threshold is None else threshold
        )

    return _Side(found.metrics, statistic)


# ---- forecasts -------------------------------------------------------------------------------------------------------


def _of_series(both: _PredictionPair, rows: Mask) -> tuple[_Side, _Side, npt.NDArray[np.intp]]:
    part = both.holdout[rows].reset_index(drop=True)
    codes, names = pd.factorize(part["series"])
    units = codes.astype(np.intp) if len(names) >= _FEW_SERIES else _blocks(codes)
    mine, theirs = (
        _series(part.assign(predicted=predictions.values[rows]), codes) for predictions in (both.mine, both.theirs)
    )
    return mine, theirs, units


def _blocks(codes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return the block number of each row.

    A block is as long as the cube root of the rows of its series (Kuensch, 1989).
    """
    units = np.empty(len(codes), dtype=np.intp)
    next_ = 0
    for code in range(int(codes.max()) + 1):
        rows = np.flatnonzero(codes == code)
        length = max(1, round(len(rows) ** (1 / 3)))
        units[rows] = next_ + np.arange(len(rows)) // length
        next_ = int(units[rows].max()) + 1
    return units


def _series(part: pd.DataFrame, codes: npt.NDArray[np.intp]) -> _Side:
    actual = _column(part, "actual")
    shaped = statistics.SeriesRows(
        actual=actual,
        predicted=_column(part, "predicted"),
        baseline=_column(part, "baseline"),
        count=np.bincount(codes)[codes].astype(np.float64),
        volume=np.bincount(codes, np.abs(actual))[codes].astype(np.float64),
        scale=_column(part, SCALE),
    )

    def statistic(name: str, rows: npt.NDArray[np.intp]) -> Statistic | None:
        return statistics.of_series(name, shaped.take(rows))

    return _Side(judge_rows(part).metrics, statistic)


def _column(part: pd.DataFrame, name: str) -> Floats:
    return part[name].to_numpy(dtype=np.float64)
