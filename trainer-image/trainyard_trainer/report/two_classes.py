"""Charts of two classes: the metrics and the cost of each threshold, and the calibration of probabilities."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.threshold import Threshold
from trainyard_trainer.evaluate.curves import Cuts
from trainyard_trainer.evaluate.rows import PROBABILITY
from trainyard_trainer.evaluate.thresholds import cost_of_cuts
from trainyard_trainer.report.figures import Figure
from trainyard_trainer.report.svg import Axis, Floats, Plot, readable, thinned

_BINS: Final = 10
_CURVES: Final = (("class-0", "precision"), ("class-1", "recall"), ("class-2", "F1"))
_UNIT: Final = np.array([0.0, 1.0])


@dataclass(frozen=True)
class Reliability:
    """Rows in bins of their probability: mean probability, observed frequency, and number of rows; shape (bins,)
    each.
    """

    predicted: Floats
    observed: Floats
    rows: npt.NDArray[np.intp]

    @classmethod
    def of(cls, positive: npt.NDArray[np.bool_], probability: Floats) -> "Reliability":
        """Count in ten bins of equal width. Empty bins are left out."""
        number = np.minimum((probability * _BINS).astype(np.intp), _BINS - 1)
        rows = np.bincount(number, minlength=_BINS)
        occupied = rows > 0
        predicted, observed = (
            np.bincount(number, weights, _BINS)[occupied] / rows[occupied] for weights in (probability, positive)
        )
        return cls(predicted, observed, rows[occupied])


def figures_of(
    holdout: pd.DataFrame, positive: str, threshold: float | None, threshold_spec: Threshold | None
) -> list[Figure]:
    """Plot metrics by threshold, and the calibration of the positive class.

    Empty unless there are rows of both classes.
    """
    actual = holdout["actual"].to_numpy(np.intp) == 1
    probability = holdout[PROBABILITY + positive].to_numpy(np.float64)
    if actual.all() or not actual.any():
        return []
    cuts = Cuts.of(actual, probability)
    charts = [_quality(cuts, positive, threshold)]
    if (
        threshold_spec is not None
        and threshold_spec.cost_of_miss is not None
        and threshold_spec.cost_of_alarm is not None
    ):
        charts.append(_cost(cuts, threshold_spec.cost_of_miss, threshold_spec.cost_of_alarm, threshold))
    return [*charts, _calibration(Reliability.of(actual, probability), positive, probability, actual)]


def _quality(cuts: Cuts, positive: str, threshold: float | None) -> Figure:
    recall, precision = cuts.hits / cuts.hits[-1], cuts.hits / (cuts.hits + cuts.alarms)
    f1 = 2 * cuts.hits / (cuts.hits + cuts.alarms + cuts.hits[-1])
    some = thinned(len(recall))
    unit = Axis.over(_UNIT)
    plot = Plot("Precision, recall and F1 by threshold", unit, unit)
    for (kind, _), values in zip(_CURVES, (precision, recall, f1), strict=True):
        plot.line(cuts.probability[some], values[some], kind)
    _mark(plot, threshold, 1.0)
    best = int(f1.argmax())
    text = (
        f"Class {positive}. x axis: threshold. y axis: precision, recall and F1. "
        f"{_chosen(cuts, threshold)}The best F1 of these rows is {f1[best]:.2f}, at threshold "
        f"{cuts.probability[best]:.3g}."
    )
    return Figure("Precision, recall and F1 by threshold", plot.svg(), text, (*_CURVES, ("naive", "threshold")))


def _cost(cuts: Cuts, miss: float, alarm: float, threshold: float | None) -> Figure:
    costs = cost_of_cuts(cuts, miss, alarm)
    some, axis = thinned(len(costs)), Axis.over(costs, zero=True)
    plot = Plot("Cost by threshold", Axis.over(_UNIT), axis).line(cuts.probability[some], costs[some], "model")
    _mark(plot, threshold, axis.high)
    best = int(costs.argmin())
    text = (
        f"x axis: threshold. y axis: cost of these rows, {miss:g} for each false negative and {alarm:g} "
        f"for each false positive. The least cost is {readable(float(costs[best]))}, at threshold "
        f"{cuts.probability[best]:.3g}; without any positive prediction it is "
        f"{readable(float(miss * cuts.hits[-1]))}."
    )
    return Figure("Cost by threshold", plot.svg(), text)


def _calibration(found: Reliability, positive: str, probability: Floats, actual: npt.NDArray[np.bool_]) -> Figure:
    unit = Axis.over(_UNIT)
    plot = Plot("Calibration", unit, unit).line(_UNIT, _UNIT, "naive")
    plot.line(found.predicted, found.observed, "model").dots(found.predicted, found.observed, "model")
    furthest = int(np.abs(found.predicted - found.observed).argmax())
    text = (
        f"Class {positive}. x axis: predicted probability, in ten bins. y axis: observed frequency. The "
        f"dashed line is perfect calibration. The mean prediction is {probability.mean():.2%}, and "
        f"{actual.mean():.2%} was observed. Largest difference: {found.predicted[furthest]:.0%} predicted, "
        f"{found.observed[furthest]:.0%} observed, in {found.rows[furthest]} rows. The Brier score is in "
        "the table of metrics."
    )
    return Figure("Calibration", plot.svg(), text)


def _mark(plot: Plot, threshold: float | None, top: float) -> None:
    if threshold is not None and 0 <= threshold <= 1:
        plot.line(np.full(2, threshold), np.array([0.0, top]), "naive")


def _chosen(cuts: Cuts, threshold: float | None) -> str:
    """Return text about the results of the chosen threshold on these rows."""
    if threshold is None:
        return ""
    positives = cuts.probability >= threshold
    if not positives.any():
        return f"At the threshold {threshold:.3g} (dashed), no row is predicted as positive. "
    last = int(np.flatnonzero(positives)[-1])
    precision, recall = cuts.hits[last] / (cuts.hits[last] + cuts.alarms[last]), cuts.hits[last] / cuts.hits[-1]
    return f"At the threshold {threshold:.3g} (dashed): precision {precision:.2f}, recall {recall:.2f}. "
