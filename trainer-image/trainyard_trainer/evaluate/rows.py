"""Evaluation of rows of a table, compared with a model that only knows the target. All frameworks use it."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from trainyard_api.metric_goals import goal_of
from trainyard_trainer.evaluate import baselines, metrics, names
from trainyard_trainer.evaluate.judgement import Judgement
from trainyard_trainer.evaluate.metrics import Floats, Integers, Scores

CONFUSION: Final = "confusion"
"""``confusion:<actual>:<predicted>`` in the table of metrics: number of rows of one class that were predicted as
another.
"""

PROBABILITY: Final = "probability:"
"""Prefix of the name of a class, in columns of the holdout and of predictions."""


def judge_numbers(actual: Floats, predicted: Floats, known: Floats) -> Judgement:
    """Evaluate predicted numbers.

    For each metric, the baseline is the better of the mean (best for RMSE) and the median (best for MAE). The rows have
    the median.

    Parameters
    ----------
    actual, predicted
        Values of the held-out rows; shape (rows,).
    known
        The target of the training rows; shape (fitted,).
    """
    constants = baselines.constant_regressors(known, len(actual))
    naive = [metrics.point_scores(actual, value).metrics for value in constants.values()]
    beside = {name: _better(name, *(one[name] for one in naive)) for name in naive[0]}
    holdout = pd.DataFrame({"actual": actual, "predicted": predicted, "baseline": constants["median"]})
    return _judgement(metrics.point_scores(actual, predicted), beside, "mae", holdout, baselines.CONSTANTS)


def _better(metric: str, *values: float) -> float:
    return max(values) if goal_of(metric) == "Maximize" else min(values, key=abs)


def judge_classes(
    actual: Integers, probabilities: Floats, known: Integers, classes: Sequence[str], threshold: float | None
) -> Judgement:
    """Evaluate probabilities of classes. The baseline predicts the share of each class, and the largest class.

    Parameters
    ----------
    actual, known
        Class codes of the held-out rows, shape (rows,), and of the training rows.
    probabilities
        Shape (rows, classes).
    threshold
        With two classes, the probability threshold of the second one. The default is 0.5.
    """
    if len(classes) == 2:
        cut = 0.5 if threshold is None else threshold
        predicted = (probabilities[:, 1] >= cut).astype(np.intp)
        scores = metrics.binary_scores(actual, probabilities[:, 1], cut)
    else:
        predicted = np.asarray(probabilities.argmax(axis=1), dtype=np.intp)
        scores = metrics.multiclass_scores(actual, probabilities)
    columns = {PROBABILITY + name: probabilities[:, number] for number, name in enumerate(classes)}
    beside = metrics.prior_scores(actual, baselines.class_prior(known, len(classes)))
    counts = metrics.confusion(actual, predicted, len(classes))
    cells = {
        f"{CONFUSION}:{classes[row]}:{classes[column]}": float(counts[row, column])
        for row, column in np.argwhere(counts).tolist()
    }
    holdout = pd.DataFrame({"actual": actual, **columns})
    return _judgement(scores, beside, "log_loss", holdout, baselines.CLASS_SHARES, cells)


def _judgement(
    scores: Scores,
    beside: dict[str, float],
    loss: str,
    holdout: pd.DataFrame,
    baseline: str,
    shown: dict[str, float] | None = None,
) -> Judgement:
    """Combine the results of an evaluation. ``shown`` is only for the table."""
    published = scores.metrics | {names.BASELINE + name: value for name, value in beside.items()}
    notes = scores.notes
    skill = metrics.skill(scores.metrics[loss], beside[loss])
    if skill is None:
        notes = (*notes, "skill is undefined: the baseline has no error")
    else:
        published[names.SKILL] = skill
    table = pd.DataFrame(metrics.rows_of(None, scores.metrics | (shown or {}), beside))
    return Judgement(published, table, holdout, notes, baseline)
