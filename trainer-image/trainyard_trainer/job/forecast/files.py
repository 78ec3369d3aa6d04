"""One forecast, two files: Parquet for programs, CSV for people. Both have the same rows, columns and times."""

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
    """What a forecast comes from: the same in each of its rows. ``run`` is the uid of the TrainingJob."""

    model: str
    version: int
    run: str


class ForecastWriter:
    """Writes both files, part by part. To be used as a context."""

    def __init__(self, folder: Path, clock: Clock, *, days: bool, predictions: list[str], origin: Origin) -> None:
        """Begin both.

        Parameters
        ----------
        clock
            By which the times are kept.
        days
            Whether all times lie at midnight: CSV has dates then.
        predictions
            The names of the columns of numbers.
        origin
            What stands in the last columns of each row.
        """
        self._clock, self._days, self._origin = clock, days, origin
        zone = clock.zone if clock.zone is not None and not clock.wall else None
        instant = pa.timestamp("us", zone)
        self._schema = pa.schema(
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
        self._table = pq.ParquetWriter(folder / FORECAST, self._schema, compression="zstd")
        self._text = (folder / FORECAST_TEXT).open("w", encoding="utf-8", newline="")
        self._text.write(",".join(self._schema.names) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.close()
        self._text.close()

    def add(self, names: tuple[str, ...], ends: Times, times: Times, predictions: pd.DataFrame) -> None:
        """Write some series: ``ends`` has shape (series,), ``times`` (series, steps), ``predictions`` a row each."""
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
        frame = pd.DataFrame(columns, copy=False)
        self._table.write_table(pa.Table.from_pandas(frame, self._schema, preserve_index=False))
        texts = frame.assign(**{name: self._texts(frame[name]) for name in (TIME, AS_OF)})
        texts.to_csv(self._text, index=False, header=False, lineterminator="\n")

    def _texts(self, times: "pd.Series[pd.Timestamp]") -> npt.NDArray[np.object_]:
        """Return ISO 8601; each time is written once, as a panel repeats them."""
        codes, found = pd.factorize(times)
        distinct = pd.DatetimeIndex(found)
        form: Literal["milliseconds", "seconds"] = "milliseconds" if (distinct.microsecond > 0).any() else "seconds"
        written = [one.date().isoformat() if self._days else one.isoformat(timespec=form) for one in distinct]
        return np.array(written, dtype=object)[codes]


def as_written(times: Times, clock: Clock) -> "pd.Series[pd.Timestamp]":
    """Return times by the user's clock: with the offset of their zone where they are kept in UTC."""
    asked = as_asked(times, clock)
    return asked if asked.dt.tz is None else asked.dt.tz_convert(clock.zone)


def are_days(times: Times, clock: Clock) -> bool:
    """Tell whether all times lie at midnight of their clock, and may be written as dates."""
    return (clock.wall or clock.zone is None) and bool((times == times.astype("datetime64[D]")).all())
