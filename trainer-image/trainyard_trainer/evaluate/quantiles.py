"""Metrics of quantiles on held-out rows."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from trainyard_trainer.evaluate.metrics import Floats, only_finite

QUANTILE: Final = "quantile:"
"""Prefix of the level of a quantile in the name of its column."""

PINBALL: Final = "pinball"
COVERAGE: Final = "coverage"


def quantile_scores(actual: Floats, found: Floats, levels: Sequence[float]) -> dict[str, float]:
    """Return the metrics of quantiles, or an empty dict without quantiles.

    ``pinball`` is the mean over all rows and levels of ``level * (actual - quantile)`` if the quantile is too low, and
    of ``(1 - level) * (quantile - actual)`` if it is too high. It is in the unit of the target. For only the level 0.5,
    it is half of the mean absolute error. ``coverage`` is the share of rows between the lowest and the highest
    quantile. It should equal the difference of their levels, and needs two levels.

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
