"""Rows of a table on their holdout, beside a model that knows only the target: one judge for every framework."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from trainyard_api.metric_goals import goal_of
from trainyard_trainer.evaluate import baselines, metrics, names
from trainyard_trainer.evaluate.judgement import Judgement
from trainyard_trainer.evaluate.metrics import Floats, Integers, Scores

CONFUSION: Final = "confusion"
"""``confusion:<actual>:<called>`` in the table of metrics: how many rows of one class were called another."""

PROBABILITY: Final = "probability:"
"""Before the name of a class: column of the holdout, as of the answers."""


def judge_numbers(actual: Floats, predicted: Floats, known: Floats) -> Judgement:
    """Judge predicted numbers.

    Per metric the baseline is the better of the mean (best for RMSE) and the median (best for MAE); the rows show the
    median.

    Parameters
    ----------
    actual, predicted
        Of the rows that judge; shape (rows,).
    known
        The target of the rows that the model was fitted on; shape (fitted,).
    """
    constants = baselines.constant_regressors(known, len(actual))
    naive = [metrics.point_scores(actual, said).metrics for said in constants.values()]
    beside = {name: _better(name, *(one[name] for one in naive)) for name in naive[0]}
    holdout = pd.DataFrame({"actual": actual, "predicted": predicted, "baseline": constants["median"]})
    return _judgement(metrics.point_scores(actual, predicted), beside, "mae", holdout, baselines.CONSTANTS)


def _better(metric: str, *values: float) -> float:
    return max(values) if goal_of(metric) == "Maximize" else min(values, key=abs)


def judge_classes(
    actual: Integers, probabilities: Floats, known: Integers, classes: Sequence[str], threshold: float | None
) -> Judgement:
    """Judge probabilities of classes. The baseline gives every row the share of each class, and calls the largest one.

    Parameters
    ----------
    actual, known
        Numbers of classes: of the rows that judge, shape (rows,), and of those fitted on.
    probabilities
        Shape (rows, classes).
    threshold
        With two classes, from which probability on the second one is called; without one, one half.
    """
    if len(classes) == 2:
        cut = 0.5 if threshold is None else threshold
        called = (probabilities[:, 1] >= cut).astype(np.intp)
        scores = metrics.binary_scores(actual, probabilities[:, 1], cut)
    else:
        called = np.asarray(probabilities.argmax(axis=1), dtype=np.intp)
        scores = metrics.multiclass_scores(actual, probabilities)
    columns = {PROBABILITY + name: probabilities[:, number] for number, name in enumerate(classes)}
    beside = metrics.prior_scores(actual, baselines.class_prior(known, len(classes)))
    counts = metrics.confusion(actual, called, len(classes))
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
    """Join what is published; ``shown`` is for the table alone."""
    published = scores.metrics | {names.BASELINE + name: value for name, value in beside.items()}
    notes = scores.notes
    skill = metrics.skill(scores.metrics[loss], beside[loss])
    if skill is None:
        notes = (*notes, "skill is undefined: the baseline makes no error")
    else:
        published[names.SKILL] = skill
    table = pd.DataFrame(metrics.rows_of(None, scores.metrics | (shown or {}), beside))
    return Judgement(published, table, holdout, notes, baseline)
