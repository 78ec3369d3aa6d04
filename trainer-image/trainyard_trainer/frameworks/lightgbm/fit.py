"""Fitting trees on rows of a table, and what they say of rows: shared by the training and by a search of parameters."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import lightgbm
import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.dataset import Dataset, Parts
from trainyard_trainer.errors import ConfigError, Interrupted
from trainyard_trainer.evaluate.judgement import Judgement
from trainyard_trainer.evaluate.rows import judge_classes, judge_numbers
from trainyard_trainer.frameworks.base import Context

Positions = npt.NDArray[np.intp]
Matrix = npt.NDArray[np.float64]

_ROUNDS_PER_REPORT: Final = 10
_CELLS_PER_THREAD: Final = 100_000
"""36,000 cells took 0.06 s with one thread and with two, and 18 s with two on a node with other work."""

_PREDICTIONS_OF_ONE_THREAD: Final = 1_000_000
"""Rows times trees, 30 ms of work. One row's answer takes 0.03 ms, and took 7 ms more to wait for a second thread."""

_ROUNDING: Final = 1e-9
"""Probabilities of one model sum up to 1 but for so much."""


def threads_for(dataset: Dataset, workers: int) -> int:
    """Return how many threads pay off: on small tables they wait for each other, and on a busy node for very long."""
    return max(1, min(workers, dataset.rows * len(dataset.features) // _CELLS_PER_THREAD))


def parts_of(dataset: Dataset) -> Parts:
    """Return how the rows are split. Raises ConfigError for a dataset of series."""
    if dataset.parts is None:
        raise ConfigError("LightGBM needs rows that are split into parts; use task Regression or Classification")
    return dataset.parts


def matrix_of(dataset: Dataset, rows: Positions) -> Matrix:
    """Return the features of rows as one matrix, shape (rows, features): text as the number of its value, or NaN.

    LightGBM would make the same of a frame, on the way over two further copies.
    """
    matrix = np.empty((len(rows), len(dataset.features)), order="F")
    for index, name in enumerate(dataset.features):
        matrix[:, index] = _numbers(dataset.frame[name])[rows]
    return matrix


def _numbers(column: "pd.Series[Any]") -> Matrix:
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    codes = column.cat.codes.to_numpy(dtype=np.float64)
    return np.where(codes < 0, np.nan, codes)


def binned(
    dataset: Dataset,
    rows: Positions,
    parameters: Mapping[str, Any],
    reference: lightgbm.Dataset | None = None,
) -> lightgbm.Dataset:
    """Return rows as LightGBM wants them, in the bins of ``reference`` if there is one."""
    texts = [index for index, name in enumerate(dataset.features) if name in dataset.categories]
    made = lightgbm.Dataset(
        matrix_of(dataset, rows),
        dataset.frame[dataset.target].to_numpy()[rows],
        reference=reference,
        feature_name=[f"column_{index}" for index in range(len(dataset.features))],  # users name columns as they like
        categorical_feature=texts,
        params=dict(parameters),
    )
    # As from a frame: the values come with the model, for whoever asks it with frames of their own.
    made.pandas_categorical = [list(dataset.categories[dataset.features[index]]) for index in texts]
    return made


def fit(
    training: lightgbm.Dataset,
    judged_by: lightgbm.Dataset | None,
    parameters: Mapping[str, Any],
    check: Callable[[Any], None],
    uri: str,
) -> lightgbm.Booster:
    """Fit; with ``judged_by``, stop when these rows no longer get better.

    Parameters
    ----------
    check
        A callback of LightGBM's.
    uri
        Where the rows came from, for the message of an error.
    """
    try:
        return lightgbm.train(
            dict(parameters),
            training,
            valid_sets=None if judged_by is None else [judged_by],
            callbacks=[check],
            keep_training_booster=True,  # else it is written as text and read back
        )
    except lightgbm.basic.LightGBMError as error:
        raise ConfigError(f"spec.parameters: LightGBM cannot train with them on {uri}: {error}") from error


class Reporter:
    """A LightGBM callback: tells progress, and ends the training when the pod must stop."""

    before_iteration = False
    order = 0

    def __init__(self, context: Context, begin: float, end: float) -> None:
        self._context, self._begin, self._end = context, begin, end

    def __call__(self, state: Any) -> None:
        """Look at one round. Raises Interrupted."""
        if self._context.stop():
            raise Interrupted(f"stopped in round {state.iteration}; the next attempt starts again")
        if state.iteration % _ROUNDS_PER_REPORT == 0:
            loss = {name: float(value) for _, name, value, _ in state.evaluation_result_list}
            done = (state.iteration - state.begin_iteration) / (state.end_iteration - state.begin_iteration)
            self._context.progress(self._begin + done * (self._end - self._begin), f"round {state.iteration}", loss)


def raw_predictions(booster: lightgbm.Booster, rows: Matrix, threads: int) -> npt.NDArray[np.float64]:
    """Return numbers of shape (rows,), or for three classes and more probabilities of shape (rows, classes).

    ``threads`` must be that of a training which goes on meanwhile: LightGBM keeps one number for the whole process.
    """
    return np.asarray(booster.predict(rows, num_threads=threads), dtype=np.float64)


def threads_to_predict(booster: lightgbm.Booster, rows: Matrix) -> int:
    """Return how many threads pay off for rows that a user sends; 0 is LightGBM's word for all cores."""
    return 1 if len(rows) * booster.num_trees() <= _PREDICTIONS_OF_ONE_THREAD else 0


def probabilities_of(raw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the probability of each class, shape (rows, classes), of predictions as LightGBM makes them."""
    if raw.ndim == 1:
        return np.column_stack([1 - raw, raw])
    # Objective multiclassova asks each class on its own, and its answers do not sum up to 1. Others stay as they are.
    total = raw.sum(axis=1, keepdims=True)
    return np.where(np.abs(total - 1) < _ROUNDING, raw, raw / total)


def judge_rows(
    dataset: Dataset, known: Positions, judged: Positions, raw: npt.NDArray[np.float64], threshold: float | None
) -> Judgement:
    """Judge raw predictions of the rows ``judged``, beside a model that knows only the target of the rows ``known``."""
    target = dataset.frame[dataset.target].to_numpy(dtype=np.float64)
    actual, seen = target[judged], target[known]
    if not dataset.classes:
        return judge_numbers(actual, raw, seen)
    classes = dataset.classes
    return judge_classes(actual.astype(np.intp), probabilities_of(raw), seen.astype(np.intp), classes, threshold)
