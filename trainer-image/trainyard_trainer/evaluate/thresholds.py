"""The probability threshold of the positive class, chosen on rows that were not used for fitting."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from trainyard_api.threshold import Threshold
from trainyard_trainer.evaluate.curves import Cuts
from trainyard_trainer.evaluate.metrics import Floats, Integers, best_threshold

BALANCED: Final = 0.4
"""With at least this share of the rarer class, the default threshold is 0.5.

For balanced classes, the threshold of the best F1 predicts too many rows as positive and reduces accuracy without need.
"""

_ROUNDING: Final = 1e-12


@dataclass(frozen=True)
class Cut:
    """A threshold: its value, the reason for it, and a warning if it does not meet the request."""

    value: float
    why: str
    warning: str = ""


def choose(
    threshold_spec: Threshold | None, actual: Integers, probability: Floats, *, positive: str, rarer_share: float
) -> Cut:
    """Choose a threshold.

    Parameters
    ----------
    threshold_spec
        ``spec.threshold``. The default is 0.5 for balanced classes, else the best F1.
    actual, probability
        Of the validation rows: 1 for the positive class, and its probability; shape (rows,).
    positive
        The name of the positive class, for the messages.
    rarer_share
        The share of the rarer class among the rows that are not held out.
    """
    if threshold_spec is not None and threshold_spec.value is not None:
        return Cut(threshold_spec.value, "spec.threshold.value")
    if threshold_spec is None and rarer_share >= BALANCED:
        return Cut(0.5, f"0.5, because the classes are balanced (the rarer one has {rarer_share:.0%})")
    rows = actual == 1
    if not rows.any() or rows.all():
        absent = f"no row of {positive!r}" if not rows.any() else f"only rows of {positive!r}"
        return Cut(0.5, "0.5", f"the threshold is 0.5: the validation part has {absent}, so no threshold can be chosen")
    on = f"on {len(actual)} validation rows, {int(rows.sum())} of them {positive!r}"
    if threshold_spec is None or threshold_spec.optimize is not None:
        return Cut(best_threshold(actual, probability), f"the best F1 {on}")
    return _from_spec(threshold_spec, Cuts.of(rows, probability), on, positive)


def cost_of_cuts(cuts: Cuts, miss: float, alarm: float) -> Floats:
    """Return the cost of the predictions at each cut, for false negatives and false positives."""
    return np.asarray(miss * (cuts.hits[-1] - cuts.hits) + alarm * cuts.alarms)


def _from_spec(threshold_spec: Threshold, cuts: Cuts, on: str, positive: str) -> Cut:
    if threshold_spec.min_recall is not None:
        return _with_recall(threshold_spec.min_recall, cuts, on)
    if threshold_spec.min_precision is not None:
        return _with_precision(threshold_spec.min_precision, cuts, on)
    return _cheapest(threshold_spec.cost_of_miss or 0.0, threshold_spec.cost_of_alarm or 0.0, cuts, on, positive)


def _with_recall(required: float, cuts: Cuts, on: str) -> Cut:
    """Return the cut with the best precision among those with sufficient recall. The lowest cut has recall 1."""
    recall, precision = cuts.hits / cuts.hits[-1], cuts.hits / (cuts.hits + cuts.alarms)
    best = int(np.where(recall >= required - _ROUNDING, precision, -1.0).argmax())
    return Cut(float(cuts.probability[best]), f"recall at least {required:g} {on}: it is {recall[best]:.3g}")


def _with_precision(required: float, cuts: Cuts, on: str) -> Cut:
    """Return the cut with the best recall among those with sufficient precision.

    If none, the most precise one, with a warning.
    """
    recall, precision = cuts.hits / cuts.hits[-1], cuts.hits / (cuts.hits + cuts.alarms)
    enough = precision >= required - _ROUNDING
    if enough.any():
        best = int(np.where(enough, recall, -1.0).argmax())
        return Cut(float(cuts.probability[best]), f"precision at least {required:g} {on}: it is {precision[best]:.3g}")
    most = precision >= precision.max() - _ROUNDING
    best = int(np.where(most, recall, -1.0).argmax())
    why = f"the best precision {on}: {precision[best]:.3g}"
    return Cut(
        float(cuts.probability[best]),
        why,
        f"spec.threshold.minPrecision {required:g} is not reached {on}: the threshold is that of the "
        f"best precision, {precision[best]:.3g}, with recall {recall[best]:.3g}; lower minPrecision, or "
        "provide better features",
    )


def _cheapest(miss: float, alarm: float, cuts: Cuts, on: str, positive: str) -> Cut:
    costs, without_alarms = cost_of_cuts(cuts, miss, alarm), miss * float(cuts.hits[-1])
    best = int(costs.argmin())
    if without_alarms <= costs[best]:
        above = float(np.nextafter(cuts.probability[0], np.inf))
        why = f"the least cost {on}: {without_alarms:.4g}, without any positive prediction"
        warning = (
            f"spec.threshold: no prediction of {positive!r} reduces the cost {on}, so the threshold is above "
            "every probability there; check costOfMiss and costOfAlarm, or provide better features"
        )
        return Cut(above, why, warning)
    return Cut(
        float(cuts.probability[best]),
        f"the least cost {on}: {costs[best]:.4g}, without any positive prediction {without_alarms:.4g}",
    )
