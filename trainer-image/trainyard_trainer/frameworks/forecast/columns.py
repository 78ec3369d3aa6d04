"""The input columns of a forecast model of any framework: times, series and regressors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.data import Data
from trainyard_trainer.data.dataset import Clock, Dataset
from trainyard_trainer.data.values.times import asked_times
from trainyard_trainer.errors import DataError
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.evaluate.quantiles import QUANTILE

Times = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Columns:
    """The user's names for time, series (``None`` without one) and regressors, and how to parse their values.

    Attributes
    ----------
    clock
        The clock of the times.
    sentinels
        For each regressor with a sentinel, the number that means a missing value.
    """

    time: str
    series: str | None
    regressors: tuple[str, ...] = ()
    clock: Clock = field(default_factory=Clock)
    sentinels: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: Dataset, data: Data) -> Self:
        """Return the columns of a dataset, with all its regressors."""
        return cls(data.time or "ds", data.series, dataset.features, dataset.clock, dataset.sentinels)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read the fields of ``dataclasses.asdict``. Models of older releases lack newer fields."""
        clock, sentinels = Clock(**fields.get("clock", {})), fields.get("sentinels", {})
        return cls(fields["time"], fields["series"], tuple(fields.get("regressors", ())), clock, sentinels)

    @property
    def inputs(self) -> list[str]:
        """The required columns of a request."""
        return [self.time, *((self.series,) if self.series is not None else ()), *self.regressors]


@dataclass(frozen=True)
class Questions:
    """A parsed request: ``times`` by the model's clock, ``regressors`` of shape (rows, regressors)."""

    times: Times
    series: "pd.Series[str] | None"
    regressors: Floats | None

    def by_series(self) -> Iterator[tuple[str | None, npt.NDArray[np.intp]]]:
        """Yield each requested series with the positions of its rows. The name is ``None`` for a single series."""
        if self.series is None:
            yield None, np.arange(len(self.times))
            return
        codes, names = pd.factorize(self.series)
        for code, name in enumerate(names):
            yield str(name), np.flatnonzero(codes == code)


def read_questions(inputs: pd.DataFrame, columns: Columns) -> Questions:
    """Parse the table of a request.

    Raises
    ------
    DataError
        If a column is missing, a time cannot be read, or a regressor is text.
    """
    missing = [name for name in columns.inputs if name not in inputs.columns]
    if missing:
        raise DataError(f"the input lacks the column {missing[0]!r}; the model needs {', '.join(columns.inputs)}")
    return Questions(
        asked_times(inputs[columns.time], columns.time, columns.clock),
        None if columns.series is None else inputs[columns.series].astype(str),
        _regressors(inputs, columns),
    )


def require_same_steps(dataset: Dataset, columns: Columns, frequency: str) -> None:
    """Check that a model with these columns and this frequency can forecast a dataset.

    Raises
    ------
    DataError
        If the dataset has another frequency or clock, or lacks a covariate.
    """
    if dataset.frequency != frequency:
        raise DataError(f"the model has steps of {frequency}, but the data has steps of {dataset.frequency}")
    mine, theirs = columns.clock, dataset.clock
    if (mine.zone, mine.wall) != (theirs.zone, theirs.wall):
        raise DataError(
            f"the model has times of {mine.zone or 'UTC'}, but the data has times of {theirs.zone or 'UTC'}"
        )
    missing = [name for name in columns.regressors if name not in dataset.features]
    if missing and missing[0] in dataset.lagged:
        raise DataError(
            f"the model needs the future values of {missing[0]!r}, but the data has none: add rows after the last "
            "target, or a covariate with knownInFuture"
        )
    if missing:
        raise DataError(f"the data lacks the covariate {missing[0]!r} of the model")


def quantile_columns(levels: Sequence[float]) -> list[str]:
    """Return the names of the columns of quantiles."""
    return [f"{QUANTILE}{level:g}" for level in levels]


def unknown_series(columns: Columns, name: str, known: int) -> DataError:
    """Return the error for a series that the model was not trained on."""
    return DataError(f"column {columns.series!r}: the model has no series {name!r}; it was trained on {known} series")


def asked_rows(dataset: Dataset, columns: Columns, series: str, rows: slice) -> pd.DataFrame:
    """Return rows of a dataset as a caller would send them. ``series`` is the name of their series."""
    part = dataset.frame.iloc[rows].reset_index(drop=True)
    table = pd.DataFrame({columns.time: as_asked(part["ds"].to_numpy(), columns.clock)})
    if columns.series is not None:
        table[columns.series] = series
    for name in columns.regressors:
        table[name] = part[name].to_numpy()
    return table


def as_asked(times: Times, clock: Clock) -> "pd.Series[pd.Timestamp]":
    """Return times of ``clock`` as a caller would write them: with an offset if they are in UTC."""
    column = pd.Series(times)
    return column.dt.tz_localize("UTC") if clock.zone is not None and not clock.wall else column


def _regressors(inputs: pd.DataFrame, columns: Columns) -> Floats | None:
    if not columns.regressors:
        return None
    found = []
    for name in columns.regressors:
        try:
            values = pd.to_numeric(inputs[name]).to_numpy(dtype=np.float64, na_value=np.nan)
            found.append(np.where(values == columns.sentinels.get(name, np.nan), np.nan, values))
        except (ValueError, TypeError) as error:
            raise DataError(f"column {name!r} of the input must hold numbers: {error}") from error
    return np.column_stack(found)
