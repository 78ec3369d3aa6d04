"""The forecast in the report: the last part of the history, and the forecast of the next steps."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.dataset import Dataset, Series
from trainyard_trainer.report.figures import Figure
from trainyard_trainer.report.svg import Axis, Floats, Plot, positions_of, readable, thinned

Times = npt.NDArray[np.datetime64]

_QUANTILE: Final = "quantile:"
_HISTORY_FACTOR: Final = 3
"""Length of the history that is shown, as a multiple of the forecast."""

_FEWEST_BEFORE: Final = 30


@dataclass(frozen=True)
class ForecastSection:
    """The section of the page about the forecast."""

    steps: int
    which: str
    legend: list[tuple[str, str]]
    figures: list[Figure]


def forecast_section(rows: pd.DataFrame | None, dataset: Dataset, target: str) -> ForecastSection | None:
    """Return the section, or ``None`` if there is no forecast.

    Parameters
    ----------
    rows
        Rows of the series to plot, in their order: ``series``, ``time``, ``step``, ``prediction`` and the quantiles.
    target
        The user's name of the values.
    """
    if rows is None or rows.empty:
        return None
    levels = sorted(float(name.removeprefix(_QUANTILE)) for name in rows.columns if name.startswith(_QUANTILE))
    known = {one.name: one for one in dataset.series}
    names = [str(name) for name in rows["series"].unique()]
    which = f"The {len(names)} of {len(dataset.series)} series with the largest volume."
    legend = [("actual", "observed"), ("model", "forecast")]
    if len(levels) > 1:
        legend.append(("band", f"from quantile {levels[0]:g} to {levels[-1]:g}"))
    return ForecastSection(
        steps=int(rows["step"].max()),
        which=which if len(names) < len(dataset.series) else "",
        legend=legend,
        figures=[_figure(known[name], rows[rows["series"] == name], dataset, (target, levels)) for name in names],
    )


def _figure(series: Series, rows: pd.DataFrame, dataset: Dataset, selection: tuple[str, list[float]]) -> Figure:
    target, levels = selection
    first = max(series.start, series.stop - max(_HISTORY_FACTOR * len(rows), _FEWEST_BEFORE))
    before = dataset.frame.iloc[first + thinned(series.stop - first)]
    length, rows = len(rows), rows.iloc[thinned(len(rows))]
    known_times, known = before["ds"].to_numpy(), before["y"].to_numpy(np.float64)
    times, predicted = rows["time"].to_numpy(), rows["prediction"].to_numpy(np.float64)
    edges: list[Floats] = []
    if len(levels) > 1:
        edges = [rows[f"{_QUANTILE}{level:g}"].to_numpy(np.float64) for level in (levels[0], levels[-1])]
    plot = Plot(
        _caption(series.name, length, times, predicted, edges, levels),
        Axis.of_times(np.concatenate([known_times, times])),
        Axis.over(known, predicted, *edges),
        titles=("time", target),
    )
    if edges:
        plot.band(positions_of(times), edges[0], edges[1], "band")
    plot.line(positions_of(known_times), known, "actual").line(positions_of(times), predicted, "model")
    ends = pd.Timestamp(known_times[-1])
    return Figure(
        series.name, plot.svg(), f"Observed until {_day(ends)}; forecast until {_day(pd.Timestamp(times[-1]))}."
    )


def _caption(name: str, steps: int, times: Times, predicted: Floats, edges: list[Floats], levels: list[float]) -> str:
    """Return a description of the chart as text."""
    first, last = (_day(pd.Timestamp(times[index])) for index in (0, -1))
    text = f"Forecast of {name}, {steps} steps from {first} to {last}"
    finite = predicted[np.isfinite(predicted)]
    if not len(finite):
        return f"{text}: no value is finite"
    mean, low, high = (readable(float(one)) for one in (finite.mean(), finite.min(), finite.max()))
    text = f"{text}: mean {mean}, from {low} to {high}"
    if not edges:
        return text
    low, high = (readable(float(np.nanmean(edge))) for edge in edges)
    return f"{text}; band from quantile {levels[0]:g}, mean {low}, to quantile {levels[-1]:g}, mean {high}"


def _day(time: pd.Timestamp) -> str:
    return f"{time.date()}" if time == time.normalize() else f"{time:%Y-%m-%d %H:%M}"
