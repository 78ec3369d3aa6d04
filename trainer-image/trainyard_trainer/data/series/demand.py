"""Demand classes of series by frequency, variation (Syntetos and Boylan) and volume. Pure functions.

The table and the effects of a class are in docs/demand-classes.md.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from trainyard_api.training import AdaptiveTrials, Search
from trainyard_trainer.data.dataset import DemandClass

Floats = npt.NDArray[np.float64]
Pattern = Literal["Smooth", "Erratic", "Intermittent", "Lumpy"]

ADI_CUT: Final = 1.32
"""Rows per row with demand. From this value, demand is intermittent: about a quarter of the rows or more are empty."""

CV2_CUT: Final = 0.49
"""Squared coefficient of variation of the demands. From this value, their sizes are erratic."""

_DEFAULT_TRIALS: Final = Search.model_fields["trials"].default


def demand_interval(values: Floats) -> float:
    """Return the ADI: the number of rows per row that is not 0. Infinite if all are 0. ``values`` must not be empty."""
    demands = np.count_nonzero(values)
    return len(values) / demands if demands else np.inf


def demand_variation(values: Floats) -> float:
    """Return the CV2: the variance of the values that are not 0, divided by their squared mean. 0 if there are none."""
    demands = values[values != 0]
    if len(demands) == 0:
        return 0.0
    scaled = demands / np.abs(demands).max()  # otherwise, the square of a large number overflows
    mean = float(scaled.mean())
    return float(scaled.var()) / mean**2 if mean else np.inf


def pattern_of(values: Floats) -> Pattern:
    """Return the pattern of a series from ADI and CV2. ``values`` are its known rows, at least one."""
    often = demand_interval(values) < ADI_CUT
    even = demand_variation(values) < CV2_CUT
    if often:
        return "Smooth" if even else "Erratic"
    return "Intermittent" if even else "Lumpy"


def demand_classes(series: Mapping[str, Floats]) -> dict[str, DemandClass]:
    """Return the demand class of each series of a job.

    Intermittent and lumpy series have the class Intermittent. The others are divided at the terciles of their volume,
    the mean absolute value of a row: High from the upper tercile, Medium from the lower one, else Low. Series of equal
    volume have the same class. A single series is High.

    Parameters
    ----------
    series
        By name, the known rows, at least one. Without the holdout, because the class is used in training.
    """
    steady = [name for name, values in series.items() if pattern_of(values) in {"Smooth", "Erratic"}]
    volumes = np.array([np.abs(series[name]).mean() for name in steady])
    cuts = np.quantile(volumes, [1 / 3, 2 / 3]) if steady else np.zeros(2)
    by_volume = dict(zip(steady, (_by_volume(volume, cuts) for volume in volumes), strict=True))
    return {name: by_volume.get(name, "Intermittent") for name in series}


def _by_volume(volume: float, cuts: Sequence[float] | Floats) -> DemandClass:
    if volume >= cuts[1]:
        return "High"
    return "Medium" if volume >= cuts[0] else "Low"


def trials_of(demand: DemandClass, search: Search) -> int:
    """Return the number of parameter sets to try for a series of a class.

    ``adaptiveTrials`` decides if it is set. Otherwise ``trials`` applies to every class if it is not the default.
    Otherwise the defaults of the classes apply.
    """
    if search.adaptive_trials is None and search.trials != _DEFAULT_TRIALS:
        return search.trials
    by_class = search.adaptive_trials or AdaptiveTrials()
    match demand:
        case "High":
            return by_class.high
        case "Medium":
            return by_class.medium
        case "Low":
            return by_class.low
        case "Intermittent":
            return by_class.intermittent
