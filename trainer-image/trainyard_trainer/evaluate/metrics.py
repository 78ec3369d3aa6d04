"""Metrics as plain numbers, finite or absent: what cannot be told is left out and said in a note, never NaN."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainyard_trainer.evaluate.curves import Cuts, area_under_roc, average_precision, precision_recall

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Scores:
    """Metrics by name, and notes on those that are missing or rest on a part of the rows."""

    metrics: dict[str, float]
    notes: tuple[str, ...] = ()


@np.errstate(over="ignore")  # beside a value of almost 0; what is not finite is left out
def point_scores(actual: Floats, predicted: Floats) -> Scores:
    """Judge predicted numbers.

    ``mae``, ``rmse`` and ``bias`` (predicted less actual) have the target's unit; ``mape``, ``smape`` and ``wape`` are
    fractions (0.2 is 20 %); ``r2`` is 1 for a perfect model and 0 for the mean of the rows judged. ``mape`` leaves out
    rows whose actual value is 0 (the share of the rest is told in a note); ``smape``, the mean of ``2 |e| / (|actual| +
    |predicted|)`` as in the M4 competition, is between 0 and 2 and counts 0 where both are 0; ``wape``, the sum of
    errors over the sum of values, needs no exception. ``docs/metrics.md`` has all formulas and their sources.

    Parameters
    ----------
    actual, predicted
        Shape (rows,), at least one row, without NaN.
    """
    errors = np.abs(actual - predicted)
    both = np.abs(actual) + np.abs(predicted)
    metrics = {
        "mae": float(errors.mean()),
        "rmse": float(np.sqrt(np.mean(errors**2))),
        "smape": 2 * float(np.mean(np.divide(errors, both, out=np.zeros_like(errors), where=both > 0))),
        "bias": float(np.mean(predicted - actual)),
    }
    notes: list[str] = []
    nonzero = actual != 0
    if nonzero.any():
        metrics["mape"] = float(np.mean(errors[nonzero] / np.abs(actual[nonzero])))
        metrics["wape"] = float(errors.sum() / np.abs(actual).sum())
        if not nonzero.all():
            notes.append(f"mape rests on the {nonzero.mean():.1%} of the rows whose value is not 0")
    else:
        notes.append("mape and wape are undefined: every value of the holdout is 0")
    spread = float(np.sum((actual - actual.mean()) ** 2))
    if spread > 0:
        metrics["r2"] = 1 - float(np.sum(errors**2)) / spread
    else:
        notes.append("r2 is undefined: every value of the holdout is the same")
    return Scores(only_finite(metrics), tuple(notes))


def binary_scores(actual: Integers, probability: Floats, threshold: float) -> Scores:
    """Judge the probability of class 1, the positive one.

    ``accuracy``, ``precision``, ``recall`` and ``f1`` are those at ``threshold``; the same names with ``@0.5`` are
    those at one half. ``auc``, ``average_precision``, ``log_loss`` and ``brier`` need no threshold.
    """
    positive = actual == 1
    scores = {"threshold": threshold, "log_loss": _log_loss(np.where(positive, probability, 1 - probability))}
    scores["brier"] = _brier(positive, probability)
    scores |= _binary_called(actual, probability >= threshold)
    scores |= _at_one_half(_binary_called(actual, probability >= 0.5))
    if positive.all() or not positive.any():
        return Scores(only_finite(scores), ("auc is undefined: the holdout holds one class only",))
    cuts = Cuts.of(positive, probability)
    scores["auc"] = area_under_roc(cuts)
    scores["average_precision"] = average_precision(cuts)
    return Scores(only_finite(scores))


def _brier(positive: npt.NDArray[np.bool_], probability: Floats | float) -> float:
    """Return the mean squared distance of the probability from what happened: 1 or 0 (Brier 1950)."""
    return float(np.mean((probability - positive) ** 2))


def _log_loss(of_actual: Floats) -> float:
    """Return the mean loss from the probability that each row's own class was given; 0 counts as almost 0."""
    almost = np.finfo(np.float64).eps
    return float(-np.log(np.clip(of_actual, almost, 1 - almost)).mean())


