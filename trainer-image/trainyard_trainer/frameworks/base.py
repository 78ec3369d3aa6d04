"""What flows between the stages of a training, and what a framework must offer. Light to import: no pandas here.

Row numbers in ``Parts`` and ``Series`` are positions in ``Dataset.frame`` (0-based); a framework takes the slice it
needs, so that the frame exists once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from trainyard_api.training import Task
from trainyard_api.trainingjob import SeriesCount
from trainyard_api.wire import TrainerConfig

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from trainyard_trainer.data.demand import DemandClass

GOLDEN_ROWS = 20
"""At most so many rows are kept to prove that a saved model still answers as the trained one did."""
GOLDEN_SERIES = 3
"""Of a model per series, these many answer for all."""


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
    ``frame`` holds only the columns that the specification needs, where the format allows a projection. ``findings``
    are those made while loading.
    """

    frame: pd.DataFrame
    origin: Origin
    covariates: tuple[CovariateTable, ...] = ()
    findings: tuple[Finding, ...] = ()


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
    """

    zone: str | None = None
    wall: bool = False
    time_of_day_seconds: int = 0


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
class Dataset:
    """Typed columns, their roles, and who is held out.

    Attributes
    ----------
    frame
        Tables: the features (numbers, or pandas categories in the order of ``categories``), then the target (float; for
        classes the position in ``classes``). Forecasts: columns ``ds`` (datetime64, no zone, by ``clock``) and
        ``y`` (float), sorted by series and time, then the covariates.
    categories
        For each text feature its values in the order of their codes.
    classes
        The target's values in the order of their numbers; empty unless the task is Classification.
    parts
        The split of a table; ``None`` for forecasts, whose split stands in ``series``.
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
    classes: tuple[str, ...] = ()
    parts: Parts | None = None
    series: tuple[Series, ...] = ()
    series_total: int = 0
    frequency: str | None = None
    clock: Clock = Clock()
    leading: tuple[str, ...] = ()
    demand: Mapping[str, DemandClass] = field(default_factory=dict)

    @property
    def golden_series(self) -> frozenset[str]:
        """The names of the series whose answers become golden rows."""
        return frozenset(self.leading or (one.name for one in self.series[:GOLDEN_SERIES]))

    def part(self, wanted: Callable[[str], bool]) -> Self:
        """Return the dataset with some of its series, by name: each is trained as it would be among all."""
        series = tuple(one for one in self.series if wanted(one.name))
        return replace(self, series=series, leading=tuple(sorted(self.golden_series)))


@dataclass(frozen=True)
class Tuned:
    """What a search found: kept with the version, and what the model's next search tries first.

    Attributes
    ----------
    parameters
        Of the one model; empty where each series has its own.
    series
        By the name of the series, where each has its own model.
    trials, pruned
        How many parameter sets were tried, and how many of them given up half-way.
    """

    parameters: Mapping[str, Any]
    series: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trials: int = 0
    pruned: int = 0


class Tunable(Protocol):
    """A model whose parameters can be searched; made for one dataset."""

    def space(self) -> Mapping[str, Any]:
        """Return where to look when ``spec.search.space`` does not say, in the words of ``search/space.py``.

        ``default`` in each says what the framework takes by itself, so that the search learns from its first trial.
        What ``spec.parameters`` sets is left out by the search itself, by the same name.
        """
        ...

    def score(self, parameters: Mapping[str, Any], report: Callable[[int, float], None]) -> float:
        """Return ``evaluate.names.searched_metric`` on rows it was not fitted on, never those of the holdout.

        Parameters
        ----------
        parameters
            All of them, as ``Context.parameters`` would hold them for the final training.
        report
            ``report(step, value)`` tells a value of the same metric on the way, at the same steps for every set, and
            raises to give the set up: let it pass.

        Raises
        ------
        ConfigError, DataError
            If this one set cannot be: it counts as failed, and the search goes on.
        """
        ...


class Checkpoints(Protocol):
    """What attempts of this job have finished, from the same data and specification; it survives their pods."""

    def get(self, name: str) -> bytes | None:
        """Return what was left under a name."""
        ...

    def put(self, name: str, body: bytes) -> None:
        """Leave something, or replace it. Raises TrainerError if the storage refuses."""
        ...

    def names(self) -> list[str]:
        """Return all names, sorted."""
        ...


