"""The ends of many series, from which the trees walk on. NumPy only."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.forecast_columns import Times
from trainyard_trainer.frameworks.forecast_panel import Panel, Positions


@dataclass(frozen=True)
class State:
    """What is known of each series where a forecast starts.

    Attributes
    ----------
    ends
        The time of its last row, by the clock of the dataset; shape (series,).
    values
        Its newest values, the last one last; NaN in gaps and before it began; shape (series, kept steps).
    scales
        What its values are divided by before the trees see them; shape (series,).
    floors
        The least that is ever forecast: 0 for a series without negative values, else minus infinity.
    fitted
        Whether the trees answer for it; else the seasonal naive model does, because it is too short for them.
    """

    names: tuple[str, ...]
    ends: Times
    values: Floats
    scales: Floats
    floors: Floats
    fitted: npt.NDArray[np.bool_]

    @classmethod
    def at(cls, panel: Panel, times: Times, series: Positions, cuts: Positions, *, keep: int, shortest: int) -> Self:
        """Return what is known before some rows.

        Parameters
        ----------
        times
            Of the rows of the dataset.
        series, cuts
            Numbers of series, and for each the row of the dataset before which it is known; shape (n,).
        keep
            So many steps of each series are kept.
        shortest
            A series with fewer steps is not fitted.
        """
        begins, ends = panel.begins[series], panel.steps[cuts - 1] + 1
        values = np.full((len(cuts), keep), np.nan)
        scales, floors = np.ones(len(cuts)), np.zeros(len(cuts))
        for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            known = panel.values[begin:end]
            tail = known[-keep:]
            values[number, keep - len(tail) :] = tail
            scales[number] = np.nanmean(np.abs(known)) or 1.0
            floors[number] = 0.0 if np.nanmin(known) >= 0 else -np.inf
        names = tuple(panel.names[number] for number in series)
        return cls(names, times[cuts - 1], values, scales, floors, ends - begins >= shortest)

    def take(self, series: Positions) -> Self:
        """Return that of some series, by their numbers."""
        names = tuple(self.names[number] for number in series)
        return type(self)(
            names,
            self.ends[series],
            self.values[series],
            self.scales[series],
            self.floors[series],
            self.fitted[series],
        )