def multiclass_scores(actual: Integers, probabilities: Floats) -> Scores:
    """Judge probabilities of shape (rows, classes).

    ``precision``, ``recall``, ``f1`` are means over the classes that occur; ``auc`` is the mean of each class against
    the rest.
    """
    classes = probabilities.shape[1]
    scores = _mean_called(actual, probabilities.argmax(axis=1), classes)
    scores["log_loss"] = _log_loss(probabilities[np.arange(len(actual)), actual])
    aucs = [
        area_under_roc(Cuts.of(actual == k, probabilities[:, k]))
        for k in range(classes)
        if 0 < (actual == k).sum() < len(actual)
    ]
    absent = classes - len(aucs)
    notes = (f"auc leaves out {absent} classes that the holdout does not hold",) if absent else ()
    if aucs:
        scores["auc"] = float(np.mean(aucs))
    return Scores(only_finite(scores), notes)


def prior_scores(actual: Integers, prior: Floats) -> dict[str, float]:
    """Judge a model that says ``prior``, shape (classes,), of every row: what it reaches needs no sorting of rows."""
    called = np.full(len(actual), prior.argmax())
    scores = {"log_loss": float(-np.log(prior[actual]).mean())}
    if len(np.unique(actual)) > 1:
        scores["auc"] = 0.5
    if len(prior) > 2:
        return scores | _mean_called(actual, called, len(prior))
    scores["brier"] = _brier(actual == 1, float(prior[1]))
    if "auc" in scores:
        scores["average_precision"] = float(np.mean(actual == 1))
    at_one_half = _binary_called(actual, called == 1)
    return scores | at_one_half | _at_one_half(at_one_half)


def confusion(actual: Integers, called: Integers, classes: int) -> Integers:
    """Count the rows of each class (first axis) that were called each class; shape (classes, classes)."""
    return np.bincount(actual * classes + called, minlength=classes * classes).reshape(classes, classes)


def _binary_called(actual: Integers, called: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Precision, recall and F1 are 0 where nothing was called or nothing was there to call."""
    hits, calls, positives = (int(rows.sum()) for rows in ((actual == 1) & called, called, actual == 1))
    return {
        "accuracy": float(np.mean(called == (actual == 1))),
        "precision": hits / calls if calls else 0.0,
        "recall": hits / positives if positives else 0.0,
        "f1": 2 * hits / (calls + positives) if calls + positives else 0.0,
    }


def _at_one_half(scores: dict[str, float]) -> dict[str, float]:
    return {f"{name}@0.5": value for name, value in scores.items()}


def _mean_called(actual: Integers, called: Integers, classes: int) -> dict[str, float]:
    """Return means over the classes that occur; precision is 0 where a class was never called."""
    counts = confusion(actual, called, classes)
    hits, rows, calls = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    there = rows > 0
    return {
        "accuracy": float(hits.sum() / len(actual)),
        "precision": float(np.mean(hits[there] / np.maximum(calls[there], 1))),
        "recall": float(np.mean(hits[there] / rows[there])),
        "f1": float(np.mean(2 * hits[there] / (rows + calls)[there])),
    }


def best_threshold(actual: Integers, probability: Floats) -> float:
    """Return the threshold with the best F1; one half where no row is of class 1."""
    positive = actual == 1
    if not positive.any():
        return 0.5
    cuts = Cuts.of(positive, probability)
    precision, recall = precision_recall(cuts)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)[:-1]
    return float(cuts.probability[::-1][int(f1.argmax())])


def skill(loss: float, baseline_loss: float) -> float | None:
    """Return ``1 - loss / baseline_loss``: 1 is perfect, 0 as good as the baseline, below 0 worse.

    ``None`` if the baseline is perfect and the model is not: no number says how much worse that is.
    """
    if baseline_loss > 0:
        return 1 - loss / baseline_loss
    return 0.0 if loss == 0 else None


def only_finite(metrics: dict[str, float]) -> dict[str, float]:
    """Leave out what is not a number."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def rows_of(series: str | None, metrics: dict[str, float], baseline: dict[str, float]) -> list[dict[str, object]]:
    """Return the lines of the long table of metrics for one series, or with ``None`` for all rows together."""
    return [
        {"series": series, "metric": name, "value": value, "baseline": baseline.get(name, math.nan)}
        for name, value in metrics.items()
    ]
