"""Metrics as finite numbers. An undefined metric is left out and explained in a note. It is never NaN."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainyard_trainer.evaluate.curves import Cuts, area_under_roc, average_precision, precision_recall

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Scores:
    """Metrics by name, and notes about metrics that are missing or use only some rows."""

    metrics: dict[str, float]
    notes: tuple[str, ...] = ()


@np.errstate(over="ignore")  # near values of 0; results that are not finite are left out
def point_scores(actual: Floats, predicted: Floats) -> Scores:
    """Return the metrics of predicted numbers.

    ``mae``, ``rmse`` and ``bias`` (predicted minus actual) are in the unit of the target; ``mape``, ``smape`` and
    ``wape`` are fractions (0.2 is 20 %); ``r2`` is 1 for a perfect model and 0 for the mean of these rows. ``mape``
    leaves out rows with an actual value of 0 (a note reports the share of the others). ``smape``, the mean of ``2 |e| /
    (|actual| + |predicted|)`` as in the M4 competition, is between 0 and 2, and 0 if both values are 0. ``wape`` is the
    sum of errors divided by the sum of values. ``docs/metrics.md`` has all formulas and their sources.

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
            notes.append(f"mape uses only the {nonzero.mean():.1%} of the rows whose value is not 0")
    else:
        notes.append("mape and wape are undefined: every value of the holdout is 0")
    spread = float(np.sum((actual - actual.mean()) ** 2))
    if spread > 0:
        metrics["r2"] = 1 - float(np.sum(errors**2)) / spread
    else:
        notes.append("r2 is undefined: every value of the holdout is the same")
    return Scores(only_finite(metrics), tuple(notes))


def binary_scores(actual: Integers, probability: Floats, threshold: float) -> Scores:
    """Return the metrics of the probability of class 1, the positive class.

    ``accuracy``, ``precision``, ``recall`` and ``f1`` are those at ``threshold``. The same names with ``@0.5`` are
    those at 0.5. ``auc``, ``average_precision``, ``log_loss`` and ``brier`` need no threshold.
    """
    positive = actual == 1
    scores = {"threshold": threshold, "log_loss": _log_loss(np.where(positive, probability, 1 - probability))}
    scores["brier"] = _brier(positive, probability)
    scores |= _binary_predicted(actual, probability >= threshold)
    scores |= _at_one_half(_binary_predicted(actual, probability >= 0.5))
    if positive.all() or not positive.any():
        return Scores(only_finite(scores), ("auc is undefined: the holdout has only one class",))
    cuts = Cuts.of(positive, probability)
    scores["auc"] = area_under_roc(cuts)
    scores["average_precision"] = average_precision(cuts)
    return Scores(only_finite(scores))


def _brier(positive: npt.NDArray[np.bool_], probability: Floats | float) -> float:
    """Return the mean squared difference of the probability and the outcome, 1 or 0 (Brier 1950)."""
    return float(np.mean((probability - positive) ** 2))


def _log_loss(of_actual: Floats) -> float:
    """Return the mean log loss from the probability of each row's own class.

    A probability of 0 is replaced by a tiny one.
    """
    almost = np.finfo(np.float64).eps
    return float(-np.log(np.clip(of_actual, almost, 1 - almost)).mean())


def multiclass_scores(actual: Integers, probabilities: Floats) -> Scores:
    """Return the metrics of probabilities of shape (rows, classes).

    ``precision``, ``recall``, ``f1`` are means over the classes that occur; ``auc`` is the mean of each class against
    the rest.
    """
    classes = probabilities.shape[1]
    scores = _mean_predicted(actual, probabilities.argmax(axis=1), classes)
    scores["log_loss"] = _log_loss(probabilities[np.arange(len(actual)), actual])
    aucs = [
        area_under_roc(Cuts.of(actual == k, probabilities[:, k]))
        for k in range(classes)
        if 0 < (actual == k).sum() < len(actual)
    ]
    absent = classes - len(aucs)
    notes = (f"auc leaves out {absent} classes that do not occur in the holdout",) if absent else ()
    if aucs:
        scores["auc"] = float(np.mean(aucs))
    return Scores(only_finite(scores), notes)


