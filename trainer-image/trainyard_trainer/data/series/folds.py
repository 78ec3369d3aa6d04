"""Rolling origins: where a series is cut to compare forecasts before its holdout is looked at. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ordinals = npt.NDArray[np.int64]

_FIT_ROWS_PER_JUDGED = 2
"""A fold that would leave fewer rows to fit on is not made: it would judge how a model starts, not how it is used."""


@dataclass(frozen=True)
class Fold:
    """Rows ``[0, cut)`` of a series are fitted on, rows ``[cut, stop)`` judge. Neither touches the holdout."""

    cut: int
    stop: int

    @property
    def fit(self) -> slice:
        """The rows to fit on: all that come before those that judge."""
        return slice(0, self.cut)

    @property
    def judge(self) -> slice:
        """The rows that judge, at least one."""
        return slice(self.cut, self.stop)


def rolling_origins(ordinals: Ordinals, *, holdout: int, horizon: int, folds: int) -> tuple[Fold, ...]:
    """Return the folds of one series, oldest first.

    Each fold judges the last ``horizon`` steps before the next one, the newest those before the holdout: it is what the
    holdout would be if the series had ended there. Where the holdout of a short series has fewer steps than the
    horizon, so have its folds. A series too short for all folds gets the newest of them, or none.

    Parameters
    ----------
    ordinals
        Step numbers of all rows of the series with those of the holdout (see ``Frequency.ordinals``), strictly
        ascending; shape (rows,). Gaps may lie between them.
    holdout
        How many of its last rows judge the model, at least 0.
    horizon
        Steps ahead, at least 1.
    folds
        At most so many.
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
