"""Fit trees on rows of a table, and predict rows. Training and parameter search share this code."""

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
"""36,000 cells took 0.06 s with one thread and with two, but 18 s with two on a busy node."""

_PREDICTIONS_OF_ONE_THREAD: Final = 1_000_000
"""Rows times trees, about 30 ms of work. One row takes 0.03 ms; a second thread added 7 ms."""

_ROUNDING: Final = 1e-9
"""Tolerance of the sum of the probabilities of one model."""


def threads_for(dataset: Dataset, workers: int) -> int:
    """Return the useful number of threads.

    On small tables threads wait for each other, for very long on a busy node.
    """
    return max(1, min(workers, dataset.rows * len(dataset.features) // _CELLS_PER_THREAD))


def parts_of(dataset: Dataset) -> Parts:
    """Return the split of the rows. Raises ConfigError for a dataset of series."""
    if dataset.parts is None:
        raise ConfigError("LightGBM needs a table with a split; use task Regression or Classification")
    return dataset.parts


def matrix_of(dataset: Dataset, rows: Positions) -> Matrix:
    """Return the features of rows as one matrix, shape (rows, features). Text becomes its code; missing values are NaN.

    LightGBM makes the same matrix from a frame, but with two more copies.
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
    """Return rows as a LightGBM dataset, with the bins of ``reference`` if given."""
    texts = [index for index, name in enumerate(dataset.features) if name in dataset.categories]
    made = lightgbm.Dataset(
        matrix_of(dataset, rows),
        dataset.frame[dataset.target].to_numpy()[rows],
        reference=reference,
        feature_name=[f"column_{index}" for index in range(len(dataset.features))],  # users' names may be invalid
        categorical_feature=texts,
        params=dict(parameters),
    )
    # As with a frame: the model contains the categories, for callers that predict with frames.
    made.pandas_categorical = [list(dataset.categories[dataset.features[index]]) for index in texts]
    return made


def fit(
    training: lightgbm.Dataset,
    judged_by: lightgbm.Dataset | None,
    parameters: Mapping[str, Any],
    check: Callable[[Any], None],
    uri: str,
) -> lightgbm.Booster:
    """Fit a booster. If ``judged_by`` is given, stop early on these rows.

    Parameters
    ----------
    check
        A LightGBM callback.
    uri
        The address of the rows, for error messages.
    """
    try:
        return lightgbm.train(
            dict(parameters),
            training,
            valid_sets=None if judged_by is None else [judged_by],
            callbacks=[check],
            keep_training_booster=True,  # otherwise it is written as text and parsed
        )
    except lightgbm.basic.LightGBMError as error:
        raise ConfigError(f"spec.parameters: LightGBM cannot train with these parameters on {uri}: {error}") from error


class Reporter:
    """A LightGBM callback that reports progress, and ends the training when the pod must stop."""

    before_iteration = False
    order = 0

    def __init__(self, context: Context, begin: float, end: float) -> None:
        self._context, self._begin, self._end = context, begin, end

    def __call__(self, state: Any) -> None:
        """Process one round. Raises Interrupted."""
        if self._context.stop():
            raise Interrupted(f"stopped in round {state.iteration}; the next attempt starts again")
        if state.iteration % _ROUNDS_PER_REPORT == 0:
            loss = {name: float(value) for _, name, value, _ in state.evaluation_result_list}
            done = (state.iteration - state.begin_iteration) / (state.end_iteration - state.begin_iteration)
            self._context.progress(self._begin + done * (self._end - self._begin), f"round {state.iteration}", loss)


def raw_predictions(booster: lightgbm.Booster, rows: Matrix, threads: int) -> npt.NDArray[np.float64]:
    """Return numbers of shape (rows,), or for three or more classes probabilities of shape (rows, classes).

    ``threads`` must equal that of a training that runs at the same time, because LightGBM has one setting per process.
    """
    return np.asarray(booster.predict(rows, num_threads=threads), dtype=np.float64)


def threads_to_predict(booster: lightgbm.Booster, rows: Matrix) -> int:
    """Return the useful number of threads for rows of a caller. 0 means all cores in LightGBM."""
    return 1 if len(rows) * booster.num_trees() <= _PREDICTIONS_OF_ONE_THREAD else 0


def probabilities_of(raw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the probability of each class, shape (rows, classes), from raw predictions of LightGBM."""
    if raw.ndim == 1:
        return np.column_stack([1 - raw, raw])
    # With the objective multiclassova, the probabilities do not sum to 1. For other objectives, they are unchanged.
    total = raw.sum(axis=1, keepdims=True)
    return np.where(np.abs(total - 1) < _ROUNDING, raw, raw / total)


def judge_rows(
    dataset: Dataset, known: Positions, judged: Positions, raw: npt.NDArray[np.float64], threshold: float | None
) -> Judgement:
    """Evaluate raw predictions of the rows ``judged``, and a naive model that only knows the target of the rows
    ``known``.
    """
    target = dataset.frame[dataset.target].to_numpy(dtype=np.float64)
    actual, seen = target[judged], target[known]
    if not dataset.classes:
        return judge_numbers(actual, raw, seen)
    classes = dataset.classes
    return judge_classes(actual.astype(np.intp), probabilities_of(raw), seen.astype(np.intp), classes, threshold)