def prior_scores(actual: Integers, prior: Floats) -> dict[str, float]:
    """Return the metrics of a model that predicts ``prior``, shape (classes,), for every row.

    This needs no sort of the rows.
    """
    predicted = np.full(len(actual), prior.argmax())
    scores = {"log_loss": float(-np.log(prior[actual]).mean())}
    if len(np.unique(actual)) > 1:
        scores["auc"] = 0.5
    if len(prior) > 2:
        return scores | _mean_predicted(actual, predicted, len(prior))
    scores["brier"] = _brier(actual == 1, float(prior[1]))
    if "auc" in scores:
        scores["average_precision"] = float(np.mean(actual == 1))
    at_one_half = _binary_predicted(actual, predicted == 1)
    return scores | at_one_half | _at_one_half(at_one_half)


def confusion(actual: Integers, predicted: Integers, classes: int) -> Integers:
    """Return the number of rows of each class (first axis) by predicted class (second axis); shape (classes,
    classes).
    """
    return np.bincount(actual * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def _binary_predicted(actual: Integers, predicted: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Return accuracy, precision, recall and F1.

    They are 0 instead of undefined if no row is predicted or actually positive.
    """
    hits, predicted_positive, positives = (
        int(rows.sum()) for rows in ((actual == 1) & predicted, predicted, actual == 1)
    )
    return {
        "accuracy": float(np.mean(predicted == (actual == 1))),
        "precision": hits / predicted_positive if predicted_positive else 0.0,
        "recall": hits / positives if positives else 0.0,
        "f1": 2 * hits / (predicted_positive + positives) if predicted_positive + positives else 0.0,
    }


def _at_one_half(scores: dict[str, float]) -> dict[str, float]:
    return {f"{name}@0.5": value for name, value in scores.items()}


def _mean_predicted(actual: Integers, predicted: Integers, classes: int) -> dict[str, float]:
    """Return means over the classes that occur. Precision is 0 for a class that was never predicted."""
    counts = confusion(actual, predicted, classes)
    hits, rows, predicted_positive = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    there = rows > 0
    return {
        "accuracy": float(hits.sum() / len(actual)),
        "precision": float(np.mean(hits[there] / np.maximum(predicted_positive[there], 1))),
        "recall": float(np.mean(hits[there] / rows[there])),
        "f1": float(np.mean(2 * hits[there] / (rows + predicted_positive)[there])),
    }


def best_threshold(actual: Integers, probability: Floats) -> float:
    """Return the threshold with the best F1, or 0.5 if no row is of class 1."""
    positive = actual == 1
    if not positive.any():
        return 0.5
    cuts = Cuts.of(positive, probability)
    precision, recall = precision_recall(cuts)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)[:-1]
    return float(cuts.probability[::-1][int(f1.argmax())])


def skill(loss: float, baseline_loss: float) -> float | None:
    """Return ``1 - loss / baseline_loss``: 1 is perfect, 0 is as good as the baseline, and less than 0 is worse.

    Return ``None`` if the baseline is perfect and the model is not, because the skill is not finite then.
    """
    if baseline_loss > 0:
        return 1 - loss / baseline_loss
    return 0.0 if loss == 0 else None


def only_finite(metrics: dict[str, float]) -> dict[str, float]:
    """Return only the metrics that are finite."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def rows_of(series: str | None, metrics: dict[str, float], baseline: dict[str, float]) -> list[dict[str, object]]:
    """Return the rows of the long table of metrics for one series, or with ``None`` for all rows."""
    return [
        {"series": series, "metric": name, "value": value, "baseline": baseline.get(name, math.nan)}
        for name, value in metrics.items()
    ]
