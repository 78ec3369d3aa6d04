"""The data of a job at each step: as read, as joined, and as a framework gets it. This module is fast to import.

Row numbers in ``Parts`` and ``Series`` are positions in ``Dataset.frame`` (0-based). A framework takes the slice it
needs, so that there is only one copy of the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from trainyard_api.training import Task
from trainyard_trainer.data.notation import UNKNOWN, Notation

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from trainyard_trainer.data.tables.splits import Sides

GOLDEN_SERIES = 3
"""Number of series in the golden rows of a model per series."""

DemandClass = Literal["High", "Medium", "Low", "Intermittent"]


@dataclass(frozen=True)
class FileRows:
    """One file of a table, and its number of rows."""

    uri: str
    rows: int


@dataclass(frozen=True)
class Origin:
    """The source of the data.

    Attributes
    ----------
    digest
        ``sha256:`` and the hex digest of the stored bytes, not decompressed. For several files, there is one digest of
        all.
    notes
        Notes about the detected format: separator, decimal sign, compression.
    files
        The files in the order of their rows. Empty if the source has no files.
    """

    uri: str
    digest: str
    size_bytes: int
    notes: tuple[str, ...] = ()
    files: tuple[FileRows, ...] = ()


@dataclass(frozen=True)
class Table:
    """The user's table as it was read, before its columns get types and roles.

    It is released after preprocessing, so that only one copy of the rows is in memory during training. ``origin`` is
    kept.

    Attributes
    ----------
    frame
        Only the required columns, if the format supports a projection.
    findings
        Findings from loading.
    notation
        The known notation of numbers that are text.
    identity
        The columns that identified a row when the champion was trained. They are still used if the features change.
        Otherwise rows of the test part could move to the training part.
    """

    frame: pd.DataFrame
    origin: Origin
    covariates: tuple[CovariateTable, ...] = ()
    findings: tuple[Finding, ...] = ()
    notation: Notation = UNKNOWN
    identity: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clock:
    """The clock of the times of a table. The times have no zone.

    Attributes
    ----------
    zone
        The zone of the user's times without an offset; ``None`` counts as UTC.
    wall
        Whether the times are wall-clock times of that zone, as in daily data. Otherwise they are in UTC.
    time_of_day_seconds
        The second of the day of all rows of such a table.
    opening
        The opening hours of the table, in the form of a frequency. Empty if it is always open.
    form
        The format of its times: see :func:`trainyard_trainer.data.values.times.read_times`; empty in older models.
    """

    zone: str | None = None
    wall: bool = False
    time_of_day_seconds: int = 0
    form: str = ""
    opening: str = ""


@dataclass(frozen=True)
class CovariateTable:
    """A cleaned second table, ready for the join.

    Attributes
    ----------
    frame
        Sorted by time: ``time`` (datetime64[ns], instants in UTC, no zone), ``key`` (text, only if ``keyed``), then
        ``columns``.
    columns
        Names of the columns as features: ``<covariate>.<column>``.
    keyed
        Whether each row belongs to one series.
    """

    name: str
    frame: pd.DataFrame
    columns: tuple[str, ...]
    keyed: bool
    known_in_future: bool

    def by(self, clock: Callable[[pd.Series[Any]], pd.Series[Any]]) -> CovariateTable:
        """Return a copy with its times by another clock, sorted by time."""
        times = clock(self.frame["time"])
        frame = self.frame.assign(time=times).sort_values("time", kind="stable", ignore_index=True)
        return replace(self, frame=frame)


@dataclass(frozen=True)
class Finding:
    """An entry of the validation report. ``count`` is the number of affected rows or values."""

    code: str
    severity: Literal["error", "warning", "info"]
    message: str
    series: str | None = None
    count: int = 0


@dataclass(frozen=True)
class Parts:
    """Positions of the rows for training, validation (early stopping) and test. They never overlap."""

    train: npt.NDArray[np.intp]
    validation: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]


@dataclass(frozen=True)
class Series:
    """One time series: rows ``[start, stop)`` of the frame in order of time.

    The last ``holdout`` rows are the test part.
    """

    name: str
    start: int
    stop: int
    holdout: int

    @property
    def split(self) -> int:
        """The first row of the holdout."""
        return self.stop - self.holdout


@dataclass(frozen=True)
class Static:
    """Static attributes of each series: ``data.static``.

    Attributes
    ----------
    names
        Names of the columns.
    texts
        For each text column, its values in order of their codes. Empty for a numeric column.
    values
        By name of the series, one value for each column. A missing value is NaN.
    """

    names: tuple[str, ...] = ()
    texts: tuple[tuple[str, ...], ...] = ()
    values: Mapping[str, tuple[float | str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Typed columns, their roles, and the held-out rows.

    Attributes
    ----------
    frame
        Tables: the features (numbers, or pandas categories in the order of ``categories``), then the target (float; for
        classes the position in ``classes``). Forecasts: columns ``ds`` (datetime64, no zone, by ``clock``) and ``y``
        (float), sorted by series and time, then the covariates: ``features``, then ``lagged``.
    categories
        For each text feature its values in the order of their codes.
    sentinels
        For each feature or covariate with a sentinel, the number that means a missing value. ``frame`` has NaN there.
    classes
        The values of the target in the order of their codes. Of two classes, the positive one is second. Empty unless
        the task is Classification.
    parts
        The split of a table. ``None`` for forecasts, whose split is in ``series``.
    sides
        The rule of that split. It also applies to rows of another table.
    times
        Tables that are split by time: the instant of each row of ``frame``.
    groups
        Tables that are split by group: the group number of each row of ``parts.test``.
    held_out
        Tables: the rows of ``parts.test`` with all columns as they were read. Only set if a champion needs them.
    frequency
        The pandas offset alias of the time steps; ``None`` for tables.
    clock
        The clock of ``ds``.
    series_total
        Number of series of the source. It includes series that failed validation and are not in ``series``.
    leading
        The series for golden rows, if they are not simply the first ones. A part keeps those of the whole.
    demand
        The demand class of each series by its name, among all series of the job.
    ahead
        The covariates of the steps after each series by its name, shape (horizon, covariates). Unknown values are NaN.
        Empty without covariates.
    lagged
        The covariates of a forecast that are not known in the future, each at the time of its row.
    static
        Static attributes of each series.
    """

    task: Task
    frame: pd.DataFrame
    target: str
    features: tuple[str, ...]
    findings: tuple[Finding, ...]
    origin: Origin
    holdout_digest: str
    rows: int
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sentinels: Mapping[str, float] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    parts: Parts | None = None
    sides: Sides | None = None
    times: npt.NDArray[np.datetime64] | None = None
    groups: npt.NDArray[np.uint64] | None = None
    held_out: pd.DataFrame | None = None
    series: tuple[Series, ...] = ()
    series_total: int = 0
    frequency: str | None = None
    clock: Clock = Clock()
    leading: tuple[str, ...] = ()
    demand: Mapping[str, DemandClass] = field(default_factory=dict)
    ahead: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    lagged: tuple[str, ...] = ()
    static: Static = field(default_factory=Static)

    @property
    def positive_class(self) -> str | None:
        """Of two classes, the one that precision, recall and the threshold refer to."""
        return self.classes[1] if len(self.classes) == 2 else None

    @property
    def golden_series(self) -> frozenset[str]:
        """The names of the series whose predictions become golden rows."""
        return frozenset(self.leading or (one.name for one in self.series[:GOLDEN_SERIES]))

    def part(self, wanted: Callable[[str], bool]) -> Self:
        """Return the dataset with some of its series, by name. Each is trained as it would be among all series."""
        series = tuple(one for one in self.series if wanted(one.name))
        return replace(self, series=series, leading=tuple(sorted(self.golden_series)))

    def known_ahead(self, names: Collection[str]) -> Self:
        """Return the dataset with only these of its ``features``. The others count as not known in the future.

        A model uses a covariate as it was in its training, also if newer data has future values of it.
        """
        kept = [number for number, name in enumerate(self.features) if name in names]
        if len(kept) == len(self.features):
            return self
        return replace(
            self,
            features=tuple(self.features[number] for number in kept),
            lagged=(*self.lagged, *(name for name in self.features if name not in names)),
            ahead={name: values[:, kept] for name, values in self.ahead.items()} if kept else {},
        )
