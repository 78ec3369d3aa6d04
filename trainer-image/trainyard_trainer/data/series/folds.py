"""Rolling origins: cutoffs of a series to compare forecasts before its holdout is used. Pure functions."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ordinals = npt.NDArray[np.int64]

_FIT_ROWS_PER_JUDGED = 2
"""Least number of training rows per held-out row. With fewer, a fold would evaluate a model without enough history."""


@dataclass(frozen=True)
class Fold:
    """One fold: rows ``[0, cut)`` of a series for training, rows ``[cut, stop)`` for evaluation.

    Both end before the holdout.
    """

    cut: int
    stop: int

    @property
    def fit(self) -> slice:
        """The training rows: all rows before the evaluation rows."""
        return slice(0, self.cut)

    @property
    def judge(self) -> slice:
        """The evaluation rows, at least one."""
        return slice(self.cut, self.stop)


def rolling_origins(ordinals: Ordinals, *, holdout: int, horizon: int, folds: int) -> tuple[Fold, ...]:
    """Return the folds of one series, oldest first.

    Each fold evaluates the last ``horizon`` steps before the next fold. The newest evaluates those before the holdout.
    If the holdout of a short series has fewer steps than the horizon, so do its folds. A series that is too short for
    all folds has only the newest ones, or none.

    Parameters
    ----------
    ordinals
        Step numbers of all rows of the series, including the holdout (see ``Frequency.ordinals``). Strictly ascending,
        with possible gaps; shape (rows,).
    holdout
        Number of rows in the holdout, at least 0.
    horizon
        Steps ahead, at least 1.
    folds
        Maximum number of folds.
    """
    stop = len(ordinals) - holdout
    if stop < 1:
        return ()
    steps = min(horizon, int(ordinals[-1] - ordinals[stop - 1])) if holdout else horizon
    found: list[Fold] = []
    while len(found) < folds and stop > 0:
        cut = int(np.searchsorted(ordinals[:stop], ordinals[stop - 1] - steps, side="right"))
        if cut < _FIT_ROWS_PER_JUDGED * (stop - cut):
            break
        found.append(Fold(cut, stop))
        stop = cut
    return tuple(reversed(found))