class NoCheckpoints:
    """Nothing is known and nothing is kept."""

    def get(self, name: str) -> bytes | None:  # noqa: ARG002 - the protocol's
        """Return nothing."""
        return None

    def put(self, name: str, body: bytes) -> None:
        """Keep nothing."""

    def names(self) -> list[str]:
        """Return nothing."""
        return []


@dataclass(frozen=True)
class Golden:
    """What the saved model must reproduce: at most ``GOLDEN_ROWS`` inputs, and the outputs the trained model gave."""

    inputs: pd.DataFrame
    outputs: pd.DataFrame


@dataclass(frozen=True)
class OnnxModel:
    """A model as ONNX, and the way in and out of it.

    Attributes
    ----------
    body
        The serialized ModelProto.
    feed
        From raw rows, as ``Framework.predict`` takes them, to the tensors of the session by name.
    answer
        From the session's outputs, in their order, to the table that ``Framework.predict`` gives.
    """

    body: bytes
    feed: Callable[[pd.DataFrame], dict[str, npt.NDArray[Any]]]
    answer: Callable[[list[Any]], pd.DataFrame]


@dataclass(frozen=True)
class Trained:
    """The final model, its files already written below ``Context.output`` (paths relative to it)."""

    formats: tuple[str, ...]
    files: tuple[str, ...]
    model: Any
    parameters: dict[str, Any]
    series: SeriesCount | None = None
    warnings: tuple[str, ...] = ()
    device: str = "cpu"
    tuned: Tuned | None = None


@dataclass(frozen=True)
class Evaluation:
    """How good the model is on rows it has not seen.

    Attributes
    ----------
    metrics
        Finite numbers by lower-case name.
    table
        Long form: ``series`` (``None`` for all rows together), ``metric``, ``value``, ``baseline`` (the same metric of
        the naive model).
    importance
        ``feature`` and ``gain``, best first, where the framework knows it.
    holdout
        The rows that judged, for pictures. Forecasts: ``series``, ``time``, ``actual``, ``predicted``, ``baseline``;
        numbers: ``actual``, ``predicted``, ``baseline``; classes: ``actual`` (its number) and ``probability:<class>``.
        The judges in ``evaluate`` make them, those of forecasts with the scales of each series beside its rows.
    """

    metrics: dict[str, float]
    table: pd.DataFrame
    golden: Golden
    importance: pd.DataFrame | None = None
    holdout: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()


class Progress(Protocol):
    """Told how far the current stage is, 0 to 1. Never fails and never blocks for long."""

    def __call__(self, fraction: float, message: str, metrics: Mapping[str, float] | None = None) -> None:
        """Note the fraction, and what is being done in a few words."""
        ...


@dataclass(frozen=True)
class Context:
    """What a framework may use. ``stop()`` turns true when the pod is asked to end.

    Attributes
    ----------
    parameters
        What to train with: ``spec.parameters``, and over them what a search of the one model found.
    tuned
        That search; ``None`` without one.
    previous
        What the search for the model's last version found; ``None`` if there was none.
    """

    config: TrainerConfig
    workers: int
    work_dir: Path
    output: Path
    progress: Progress
    stop: Callable[[], bool]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: Checkpoints = field(default_factory=NoCheckpoints)
    tuned: Tuned | None = None
    previous: Tuned | None = None


class Framework(Protocol):
    """One way to train. Instances hold no state; they are made per job."""

    name: str

    def check(self, config: TrainerConfig) -> None:
        """Judge the specification before any data is read, the names in ``spec.search.space`` too.

        Raises ConfigError or Unsupported.
        """
        ...

    def tunable(self, dataset: Dataset, context: Context) -> Tunable | None:
        """Return what a search of the one model turns; ``None`` where ``train`` itself searches, series by series."""
        ...

    def train(self, dataset: Dataset, context: Context) -> Trained:
        """Fit with ``context.parameters``, and write the model's files. Raises DataError, Interrupted."""
        ...

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:
        """Judge the model on the holdout, beside a naive one."""
        ...

    def load(self, folder: Path) -> Any:
        """Read back what ``train`` wrote into ``Context.output``."""
        ...

    def predict(self, model: Any, inputs: pd.DataFrame) -> pd.DataFrame:
        """Answer for raw input rows, as a server would."""
        ...

    def to_onnx(self, model: Any) -> OnnxModel | None:
        """Return the model as ONNX; ``None`` where the framework has no such form. Raises what the converter raises."""
        ...
