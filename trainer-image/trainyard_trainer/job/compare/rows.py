"""The held-out rows that the champion was not trained on, and its predictions for them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.data import Data
from trainyard_trainer.artifacts.manifest import SplitInfo
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.tables.splits import Sides
from trainyard_trainer.data.values.times import parse_times
from trainyard_trainer.errors import DataError
from trainyard_trainer.evaluate.rows import PROBABILITY
from trainyard_trainer.frameworks.base import ForecastFramework
from trainyard_trainer.job.compare.champion import Champion, PredictionError, Which
from trainyard_trainer.job.compare.time_limit import TimeLimit
from trainyard_trainer.progress.log import LOGGER

T = TypeVar("T")
Mask = npt.NDArray[np.bool_]

PREDICTION: Final = "prediction"
_FIRST_SERIES: Final = 16
_FIRST_ROWS: Final = 4096
_NEVER: Final = np.datetime64("1677-09-22", "ns")


@dataclass(frozen=True)
class Predictions:
    """Predictions of one version for held-out rows.

    Attributes
    ----------
    by
        Which of its two models predicted.
    rows
        Mask of the held-out rows that it predicted and was not trained on; shape (held-out rows,).
    values
        Numbers: shape (held-out rows,). Classes: probabilities, shape (held-out rows, classes of the dataset).
    threshold
        With two classes, its own threshold for the second one.
    """

    by: Which
    rows: Mask
    values: npt.NDArray[np.float64]
    threshold: float | None = None


def predictions_of(champion: Champion, dataset: Dataset, data: Data, work: Path, limit: TimeLimit) -> Predictions:
    """Return the champion's predictions by the newest of its two models that was not trained on the rows.

    Raises
    ------
    PredictionError
        If it lacks a column, was trained on all of the rows, cannot be loaded, or takes too long.
    Interrupted
        If the pod must stop.
    """
    if dataset.task == "Forecast":
        return _of_series(champion, dataset, work, limit)
    return _of_rows(champion, dataset, data, work, limit)


# ---- forecasts -------------------------------------------------------------------------------------------------------


def _of_series(champion: Champion, dataset: Dataset, work: Path, limit: TimeLimit) -> Predictions:
    framework = cast("ForecastFramework", champion.framework)
    if (signature := champion.manifest.signature) is not None:
        dataset = dataset.known_ahead([column.name for column in signature.inputs])
    held = np.concatenate([np.arange(one.split, one.stop) for one in dataset.series])
    times = dataset.frame["ds"].to_numpy("datetime64[ns]")[held]
    names = np.repeat(np.array([one.name for one in dataset.series], dtype=object), _lengths(dataset))
    split = champion.manifest.split
    known = None if split is None or split.final_until is None else np.datetime64(split.final_until)
    by: Which = "Final"
    unseen = np.zeros(len(held), dtype=np.bool_)
    if known is None or known < times.min():
        model = champion.load(by, work)
        unseen = _later(times, names, framework.learned_until(model))
    if not unseen.all():
        by = "Judged"
        model = champion.load(by, work)
        unseen = _later(times, names, framework.learned_until(model))
    parts = [
        _predict(partial(framework.forecast_holdouts, model, replace(dataset, series=dataset.series[part])))
        for part in limit.parts(len(dataset.series), _FIRST_SERIES)
    ]
    values = np.concatenate(parts)
    return _require_rows(Predictions(by, unseen & np.isfinite(values), values), unseen)


def unseen_forecasts(champion: Champion, dataset: Dataset, work: Path, limit: TimeLimit) -> npt.NDArray[np.float64]:
    """Return the champion's predictions for the held-out rows of a window; shape (held-out rows,).

    A value is NaN if the champion was trained on the row or cannot predict it.
    """
    try:
        predictions = _of_series(champion, dataset, work, limit)
    except PredictionError as error:
        LOGGER.info("the champion has no predictions for a window of the backtest: %s", error)
        return np.full(sum(_lengths(dataset)), np.nan)
    return np.where(predictions.rows, predictions.values, np.nan)


def _later(
    times: npt.NDArray[np.datetime64], names: npt.NDArray[np.object_], until: Mapping[str, np.datetime64]
) -> Mask:
    """Return a mask of the rows of series without a held-out row in training.

    All false if the model does not report times.

    A series counts as a whole. A model that was trained on its first held-out days also knows something about the last
    one.
    """
    if not until:
        return np.zeros(len(times), dtype=np.bool_)
    ends = np.array([until.get(name, _NEVER) for name in names], dtype="datetime64[ns]")
    codes = pd.factorize(names)[0]
    trained_on = np.bincount(codes, times <= ends)
    return np.asarray(trained_on[codes] == 0)


def _lengths(dataset: Dataset) -> list[int]:
    return [one.holdout for one in dataset.series]


# ---- tables ----------------------------------------------------------------------------------------------------------


def _of_rows(champion: Champion, dataset: Dataset, data: Data, work: Path, limit: TimeLimit) -> Predictions:
    rows, split = dataset.held_out, champion.manifest.split
    if rows is None:
        raise AssertionError("a table that is to be compared keeps its held-out rows")
    if split is None:
        raise PredictionError(
            "ChampionKnowsRows",
            "it was trained by a release that does not record the rows of a training; versions of this "
            "release do, so later comparisons are possible",
        )
    _require_columns(champion, rows)
    by, unseen = _unseen(split, rows, data)
    if not unseen.any():
        raise PredictionError("ChampionKnowsRows", f"it was trained on all of the {len(rows)} held-out rows")
    model = champion.load(by, work)
    parts = [
        _predict(partial(champion.framework.predict, model, rows.iloc[part]))
        for part in limit.parts(len(rows), _FIRST_ROWS)
    ]
    outputs = pd.concat(parts, ignore_index=True)
    if not dataset.classes:
        values = outputs[PREDICTION].to_numpy(dtype=np.float64)
        return _require_rows(Predictions(by, unseen & np.isfinite(values), values), unseen)
    columns = [outputs.get(PROBABILITY + name, pd.Series(np.zeros(len(rows)))) for name in dataset.classes]
    values = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
    predicted = unseen & np.isfinite(values).all(axis=1)
    return _require_rows(Predictions(by, predicted, values, _threshold(champion, outputs, dataset.classes)), unseen)


def _unseen(split: SplitInfo, rows: pd.DataFrame, data: Data) -> tuple[Which, Mask]:
    """Return the newest model that was not trained on any of the rows, or the judged one and the rows that it has not
    seen.
    """
    if split.strategy == "Time":
        column = split.columns[0]
        times, _ = parse_times(rows[column], column, data.time_zone, data.time_format)
        instants = times.to_numpy("datetime64[ns]")
        if split.final_until is not None and (instants > np.datetime64(split.final_until)).all():
            return "Final", np.ones(len(rows), dtype=np.bool_)
        if split.judged_until is None:
            return "Judged", np.zeros(len(rows), dtype=np.bool_)
        return "Judged", instants > np.datetime64(split.judged_until)
    sides = Sides(
        cast("Any", split.strategy), split.seed, split.test_fraction, split.validation_fraction, tuple(split.columns)
    )
    return "Judged", sides.judges(rows)


def _require_columns(champion: Champion, rows: pd.DataFrame) -> None:
    missing = [name for name in champion.columns if name not in rows.columns]
    if missing:
        raise PredictionError(
            "ChampionIncompatible",
            f"it needs column {missing[0]!r}, which the data no longer has"
            if len(missing) == 1
            else f"it needs {len(missing)} columns that the data no longer has, such as {missing[0]!r}",
        )


def _threshold(champion: Champion, outputs: pd.DataFrame, classes: tuple[str, ...]) -> float | None:
    """Return its threshold for the second class of the dataset. It is converted if it refers to the other class."""
    known = champion.manifest.metrics.get("threshold")
    if len(classes) != 2 or known is None:
        return None
    own = [name.removeprefix(PROBABILITY) for name in outputs.columns if name.startswith(PROBABILITY)]
    return known if len(own) == 2 and own[1] == classes[1] else 1 - known


def _require_rows(predictions: Predictions, unseen: Mask) -> Predictions:
    if predictions.rows.any():
        return predictions
    if not unseen.any():
        raise PredictionError("ChampionKnowsRows", f"it was trained on all of the {len(unseen)} held-out rows")
    raise PredictionError(
        "ChampionIncompatible", "it was trained on none of the series, or has no finite prediction for any row"
    )


def _predict(predict: Callable[[], T]) -> T:
    try:
        return predict()
    except DataError as error:
        raise PredictionError("ChampionIncompatible", str(error)) from error
