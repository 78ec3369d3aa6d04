"""What a framework is given, what it must offer, and what it gives back. Light to import: no pandas here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trainyard_api.trainingjob import SeriesCount
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.artifacts.checkpoints import Checkpoints, NoCheckpoints
from trainyard_trainer.search.tunable import Tunable, Tuned

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from trainyard_trainer.data.dataset import Dataset
    from trainyard_trainer.progress.port import Progress

GOLDEN_ROWS = 20
"""At most so many rows are kept to prove that a saved model still answers as the trained one did."""


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
    decode
        From the session's outputs, in their order, to the table that ``Framework.predict`` gives.
    """

    body: bytes
    feed: Callable[[pd.DataFrame], dict[str, npt.NDArray[Any]]]
    decode: Callable[[list[Any]], pd.DataFrame]


@dataclass(frozen=True)
class Trained:
    """Two models: the judged one, fitted without the held-out rows, and the final one, fitted on everything.

    Attributes
    ----------
    files
        Of both, already written below ``Context.output`` (paths relative to it); those of the judged one in ``JUDGED``.
    model, judged
        In memory, as the framework has them. User code that makes one model of its own has no judged one.
    """

    formats: tuple[str, ...]
    files: tuple[str, ...]
    model: Any
    parameters: dict[str, Any]
    series: SeriesCount | None = None
    warnings: tuple[str, ...] = ()
    device: str = "cpu"
    tuned: Tuned | None = None
    judged: Any = None


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
        The rows that judged, for pictures. Forecasts: ``series``, ``time``, ``actual``, ``predicted``, ``baseline``,
        and ``quantile:<level>`` where they are asked for, series by series in the order of the dataset; numbers:
        ``actual``, ``predicted``, ``baseline``; classes: ``actual`` (its number) and ``probability:<class>``.
        The judges in ``evaluate`` make them, those of forecasts with the scales of each series beside its rows.
    baseline
        The name of the naive model that stands beside it; empty where nobody says.
    leaderboard
        Of several candidates, best first: ``candidate``, ``within`` (of which other it is a part, or empty),
        ``windows`` and ``holdout`` (its mean error, NaN where it was not judged), ``weight``, ``seconds`` of one core.
    """

    metrics: dict[str, float]
    table: pd.DataFrame
    golden: Golden
    importance: pd.DataFrame | None = None
    holdout: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()
    baseline: str = ""
    leaderboard: pd.DataFrame | None = None


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
    """One way to train. Instances hold no state; they are made per job.

    Attributes
    ----------
    format
        Of the models that it writes and reads.
    """

    name: str
    format: str

    def check(self, config: TrainerConfig) -> None:
        """Judge the specification before any data is read, the names in ``spec.search.space`` too.

        Raises ConfigError or Unsupported.
        """
        ...

    def tunable(self, dataset: Dataset, context: Context) -> Tunable | None:
        """Return what a search of the one model turns; ``None`` where ``train`` itself searches, series by series."""
        ...

    def train(self, dataset: Dataset, context: Context) -> Trained:
        """Fit with ``context.parameters``, without the held-out rows and with them, and write the files of both models.

        Raises
        ------
        DataError, Interrupted
        """
        ...

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:
        """Judge the judged model on the holdout, beside a naive one. The golden rows are those of the final one."""
        ...

    def load(self, folder: Path) -> Any:
        """Read back what ``train`` wrote into ``Context.output``, or into ``JUDGED`` below it."""
        ...

    def predict(self, model: Any, inputs: pd.DataFrame) -> pd.DataFrame:
        """Answer for raw input rows, as a server would."""
        ...

    def to_onnx(self, model: Any) -> OnnxModel | None:
        """Return the model as ONNX; ``None`` where the framework has no such form. Raises what the converter raises."""
        ...


class ForecastFramework(Framework, Protocol):
    """A framework for task Forecast: what of it a comparison on the rows of another training needs."""

    def learned_until(self, model: Any) -> Mapping[str, np.datetime64]:
        """Return for each series the time of the newest row that a loaded model has learned, by its own clock."""
        ...

    def forecast_holdouts(self, model: Any, dataset: Dataset) -> npt.NDArray[np.float64]:
        """Forecast the held-out rows of a dataset, each series from its own split.

        Nothing is fitted. What the dataset knows before the split takes the place of what the model knew: lags and
        windows are made of it.

        Parameters
        ----------
        model
            As ``load`` returns it; it may be older than the dataset and know other series.

        Returns
        -------
        Shape (held-out rows,), series by series in the order of the dataset; NaN where the model does not know a series
        and cannot do without.

        Raises
        ------
        DataError
            If the dataset lacks a covariate of the model, or has another step of time.
        """
        ...
