"""How good quantiles are on rows that nobody had seen."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from trainyard_trainer.evaluate.metrics import Floats, only_finite

QUANTILE: Final = "quantile:"
"""Before the level of a quantile in the name of its column."""

PINBALL: Final = "pinball"
COVERAGE: Final = "coverage"


def quantile_scores(actual: Floats, found: Floats, levels: Sequence[float]) -> dict[str, float]:
    """Judge quantiles; nothing is told without any.

    ``pinball`` is the mean of ``level * (actual - quantile)`` where the quantile is too low, and of ``(1 - level) *
    (quantile - actual)`` where it is too high, over all rows and levels: in the target's unit, and half of the mean
    absolute error for the level 0.5 alone. ``coverage`` is the share of rows between the lowest and the highest
    quantile, to be held against the difference of their levels; it takes two of them.

    Parameters
    ----------
    actual
        Shape (rows,), at least one row.
    found
        Shape (rows, levels).
    levels
        Ascending.
    """
    if not levels:
        return {}
    wanted, missed = np.asarray(levels), actual[:, None] - found
    scores = {PINBALL: float(np.maximum(wanted * missed, (wanted - 1) * missed).mean())}
    if len(wanted) > 1:
        scores[COVERAGE] = float(np.mean((found[:, 0] <= actual) & (actual <= found[:, -1])))
    return only_finite(scores)
