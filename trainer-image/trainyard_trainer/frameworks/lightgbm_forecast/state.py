"""The last values of many series, from which the trees forecast. This module only needs NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from trainyard_trainer.data.dataset import Static
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.forecast.columns import Times
from trainyard_trainer.frameworks.forecast.panel import Panel, Positions


@dataclass(frozen=True)
class State:
    """The known values of each series at the start of a forecast.

    Attributes
    ----------
    ends
        The time of its last row, by the clock of the dataset; shape (series,).
    values
        Its newest values in order of time. NaN in gaps and before its start; shape (series, kept steps).
    scales
        Divisors of its values for the trees; shape (series,).
    floors
        Lower bound of forecasts: 0 for a series without negative values, else minus infinity.
    fitted
        Whether the trees forecast it. Otherwise the seasonal naive model does, because it is too short for them.
    static
        Its values of ``data.static``, encoded for the trees; shape (series, columns).
    lagged
        The known lagged covariates of the steps ahead; shape (series, steps, covariates).
    """

    names: tuple[str, ...]
    ends: Times
    values: Floats
    scales: Floats
    floors: Floats
    fitted: npt.NDArray[np.bool_]
    static: Floats
    lagged: Floats

    @classmethod
    def at(
        cls,
        panel: Panel,
        times: Times,
        series: Positions,
        cuts: Positions,
        *,
        keep: int,
        shortest: int,
        static: Floats,
        lagged: Floats,
    ) -> Self:
        """Return the state before some rows.

        Parameters
        ----------
        times
            Times of the rows of the dataset.
        series, cuts
            Numbers of series, and for each the first unknown row of the dataset; shape (n,).
        keep
            Number of steps of each series to keep.
        shortest
            A series with fewer steps is not fitted.
        static
            Static attributes of all series; shape (series, columns).
        lagged
            Lagged covariates of the steps after the cuts; shape (n, steps, covariates).
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
        return cls(names, times[cuts - 1], values, scales, floors, ends - begins >= shortest, static[series], lagged)

    def take(self, series: Positions) -> Self:
        """Return the state of some series, by their numbers."""
        names = tuple(self.names[number] for number in series)
        return type(self)(
            names,
            self.ends[series],
            self.values[series],
            self.scales[series],
            self.floors[series],
            self.fitted[series],
            self.static[series],
            self.lagged[series],
        )


def static_numbers(
    static: Static, series: Sequence[str], names: Sequence[str], texts: Sequence[tuple[str, ...]]
) -> Floats:
    """Return encoded columns of ``data.static``: text as its position in ``texts``, unknown text as NaN.

    Returns
    -------
    Shape (series, names).
    """
    positions = [static.names.index(name) for name in names]
    codes = [{text: float(number) for number, text in enumerate(known)} for known in texts]
    found = np.full((len(series), len(names)), np.nan)
    for row, name in enumerate(series):
        values = static.values.get(name)
        for column, (index, known) in enumerate(zip(positions, codes, strict=True)):
            value = float("nan") if values is None else values[index]
            if known:
                found[row, column] = known.get(str(value), float("nan"))
            elif isinstance(value, float):
                found[row, column] = value
    return found
