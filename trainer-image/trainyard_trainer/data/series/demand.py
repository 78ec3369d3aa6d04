"""Demand classes of series: how often and how evenly something is asked for (Syntetos and Boylan), and how much. Pure.

The table, and what a class decides, stands in docs/demand-classes.md.
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
"""Rows per row with demand. From here on demand is intermittent: every fourth row or more is empty."""

CV2_CUT: Final = 0.49
"""Squared coefficient of variation of the demands. From here on their sizes are erratic."""

_DEFAULT_TRIALS: Final = Search.model_fields["trials"].default


def demand_interval(values: Floats) -> float:
    """Return the ADI: how many rows there are per row that is not 0; infinite if all are 0. ``values`` is not empty."""
    demands = np.count_nonzero(values)
    return len(values) / demands if demands else np.inf


def demand_variation(values: Floats) -> float:
    """Return the CV2: the variance of the values that are not 0 over their squared mean; 0 if there are none."""
    demands = values[values != 0]
    if len(demands) == 0:
        return 0.0
    scaled = demands / np.abs(demands).max()  # else the square of a large number overflows
    mean = float(scaled.mean())
    return float(scaled.var()) / mean**2 if mean else np.inf


def pattern_of(values: Floats) -> Pattern:
    """Return the pattern of a series from its two figures; ``values`` are its known rows, at least one."""
    often = demand_interval(values) < ADI_CUT
    even = demand_variation(values) < CV2_CUT
    if often:
        return "Smooth" if even else "Erratic"
    return "Intermittent" if even else "Lumpy"


def demand_classes(series: Mapping[str, Floats]) -> dict[str, DemandClass]:
    """Class the series of a job.

    Intermittent and lumpy ones are Intermittent. The others are cut at the terciles of their volume, the mean size of
    a row: High from the upper one, Medium from the lower one, else Low. Series of equal volume are of one class, and a
    single one is High.

    Parameters
    ----------
    series
        By name the known rows, at least one, without those that judge: the class is used to train.
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
    """Return how many parameter sets are tried for a series of a class.

    ``adaptiveTrials`` decides. Without it another number of ``trials`` than the default one holds for every class:
    somebody wrote it; else the classes' own defaults do.
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
