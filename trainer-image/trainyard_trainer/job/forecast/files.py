"""The two files of a forecast: Parquet for programs, CSV for people. Both have the same rows, columns and times."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trainyard_trainer.artifacts.layout import FORECAST, FORECAST_TEXT
from trainyard_trainer.data.dataset import Clock
from trainyard_trainer.frameworks.forecast.columns import Times, as_asked

SERIES, TIME, AS_OF, STEP = "series", "time", "as_of", "step"
MODEL, VERSION, RUN = "model", "version", "run"


@dataclass(frozen=True)
class Origin:
    """The source of a forecast, equal in all of its rows. ``run`` is the UID of the TrainingJob."""

    model: str
    version: int
    run: str


class ForecastRows:
    """The columns of a forecast, and its rows as a table."""

    def __init__(self, clock: Clock, predictions: list[str], origin: Origin) -> None:
        """Create the description of a forecast.

        Parameters
        ----------
        clock
            The clock of the times.
        predictions
            The names of the numeric columns.
        origin
            The values of the last columns of each row.
        """
        self._clock, self._origin = clock, origin
        zone = clock.zone if clock.zone is not None and not clock.wall else None
        instant = pa.timestamp("us", zone)
        self.schema = pa.schema(
            [
                (SERIES, pa.string()),
                (TIME, instant),
                (AS_OF, instant),
                (STEP, pa.int32()),
                *((name, pa.float64()) for name in predictions),
                (MODEL, pa.string()),
                (VERSION, pa.int64()),
                (RUN, pa.string()),
            ]
        )

    def frame(self, names: tuple[str, ...], ends: Times, times: Times, predictions: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of some series.

        ``ends`` has shape (series,), ``times`` (series, steps), and ``predictions`` one row for each time.
        """
        count, steps = times.shape
        codes = np.repeat(np.arange(count), steps)
        columns: dict[str, Any] = {
            SERIES: np.array(names, dtype=object)[codes],
            TIME: as_written(times.ravel(), self._clock),
            AS_OF: as_written(ends, self._clock).iloc[codes].reset_index(drop=True),
            STEP: np.tile(np.arange(1, steps + 1, dtype=np.int32), count),
            **{name: predictions[name].to_numpy() for name in predictions.columns},
            MODEL: np.full(len(codes), self._origin.model, dtype=object),
            VERSION: np.full(len(codes), self._origin.version),
            RUN: np.full(len(codes), self._origin.run, dtype=object),
        }
        return pd.DataFrame(columns, copy=False)

    def table(self, frame: pd.DataFrame) -> pa.Table:
        """Return rows with the types of the schema."""
        return pa.Table.from_pandas(frame, self.schema, preserve_index=False)


class ForecastWriter:
    """Context manager that writes both files, part by part."""

    def __init__(self, folder: Path, clock: Clock, *, days: bool, predictions: list[str], origin: Origin) -> None:
        """Create the writer. If ``days``, all times are at midnight, and the CSV file has dates.

        For the other parameters, see :class:`ForecastRows`.
        """
        self._days = days
        self._rows = ForecastRows(clock, predictions, origin)
        self._table = pq.ParquetWriter(folder / FORECAST, self._rows.schema, compression="zstd")
        self._text = (folder / FORECAST_TEXT).open("w", encoding="utf-8", newline="")
        self._text.write(",".join(self._rows.schema.names) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.close()
        self._text.close()

    def add(self, names: tuple[str, ...], ends: Times, times: Times, predictions: pd.DataFrame) -> None:
        """Write some series: see :meth:`ForecastRows.frame`."""
        frame = self._rows.frame(names, ends, times, predictions)
        self._table.write_table(self._rows.table(frame))
        texts = frame.assign(**{name: self._texts(frame[name]) for name in (TIME, AS_OF)})
        texts.to_csv(self._text, index=False, header=False, lineterminator="\n")

    def _texts(self, times: "pd.Series[pd.Timestamp]") -> npt.NDArray[np.object_]:
        """Return ISO 8601 text. Each distinct time is formatted once, because times repeat in a panel."""
        codes, found = pd.factorize(times)
        distinct = pd.DatetimeIndex(found)
        form: Literal["milliseconds", "seconds"] = "milliseconds" if (distinct.microsecond > 0).any() else "seconds"
        written = [one.date().isoformat() if self._days else one.isoformat(timespec=form) for one in distinct]
        return np.array(written, dtype=object)[codes]


def as_written(times: Times, clock: Clock) -> "pd.Series[pd.Timestamp]":
    """Return times by the user's clock. If they are kept in UTC, they get the offset of their zone."""
    sent = as_asked(times, clock)
    return sent if sent.dt.tz is None else sent.dt.tz_convert(clock.zone)


def are_days(times: Times, clock: Clock) -> bool:
    """Return whether all times are at midnight of their clock, so that they can be written as dates."""
    return (clock.wall or clock.zone is None) and bool((times == times.astype("datetime64[D]")).all())
