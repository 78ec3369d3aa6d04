"""Paired bootstrap: the confidence interval of the difference of two models on the same rows.

Dependent rows (of one group, of one series) are one unit, and are drawn together. The interval is the percentile
interval of the difference over the resamples (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter
13). With very many units, fewer are drawn, and the spread is scaled by the square root of their share (m out of n;
Bickel, Goetze and van Zwet, "Resampling fewer than n observations", Statistica Sinica 7, 1997). This limits the cost.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.evaluate.statistics import Statistic

RESAMPLES: Final = 600
MOST_UNITS: Final = 20_000
LEAST_UNITS: Final = 2
_WEIGHTS_AT_ONCE: Final = 4_000_000


@dataclass(frozen=True)
class Interval:
    """The ends of an interval."""

    low: float
    high: float


class Resamples:
    """Weights of rows for a fixed set of resamples; the same for every metric and both models.

    Attributes
    ----------
    count
        Number of units.
    rows
        Positions of the rows that are used. Statistics must be built from these.
    """

    def __init__(self, units: npt.NDArray[np.intp], seed: int) -> None:
        """Draw the resamples.

        ``units`` has the unit number of each row, from 0 without gaps; shape (rows,).
        """
        self.count = int(units.max()) + 1 if len(units) else 0
        self._random = np.random.default_rng(seed)
        drawn = np.arange(self.count)
        if self.count > MOST_UNITS:
            drawn = np.sort(self._random.choice(self.count, MOST_UNITS, replace=False))
        number = np.full(self.count, -1, dtype=np.intp)
        number[drawn] = np.arange(len(drawn))
        self.rows = np.flatnonzero(number[units] >= 0)
        self._units, self._drawn = number[units[self.rows]], len(drawn)
        self._draws = self._random.integers(0, max(1, self._drawn), (RESAMPLES, self._drawn))

    def difference(self, left: Statistic, right: Statistic, known: float, confidence: float) -> Interval | None:
        """Return the interval of ``left`` minus ``right``. ``None`` if there are too few units, or if it is undefined.

        Parameters
        ----------
        known
            The difference on all rows, which is the center of the resamples.
        """
        if self.count < LEAST_UNITS:
            return None
        everyone = np.ones((1, len(self.rows)))
        middle = float((left(everyone) - right(everyone))[0])
        found = self._differences(left, right)
        found = found[np.isfinite(found)]
        if len(found) < RESAMPLES // 2 or not np.isfinite(middle):
            return None
        spread = np.sqrt(self._drawn / self.count)
        low, high = known + spread * (np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2]) - middle)
        return Interval(float(min(low, known)), float(max(high, known)))

    def _differences(self, left: Statistic, right: Statistic) -> Floats:
        at_once = max(1, _WEIGHTS_AT_ONCE // max(self._drawn, len(self.rows)))
        parts = []
        for begin in range(0, RESAMPLES, at_once):
            draws = self._draws[begin : begin + at_once]
            positions = draws + self._drawn * np.arange(len(draws))[:, None]
            counts = np.bincount(positions.ravel(), minlength=self._drawn * len(draws)).reshape(len(draws), self._drawn)
            weights = counts[:, self._units].astype(np.float64)
            parts.append(left(weights) - right(weights))
        return np.concatenate(parts)
