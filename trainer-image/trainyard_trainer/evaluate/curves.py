"""Curves and areas of one class against the rest at every cut, all from one sort of the rows.

This does not use scikit-learn, because its import takes three times the CPU time of evaluating, fitting and saving a
small model. It also sorts the rows again for each number. A test compares the results with scikit-learn.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cuts:
    """Each distinct probability as a cut, from the highest down; all of shape (cuts,).

    Attributes
    ----------
    hits
        Number of rows of the class with this probability or a higher one.
    alarms
        Number of other rows with this probability or a higher one.
    """

    probability: Floats
    hits: Floats
    alarms: Floats

    @classmethod
    def of(cls, positive: npt.NDArray[np.bool_], probability: Floats) -> Self:
        """Count the rows of the class (``positive``) and the others at each cut.

        Parameters
        ----------
        positive, probability
            Shape (rows,), at least one row.

        Raises
        ------
        ValueError
            If a probability is not finite, because it cannot be sorted.
        """
        if not np.isfinite(probability).all():
            raise ValueError("a predicted probability is not finite")
        order = np.argsort(probability)[::-1]
        falling = probability[order]
        last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
        hits = np.cumsum(positive[order], dtype=np.float64)[last]
        return cls(falling[last], hits, 1 + last - hits)

    def corners(self) -> Self:
        """Return the cuts where the number of hits changes. Between them, a precision-recall curve is vertical."""
        moves = np.diff(self.hits) != 0
        return self._some(moves[:-1] | moves[1:])

    def bends(self) -> Self:
        """Return the cuts where the slope of the ROC curve changes."""
        return self._some((np.diff(self.hits, 2) != 0) | (np.diff(self.alarms, 2) != 0))

    def _some(self, inner: npt.NDArray[np.bool_]) -> Self:
        """Return the first and the last cut, and some of those in between."""
        if len(self.hits) < 3:
            return self
        kept = np.concatenate([[True], inner, [True]])
        return replace(self, probability=self.probability[kept], hits=self.hits[kept], alarms=self.alarms[kept])


def roc(cuts: Cuts) -> tuple[Floats, Floats]:
    """Return false positive rates and true positive rates, from (0, 0) to (1, 1). Needs rows of both kinds."""
    bends = cuts.bends()
    alarms, hits = (np.concatenate([[0.0], counts]) for counts in (bends.alarms, bends.hits))
    return alarms / alarms[-1], hits / hits[-1]


def precision_recall(cuts: Cuts) -> tuple[Floats, Floats]:
    """Return precision and recall from the lowest cut up, shape (cuts + 1,).

    The last values are precision 1 and recall 0.

    Needs a row of the class.
    """
    precision, recall = cuts.hits / (cuts.hits + cuts.alarms), cuts.hits / cuts.hits[-1]
    return np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0)


def area_under_roc(cuts: Cuts) -> float:
    """Return the probability that a row of the class ranks above another row. Needs rows of both kinds."""
    across, up = roc(cuts)
    return float(np.trapezoid(up, across))


def average_precision(cuts: Cuts) -> float:
    """Return the mean of the precisions, each weighted by the recall that it adds. Needs a row of the class."""
    precision, recall = precision_recall(cuts)
    return max(0.0, float(-np.sum(np.diff(recall) * precision[:-1])))
