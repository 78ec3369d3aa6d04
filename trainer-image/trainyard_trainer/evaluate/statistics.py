"""Metrics for many weightings of the same rows at once, as needed for a bootstrap.

Most metrics are functions of a few sums over the rows. With the weights of all resamples as a matrix, these sums are
one matrix product. A test compares each statistic with all weights 1 to the metric of ``evaluate``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from trainyard_trainer.evaluate.metrics import Floats, Integers

_TINY: Final = np.finfo(np.float64).eps


class Statistic(Protocol):
    """A metric of weighted rows."""

    def __call__(self, weights: Floats) -> Floats:
        """Return the metric for each row of ``weights``, shape (resamples, rows). NaN if it is undefined."""
        ...


@dataclass(frozen=True)
class OfSums:
    """A metric ``value`` of the weighted sums of ``columns``, shape (rows, sums)."""

    columns: Floats
    value: Callable[[Floats], Floats]

    @np.errstate(divide="ignore", invalid="ignore")
    def __call__(self, weights: Floats) -> Floats:
        """Return ``value`` of the weighted sums."""
        return self.value(weights @ self.columns)


@dataclass(frozen=True)
class AreaUnderRoc:
    """The probability that a positive row has a higher predicted probability than a negative one. Ties count half."""

    positive: npt.NDArray[np.bool_]
    probability: Floats

    @np.errstate(divide="ignore", invalid="ignore")
    def __call__(self, weights: Floats) -> Floats:
        """For each run of equal probabilities, count the negatives below it and half of those in it."""
        order = np.argsort(self.probability, kind="stable")
        starts = _runs(self.probability[order])
        hits = np.add.reduceat(weights[:, order] * self.positive[order], starts, axis=1)
        misses = np.add.reduceat(weights[:, order] * ~self.positive[order], starts, axis=1)
        below = np.cumsum(misses, axis=1) - misses
        return np.asarray((hits * (below + misses / 2)).sum(axis=1) / (hits.sum(axis=1) * misses.sum(axis=1)))


@dataclass(frozen=True)
class AveragePrecision:
    """The mean precision at each positive row, from the highest probability down, as defined in scikit-learn."""

    positive: npt.NDArray[np.bool_]
    probability: Floats

    @np.errstate(divide="ignore", invalid="ignore")
    def __call__(self, weights: Floats) -> Floats:
        """Process the runs of equal probabilities in descending order."""
        order = np.argsort(-self.probability, kind="stable")
        starts = _runs(self.probability[order])
        hits = np.add.reduceat(weights[:, order] * self.positive[order], starts, axis=1)
        predicted_positive = np.cumsum(np.add.reduceat(weights[:, order], starts, axis=1), axis=1)
        precision = np.where(predicted_positive > 0, np.cumsum(hits, axis=1) / predicted_positive, 0)
        return np.asarray((hits * precision).sum(axis=1) / hits.sum(axis=1))


def _runs(falling: Floats) -> npt.NDArray[np.intp]:
    return np.flatnonzero(np.concatenate([[True], np.diff(falling) != 0]))


def of_numbers(metric: str, actual: Floats, predicted: Floats, baseline: Floats) -> Statistic | None:  # noqa: PLR0911
    """Return a metric of predicted numbers, or ``None`` if it is not supported."""
    error, size = predicted - actual, np.abs(actual)
    one = np.ones(len(actual))
    match metric:
        case "mae":
            return _mean(np.abs(error), one)
        case "rmse":
            return OfSums(_columns(error**2, one), lambda sums: np.sqrt(sums[:, 0] / sums[:, 1]))
        case "bias":
            return _mean(error, one)
        case "wape":
            return _mean(np.abs(error), size)
        case "mape":
            there = size > 0
            return _mean(np.divide(np.abs(error), size, out=np.zeros_like(size), where=there), there.astype(float))
        case "r2":
            return OfSums(_columns(error**2, actual**2, actual, one), _r2)
        case "skill":
            return _skill(np.abs(error), np.abs(baseline - actual))
    return None


def of_classes(metric: str, actual: Integers, probability: Floats, threshold: float) -> Statistic | None:  # noqa: PLR0911
    """Return a metric of the probability of class 1 of two, or ``None`` if it is not supported."""
    positive = actual == 1
    name, _, cut = metric.partition("@")
    predicted = probability >= (float(cut) if cut else threshold)
    hits, predicted_positive, there = (part.astype(np.float64) for part in (positive & predicted, predicted, positive))
    one = np.ones(len(actual))
    match name:
        case "auc":
            return AreaUnderRoc(positive, probability)
        case "average_precision":
            return AveragePrecision(positive, probability)
        case "log_loss":
            given = np.clip(np.where(positive, probability, 1 - probability), _TINY, 1 - _TINY)
            return _mean(-np.log(given), one)
        case "brier":
            return _mean((probability - there) ** 2, one)
        case "accuracy":
            return _mean((predicted == positive).astype(np.float64), one)
        case "precision":
            return _mean(hits, predicted_positive)
        case "recall":
            return _mean(hits, there)
        case "f1":
            return _mean(2 * hits, predicted_positive + there)
    return None


def of_many_classes(metric: str, actual: Integers, probabilities: Floats) -> Statistic | None:
    """Return a metric of three or more classes, or ``None`` if it is not supported.

    Means over classes give equal weight to each class that occurs. ``auc`` is the mean of each class against the rest.
    """
    predicted, one = probabilities.argmax(axis=1), np.ones(len(actual))
    given = np.clip(probabilities[np.arange(len(actual)), actual], _TINY, 1 - _TINY)
    classes = range(probabilities.shape[1])
    match metric:
        case "log_loss":
            return _mean(-np.log(given), one)
        case "accuracy":
            return _mean((predicted == actual).astype(np.float64), one)
        case "auc":
            return _Means(tuple(AreaUnderRoc(actual == k, probabilities[:, k]) for k in classes))
        case "precision" | "recall" | "f1":
            pairs = [_predicted_metric(metric, actual == k, predicted == k) for k in classes if (actual == k).any()]
            return OfSums(np.concatenate(pairs, axis=1), _mean_of_ratios)
    return None


@dataclass(frozen=True)
class _Means:
    """The mean of several statistics, over those that are defined."""

    each: tuple[Statistic, ...]

    def __call__(self, weights: Floats) -> Floats:
        values = np.stack([one(weights) for one in self.each])
        known = np.isfinite(values)
        return np.asarray(np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def _predicted_metric(metric: str, there: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]) -> Floats:
    hits, predicted_positive, positives = (part.astype(np.float64) for part in (there & predicted, predicted, there))
    match metric:
        case "precision":
            return _columns(hits, predicted_positive)
        case "recall":
            return _columns(hits, positives)
        case _:
            return _columns(2 * hits, predicted_positive + positives)


def _mean_of_ratios(sums: Floats) -> Floats:
    above, below = sums[:, 0::2], sums[:, 1::2]
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0).mean(axis=1))


def of_series(metric: str, rows: "SeriesRows") -> Statistic | None:
    """Return a metric of forecasts, or ``None`` if it is not supported. The weight of a series is that of its rows."""
    error = np.abs(rows.predicted - rows.actual)
    share = 1 / rows.count
    scaled = np.isfinite(rows.scale) & (rows.scale > 0)
    safe = np.where(scaled, rows.scale, 1.0)
    match metric:
        case "mase":
            return _mean(np.where(scaled, share * error / safe, 0), np.where(scaled, share, 0))
        case "weighted_mae":
            return _mean(share * rows.volume * error, share * rows.volume)
        case "weighted_mase":
            weight = np.where(scaled, share * rows.volume, 0)
            return _mean(weight * error / safe, weight)
    return of_numbers(metric, rows.actual, rows.predicted, rows.baseline)


@dataclass(frozen=True)
class SeriesRows:
    """Held-out rows of forecasts, all of shape (rows,).

    ``count``, ``volume`` and ``scale`` are those of the row's series: its number of rows, the sum of its absolute
    values, and the divisor of its errors.
    """

    actual: Floats
    predicted: Floats
    baseline: Floats
    count: Floats
    volume: Floats
    scale: Floats

    def take(self, rows: npt.NDArray[np.intp]) -> "SeriesRows":
        """Return some of the rows."""
        return SeriesRows(*(values[rows] for values in vars(self).values()))


def _mean(values: Floats, weights: Floats) -> Statistic:
    return OfSums(_columns(values, weights), lambda sums: sums[:, 0] / sums[:, 1])


def _skill(loss: Floats, naive: Floats) -> Statistic:
    return OfSums(_columns(loss, naive), lambda sums: 1 - sums[:, 0] / sums[:, 1])


def _r2(sums: Floats) -> Floats:
    errors, squares, total, count = sums.T
    return np.asarray(1 - errors / (squares - total**2 / count))


def _columns(*columns: Floats) -> Floats:
    return np.column_stack(columns)
