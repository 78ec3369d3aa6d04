"""Charts of two classes: the metrics and the cost of each threshold, and the calibration of probabilities."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.threshold import Threshold
from trainyard_trainer.evaluate.curves import Cuts
from trainyard_trainer.evaluate.rows import PROBABILITY
from trainyard_trainer.evaluate.thresholds import cost_of_calls
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

    said: Floats
    happened: Floats
    rows: npt.NDArray[np.intp]

    @classmethod
    def of(cls, positive: npt.NDArray[np.bool_], probability: Floats) -> "Reliability":
        """Count in ten bins of equal width. Empty bins are left out."""
        number = np.minimum((probability * _BINS).astype(np.intp), _BINS - 1)
        rows = np.bincount(number, minlength=_BINS)
        there = rows > 0
        said, happened = (
            np.bincount(number, weights, _BINS)[there] / rows[there] for weights in (probability, positive)
        )
        return cls(said, happened, rows[there])


def figures_of(
    holdout: pd.DataFrame, positive: str, threshold: float | None, threshold_spec: Threshold | None
) -> list[Figure]:
    """Plot metrics by threshold, and the calibration of the positive class.

    Empty unless there are rows of both classes.
    """
    actual = holdout["actual"].to_numpy(np.intp) == 1
    chance = holdout[PROBABILITY + positive].to_numpy(np.float64)
    if actual.all() or not actual.any():
        return []
    cuts = Cuts.of(actual, chance)
    made = [_quality(cuts, positive, threshold)]
    if (
        threshold_spec is not None
        and threshold_spec.cost_of_miss is not None
        and threshold_spec.cost_of_alarm is not None
    ):
        made.append(_cost(cuts, threshold_spec.cost_of_miss, threshold_spec.cost_of_alarm, threshold))
    return [*made, _calibration(Reliability.of(actual, chance), positive, chance, actual)]


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
        f"Of class {positive}. Across: the threshold. Up: precision, recall and F1. {_chosen(cuts, threshold)}"
        f"The best F1 of these rows is {f1[best]:.2f}, at {cuts.probability[best]:.3g}."
    )
    return Figure("Precision, recall and F1 by threshold", plot.svg(), text, (*_CURVES, ("naive", "threshold")))


def _cost(cuts: Cuts, miss: float, alarm: float, threshold: float | None) -> Figure:
    costs = cost_of_calls(cuts, miss, alarm)
    some, axis = thinned(len(costs)), Axis.over(costs, zero=True)
    plot = Plot("Cost by threshold", Axis.over(_UNIT), axis).line(cuts.probability[some], costs[some], "model")
    _mark(plot, threshold, axis.high)
    best = int(costs.argmin())
    text = (
        f"Across: the threshold. Up: the cost of these rows, {miss:g} for each miss and {alarm:g} for each alarm. The "
        f"least is {readable(float(costs[best]))}, at {cuts.probability[best]:.3g}; without any call it is "
        f"{readable(float(miss * cuts.hits[-1]))}."
    )
    return Figure("Cost by threshold", plot.svg(), text)


def _calibration(found: Reliability, positive: str, chance: Floats, actual: npt.NDArray[np.bool_]) -> Figure:
    unit = Axis.over(_UNIT)
    plot = Plot("Calibration", unit, unit).line(_UNIT, _UNIT, "naive")
    plot.line(found.said, found.happened, "model").dots(found.said, found.happened, "model")
    furthest = int(np.abs(found.said - found.happened).argmax())
    text = (
        f"Of class {positive}. Across: the probability that the model says, in tenths. Up: how often it happened; the "
        f"dashed line is what it should be. On average it says {chance.mean():.2%}, and {actual.mean():.2%} happened; "
        f"furthest off: {found.said[furthest]:.0%} said, {found.happened[furthest]:.0%} happened, of "
        f"{found.rows[furthest]} rows. The Brier score is in the table of metrics."
    )
    return Figure("Calibration", plot.svg(), text)


def _mark(plot: Plot, threshold: float | None, top: float) -> None:
    if threshold is not None and 0 <= threshold <= 1:
        plot.line(np.full(2, threshold), np.array([0.0, top]), "naive")


def _chosen(cuts: Cuts, threshold: float | None) -> str:
    """Return text about the results of the chosen threshold on these rows."""
    if threshold is None:
        return ""
    calls = cuts.probability >= threshold
    if not calls.any():
        return f"At the threshold {threshold:.3g} (dashed) nothing is called. "
    last = int(np.flatnonzero(calls)[-1])
    precision, recall = cuts.hits[last] / (cuts.hits[last] + cuts.alarms[last]), cuts.hits[last] / cuts.hits[-1]
    return f"At the threshold {threshold:.3g} (dashed): precision {precision:.2f}, recall {recall:.2f}. "
