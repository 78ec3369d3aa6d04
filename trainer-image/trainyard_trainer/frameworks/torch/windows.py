"""Inputs and outputs of a forecasting network. This module only needs NumPy, so a server does not need Torch.

A series becomes a grid of steps without gaps (a missing step repeats the one before), standardized by mean and standard
deviation of its training rows. A forecast uses the last ``length`` steps, and the known features of the next
``horizon`` steps. For later steps, forecasts are used as inputs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trainyard_trainer.data.values.frequency import Frequency, frequency_of
from trainyard_trainer.frameworks.forecast.columns import Columns
from trainyard_trainer.frameworks.torch.calendar import Calendar, times_of
from trainyard_trainer.frameworks.torch.rows import Scale

WINDOW: Final = "window"
PAST: Final = "past"
FUTURE: Final = "future"

Floats32 = npt.NDArray[np.float32]
Run = Callable[[dict[str, npt.NDArray[Any]]], Floats32]
"""The network: from input tensors by name to standardized forecasts of shape (rows, horizon)."""


@dataclass(frozen=True)
class Description:
    """The metadata of a forecasting network.

    Attributes
    ----------
    length, horizon
        Number of input steps, and number of forecast steps per run.
    regressor_scales
        Scale of each regressor, in the order of ``columns.regressors``.
    country
        The country whose holidays are used.
    hidden
        The widths of the network's layers.
    zone
        The zone to which times in UTC are converted for the calendar. Empty if they are not converted.
    """

    columns: Columns
    frequency: str
    length: int
    horizon: int
    regressor_scales: tuple[Scale, ...]
    country: str | None
    hidden: tuple[int, ...]
    dropout: float
    zone: str = ""

    @property
    def calendar(self) -> Calendar:
        """The calendar features of a step."""
        return Calendar(frequency_of(self.frequency), self.country, self.zone)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Description":
        """Read the fields of ``dataclasses.asdict``."""
        return cls(
            columns=Columns.from_json(fields["columns"]),
            frequency=fields["frequency"],
            length=fields["length"],
            horizon=fields["horizon"],
            regressor_scales=tuple(Scale(**scale) for scale in fields["regressor_scales"]),
            country=fields["country"],
            hidden=tuple(fields["hidden"]),
            dropout=fields["dropout"],
            zone=fields.get("zone", ""),
        )

    def regressors(self, values: npt.NDArray[np.float64] | None, rows: int) -> Floats32:
        """Return standardized regressors; shape (rows, regressors). A missing value becomes the mean."""
        if values is None:
            return np.zeros((rows, len(self.regressor_scales)), dtype=np.float32)
        columns = [scale.standardised(values[:, number]) for number, scale in enumerate(self.regressor_scales)]
        return np.nan_to_num(np.column_stack(columns), nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)


@dataclass(frozen=True)
class Grid:
    """One series, one row per step.

    Attributes
    ----------
    first
        The time of the first step.
    values
        Standardized; shape (steps,).
    observed
        Whether the table has a row for the step.
    regressors
        Standardized; shape (steps, regressors).
    """

    first: np.datetime64
    values: Floats32
    observed: npt.NDArray[np.bool_]
    regressors: Floats32


def steps_of(
    times: npt.NDArray[np.datetime64], frequency: Frequency, length: int
) -> tuple[slice, npt.NDArray[np.int64]]:
    """Return the rows of a series to use, and the step of each, starting with 0.

    Rows before the last gap of more than ``length`` steps are left out, because no window spans such a gap. Otherwise a
    single row from decades ago would create millions of steps.
    """
    ordinals = frequency.ordinals(times)
    gaps = np.flatnonzero(np.diff(ordinals) > length)
    start = int(gaps[-1]) + 1 if len(gaps) else 0
    return slice(start, None), ordinals[start:] - ordinals[start]


def grid_of(
    times: npt.NDArray[np.datetime64],
    values: npt.NDArray[np.float64],
    regressors: npt.NDArray[np.float64] | None,
    scale: Scale,
    description: Description,
) -> Grid:
    """Return the grid of a series. ``times`` must be ascending; ``values`` and ``regressors`` are as in the table."""
    rows, steps = steps_of(times, frequency_of(description.frequency), description.length)
    count = int(steps[-1]) + 1
    observed = np.zeros(count, dtype=bool)
    observed[steps] = True
    latest = np.maximum.accumulate(np.where(observed, np.arange(count), 0))
    laid = np.empty(count, dtype=np.float32)
    laid[steps] = scale.standardised(values[rows])
    laid_regressors = np.zeros((count, len(description.regressor_scales)), dtype=np.float32)
    laid_regressors[steps] = description.regressors(None if regressors is None else regressors[rows], len(steps))
    return Grid(times[rows][0], laid[latest], observed, laid_regressors)


def last_of(grid: Grid, length: int) -> tuple[Floats32, Floats32]:
    """Return the last steps of a grid: values (length,) and regressors.

    If it is shorter, its first step is repeated.
    """
    positions = np.maximum(np.arange(len(grid.values) - length, len(grid.values)), 0)
    return grid.values[positions], grid.regressors[positions]


@dataclass(frozen=True)
class Context:
    """The start of the forecast of one series.

    Attributes
    ----------
    last
        The time of the last known step.
    values, regressors
        The last ``length`` steps, standardized.
    scale
        Scale of the series.
    floor
        Lower bound of forecasts, or ``None``.
    """

    name: str
    last: np.datetime64
    values: Floats32
    regressors: Floats32
    scale: Scale
    floor: float | None


@dataclass(frozen=True)
class Asked:
    """The requested steps of one series, where 1 is the first after the last known one.

    ``regressors`` are those of the steps.
    """

    context: Context
    steps: npt.NDArray[np.int64]
    regressors: npt.NDArray[np.float64] | None = field(default=None)


def forecast(asked: Sequence[Asked], description: Description, run: Run) -> list[npt.NDArray[np.float64]]:
    """Forecast several series at once, one horizon at a time. The result has one number per step of each series."""
    horizon, length = description.horizon, description.length
    rounds = max(-(-int(one.steps.max()) // horizon) for one in asked)
    values = np.stack([one.context.values for one in asked])
    regressors = np.stack([one.context.regressors for one in asked])
    ahead = np.stack([_ahead(one, rounds * horizon, description) for one in asked])
    calendars = np.stack([_calendar(one, rounds * horizon, description) for one in asked])
    outputs: list[Floats32] = []
    for number in range(rounds):
        part = slice(number * horizon, (number + 1) * horizon)
        tensors = tensors_of(values, regressors, calendars[:, part], ahead[:, part])
        outputs.append(run(tensors))
        values = np.concatenate([values, outputs[-1]], axis=1)[:, -length:]
        regressors = np.concatenate([regressors, ahead[:, part]], axis=1)[:, -length:]
    whole = np.concatenate(outputs, axis=1).astype(np.float64)
    return [_prediction(one, whole[row, one.steps - 1]) for row, one in enumerate(asked)]


def tensors_of(values: Floats32, past: Floats32, calendar: Floats32, ahead: Floats32) -> dict[str, npt.NDArray[Any]]:
    """Return the input tensors of the network. The past regressors are left out if there are none.

    Parameters
    ----------
    values, past
        Shapes (rows, length) and (rows, length, regressors).
    calendar, ahead
        Features of the future steps; shapes (rows, horizon, calendar columns) and (rows, horizon, regressors).
    """
    tensors = {WINDOW: values, FUTURE: np.concatenate([calendar, ahead], axis=2)}
    return {**tensors, PAST: past} if past.shape[2] else tensors


def _ahead(asked: Asked, steps: int, description: Description) -> Floats32:
    found = np.zeros((steps, len(description.regressor_scales)), dtype=np.float32)
    found[asked.steps - 1] = description.regressors(asked.regressors, len(asked.steps))
    return found


def _calendar(asked: Asked, steps: int, description: Description) -> Floats32:
    frequency = frequency_of(description.frequency)
    return description.calendar.features(times_of(asked.context.last, np.arange(1, steps + 1), frequency))


def _prediction(asked: Asked, standardised: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    values = standardised * asked.context.scale.spread + asked.context.scale.mean
    return values if asked.context.floor is None else np.maximum(values, asked.context.floor)
