"""The data of a job on its way: as it was read, as it is joined, and as a framework gets it. Light to import.

Row numbers in ``Parts`` and ``Series`` are positions in ``Dataset.frame`` (0-based); a framework takes the slice it
needs, so that the frame exists once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
"""Of a model per series, these many answer for all."""

DemandClass = Literal["High", "Medium", "Low", "Intermittent"]


@dataclass(frozen=True)
class FileRows:
    """One of the files of a table, and how many rows it gave."""

    uri: str
    rows: int


@dataclass(frozen=True)
class Origin:
    """Where the data came from.

    Attributes
    ----------
    digest
        ``sha256:`` and the hex digest of the bytes of the source, as they were stored (compressed ones stay so); of
        several files one over all.
    notes
        What was found out about the format: separator, decimal sign, compression.
    files
        In the order of their rows; empty where the source has no files.
    """

    uri: str
    digest: str
    size_bytes: int
    notes: tuple[str, ...] = ()
    files: tuple[FileRows, ...] = ()


@dataclass(frozen=True)
class Table:
    """The user's table as it was read, before any meaning is given to its columns.

    It lives until preprocessing is done; ``origin`` outlives it, so that the rows are in memory once while training.

    Attributes
    ----------
    frame
        Only the columns that are needed, where the format allows a projection.
    findings
        Those made while loading.
    notation
        What is known of how its numbers are written, where they are text.
    identity
        The columns whose values told rows apart when the champion was trained. They go on to do so, whatever features
        are chosen now: else rows that judged then would train today.
    """

    frame: pd.DataFrame
    origin: Origin
    covariates: tuple[CovariateTable, ...] = ()
    findings: tuple[Finding, ...] = ()
    notation: Notation = UNKNOWN
    identity: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clock:
    """By which clock the times of a table are kept, all without a zone.

    Attributes
    ----------
    zone
        The zone of the user's times without an offset; ``None`` counts as UTC.
    wall
        Whether the table has the days of that zone, by its wall clock; else its times are in UTC.
    time_of_day_seconds
        At which second of the day the rows of such a table lie.
    opening
        When the table has rows, as the frequency of its steps says it; empty for always.
    form
        How its times are written: see :func:`trainyard_trainer.data.values.times.read_times`; empty in older models.
    """

    zone: str | None = None
    wall: bool = False
    time_of_day_seconds: int = 0
    form: str = ""
    opening: str = ""


@dataclass(frozen=True)
class CovariateTable:
    """A second table, clean: ready to be joined.

    Attributes
    ----------
    frame
        Sorted by time: ``time`` (datetime64[ns], instants in UTC, no zone), ``key`` (text, only if ``keyed``), then
        ``columns``.
    columns
        Their names as features: ``<covariate>.<column>``.
    keyed
        Whether its rows belong to single series.
    """

    name: str
    frame: pd.DataFrame
    columns: tuple[str, ...]
    keyed: bool
    known_in_future: bool

    def by(self, clock: Callable[[pd.Series[Any]], pd.Series[Any]]) -> CovariateTable:
        """Return it with its times by another clock, sorted by them."""
        times = clock(self.frame["time"])
        frame = self.frame.assign(time=times).sort_values("time", kind="stable", ignore_index=True)
        return replace(self, frame=frame)


@dataclass(frozen=True)
class Finding:
    """One line of the validation report. ``count`` is the number of rows or values concerned."""

    code: str
    severity: Literal["error", "warning", "info"]
    message: str
    series: str | None = None
    count: int = 0


@dataclass(frozen=True)
class Parts:
    """Positions of the rows to fit on, to stop early on, and to judge by. They never overlap."""

    train: npt.NDArray[np.intp]
    validation: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]


@dataclass(frozen=True)
class Series:
    """One time series: rows ``[start, stop)`` of the frame in order of time; the last ``holdout`` rows judge."""

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
    """What is told of each series once: ``data.static``.

    Attributes
    ----------
    names
        Of the columns.
    texts
        For each column the values of a column of text, in order; empty for a column of numbers.
    values
        By the name of the series one value for each column; a missing one is NaN.
    """

    names: tuple[str, ...] = ()
    texts: tuple[tuple[str, ...], ...] = ()
    values: Mapping[str, tuple[float | str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Typed columns, their roles, and who is held out.

    Attributes
    ----------
    frame
        Tables: the features (numbers, or pandas categories in the order of ``categories``), then the target (float; for
        classes the position in ``classes``). Forecasts: columns ``ds`` (datetime64, no zone, by ``clock``) and
        ``y`` (float), sorted by series and time, then the covariates: ``features``, then ``lagged``.
    categories
        For each text feature its values in the order of their codes.
    sentinels
        For each feature or covariate that has one the number that stands for a missing value; ``frame`` has NaN there.
    classes
        The target's values in the order of their numbers, of two the positive one second; empty unless the task is
        Classification.
    parts
        The split of a table; ``None`` for forecasts, whose split stands in ``series``.
    sides
        The rule of that split, for whoever asks on which side another table's row stands.
    times
        Tables that are split by time: the instant of each row of ``frame``.
    groups
        Tables that are split by group: a number for the group of each row of ``parts.test``.
    held_out
        Tables: the rows of ``parts.test`` with all columns as they were read, where a champion is to read them.
    frequency
        The pandas offset alias of the time steps; ``None`` for tables.
    clock
        By which ``ds`` is kept.
    series_total
        How many series the source holds, with those that failed validation and are not in ``series``.
    leading
        The series whose answers become golden rows, where they are not simply the first: a part keeps the whole's.
    demand
        The demand class of each series by its name, among all series of the job.
    ahead
        The covariates of the steps behind each series by its name, shape (horizon, covariates), NaN where there are
        none; empty without covariates.
    lagged
        The covariates of a forecast that are known only up to now, each at the time of its row.
    static
        What is told of each series once.
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
        """Of two classes the one that precision, recall and the threshold are of."""
        return self.classes[1] if len(self.classes) == 2 else None

    @property
    def golden_series(self) -> frozenset[str]:
        """The names of the series whose answers become golden rows."""
        return frozenset(self.leading or (one.name for one in self.series[:GOLDEN_SERIES]))

    def part(self, wanted: Callable[[str], bool]) -> Self:
        """Return the dataset with some of its series, by name: each is trained as it would be among all."""
        series = tuple(one for one in self.series if wanted(one.name))
        return replace(self, series=series, leading=tuple(sorted(self.golden_series)))
