"""The cutoffs of a backtest in each series, and the dataset that a training at a cutoff uses."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from trainyard_api.data import DataValidation
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.data.dataset import Dataset, Series
from trainyard_trainer.data.series.demand import demand_classes
from trainyard_trainer.data.values.frequency import Frequency, frequency_of
from trainyard_trainer.errors import DataError
from trainyard_trainer.frameworks.forecast.columns import Times

_KNOWN_PER_JUDGED: Final = 2
"""Least number of training rows for each held-out row. A series with fewer has no window there, as in a fold."""

_NAMED: Final = 3


@dataclass(frozen=True)
class Window:
    """One window: a cutoff in each series that is long enough for it.

    Attributes
    ----------
    age
        Number of newer cutoffs; 0 is the newest.
    dataset
        Dataset whose series end with the window. Their holdouts are the window.
    cutoffs
        Last known time of each series, by the clock of the dataset; shape (series,).
    steps
        Number of steps from the cutoff to each row of the window, from 1; shape (rows,).
    """

    age: int
    dataset: Dataset
    cutoffs: Times
    steps: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """The windows, oldest first, and warnings about series that are too short for all of them."""

    windows: tuple[Window, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Cut:
    series: Series
    cutoff: np.datetime64
    steps: npt.NDArray[np.int64]


def plan_windows(dataset: Dataset, spec: TrainingJobSpec) -> Plan:
    """Place the windows backwards from the end of each series. A window is the horizon after its cutoff.

    Raises
    ------
    DataError
        If no series is long enough for all windows. The message says how many windows fit.
    """
    if spec.backtest is None or spec.forecast is None:
        raise AssertionError("the specification has both sections: its rules say so")
    count, horizon = spec.backtest.windows, spec.forecast.horizon
    step = step_of(spec)
    frequency = frequency_of(dataset.frequency or "D")
    fewest = (spec.data.validation or DataValidation()).min_points
    times = dataset.frame["ds"].to_numpy("datetime64[ns]")
    found: list[list[_Cut]] = [[] for _ in range(count)]
    capacity: dict[str, int] = {}
    for one in dataset.series:
        cuts = dict(_cuts(one, times[one.start : one.stop], frequency, (count, step, horizon, fewest)))
        capacity[one.name] = len(cuts)
        for age, cut in cuts.items():
            found[age].append(cut)
    if not found[-1]:
        most = max((age + 1 for age, cuts in enumerate(found) if cuts), default=0)
        raise DataError(
            f"{dataset.origin.uri}: no series is long enough for spec.backtest.windows {count}: with {step} "
            f"steps between two cutoffs and a horizon of {horizon}, the longest series has {most} windows; "
            "set fewer windows, or a smaller step or horizon"
        )
    windows = tuple(_window(age, cuts, dataset) for age, cuts in reversed(list(enumerate(found))) if cuts)
    return Plan(windows, _warnings([name for name, windows in capacity.items() if windows < count], capacity, count))


def require_capacity(dataset: Dataset, spec: TrainingJobSpec) -> None:
    """Check that the backtest fits the data, before the training starts. Raises DataError."""
    if spec.backtest is not None:
        plan_windows(dataset, spec)


def step_of(spec: TrainingJobSpec) -> int:
    """Return the number of steps between two cutoffs."""
    horizon = spec.forecast.horizon if spec.forecast is not None else 1
    return horizon if spec.backtest is None or spec.backtest.step is None else spec.backtest.step


def _cuts(
    series: Series, times: Times, frequency: Frequency, wanted: tuple[int, int, int, int]
) -> Iterator[tuple[int, _Cut]]:
    """Yield the age and the cut of each window of one series. Skip a window that has no rows because of a gap."""
    count, step, horizon, fewest = wanted
    ordinals = frequency.ordinals(times)
    for age in range(count):
        last = ordinals[-1] - age * step
        stop, split = (int(np.searchsorted(ordinals, end, side="right")) for end in (last, last - horizon))
        if split < max(1, _KNOWN_PER_JUDGED * (stop - split)) or stop < fewest:
            return
        if stop > split:
            since = int(last - horizon - ordinals[split - 1])
            known = times[split - 1 : split]
            cutoff = frequency.after(known, since)[0, -1] if since else known[0]
            part = Series(series.name, series.start, series.start + stop, stop - split)
            yield age, _Cut(part, cutoff, ordinals[split:stop] - (last - horizon))


def _window(age: int, cuts: list[_Cut], dataset: Dataset) -> Window:
    series = tuple(cut.series for cut in cuts)
    values = dataset.frame["y"].to_numpy()
    part = replace(
        dataset,
        series=series,
        series_total=len(series),
        rows=sum(one.stop - one.start for one in series),
        leading=(),
        demand=demand_classes({one.name: values[one.start : one.split] for one in series}),
        ahead={},
    )
    return Window(age, part, np.array([cut.cutoff for cut in cuts]), np.concatenate([cut.steps for cut in cuts]))


def _warnings(short: list[str], capacity: dict[str, int], count: int) -> tuple[str, ...]:
    if not short:
        return ()
    named = ", ".join(f"{name!r}: {capacity[name]}" for name in short[:_NAMED])
    more = ", ..." if len(short) > _NAMED else ""
    text = f"{len(short)} of {len(capacity)} series are too short, or have a gap, for all {count} windows"
    return (f"backtest: {text}; windows of these series: {named}{more}",)
