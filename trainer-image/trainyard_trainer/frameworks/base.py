"""The interface of frameworks: their inputs, methods and results. This module is fast to import, without pandas."""

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
"""Maximum number of rows that are kept to check that a saved model reproduces its predictions."""


@dataclass(frozen=True)
class Golden:
    """Test data for the saved model: at most ``GOLDEN_ROWS`` inputs, and the outputs of the trained model."""

    inputs: pd.DataFrame
    outputs: pd.DataFrame


@dataclass(frozen=True)
class OnnxModel:
    """A model as ONNX, with conversion of its inputs and outputs.

    Attributes
    ----------
    body
        The serialized ModelProto.
    feed
        Converts raw rows, as for ``Framework.predict``, to the input tensors of the session by name.
    decode
        Converts the outputs of the session, in order, to the table of ``Framework.predict``.
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
        Files of both models, already written below ``Context.output`` (paths relative to it). Those of the judged one
        are in ``JUDGED``.
    model, judged
        The models in memory. User code that makes a single model has no judged one.
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
    """The quality of the model on held-out rows.

    Attributes
    ----------
    metrics
        Finite numbers by lowercase name.
    table
        Long form: ``series`` (``None`` for all rows together), ``metric``, ``value``, ``baseline`` (the same metric of
        the naive model).
    importance
        ``feature`` and ``gain``, best first, if the framework provides it.
    holdout
        The held-out rows, for plots. Forecasts: ``series``, ``time``, ``actual``, ``predicted``, ``baseline``, and
        ``quantile:<level>`` if requested, series by series in the order of the dataset; numbers: ``actual``,
        ``predicted``, ``baseline``; classes: ``actual`` (the class code) and ``probability:<class>``. They come from
        the package ``evaluate``. For forecasts, each row also has the scale of its series.
    baseline
        The name of the naive model for comparison. Empty if unknown.
    leaderboard
        For several candidates, best first: ``candidate``, ``within`` (the candidate that contains it, or empty),
        ``windows`` and ``holdout`` (its mean error, NaN if unknown), ``weight``, ``seconds`` of one core.
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
class Refreshed:
    """A model with the state at the ends of the series of a dataset.

    Attributes
    ----------
    model
        As ``Framework.load`` returns it. It forecasts the steps after the new ends.
    left_out
        Series of the dataset that the model cannot forecast: by name, one sentence with the reason.
    notes
        Sentences for readers of the forecasts.
    """

    model: Any
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """The inputs of a framework. ``stop()`` returns true when the pod must stop.

    Attributes
    ----------
    parameters
        Training parameters: ``spec.parameters``, overridden by those that a search of the model found.
    tuned
        The result of that search, or ``None``.
    previous
        The result of the search for the last version of the model, or ``None``.
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
    """A framework. Instances have no state and are created per job.

    Attributes
    ----------
    format
        Name of the format of its models.
    """

    name: str
    format: str

    def check(self, config: TrainerConfig) -> None:
        """Check the specification before any data is read, including the names in ``spec.search.space``.

        Raises ConfigError or Unsupported.
        """
        ...

    def tunable(self, dataset: Dataset, context: Context) -> Tunable | None:
        """Return the search of the model, or ``None`` if ``train`` itself searches, series by series."""
        ...

    def train(self, dataset: Dataset, context: Context) -> Trained:
        """Fit with ``context.parameters``, without the held-out rows and with them, and write the files of both models.

        Raises
        ------
        DataError, Interrupted
        """
        ...

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:
        """Evaluate the judged model on the holdout, compared with a naive one.

        The golden rows are those of the final model.
        """
        ...

    def load(self, folder: Path) -> Any:
        """Read the files that ``train`` wrote into ``Context.output``, or into ``JUDGED`` below it."""
        ...

    def predict(self, model: Any, inputs: pd.DataFrame) -> pd.DataFrame:
        """Return predictions for raw input rows, as a server does."""
        ...

    def to_onnx(self, model: Any) -> OnnxModel | None:
        """Return the model as ONNX, or ``None`` if the framework does not support it.

        Raises the errors of the converter.
        """
        ...


class ForecastFramework(Framework, Protocol):
    """A framework for task Forecast, with the methods to use a model on rows that are newer than its training."""

    def learned_until(self, model: Any) -> Mapping[str, np.datetime64]:
        """Return the time of the newest training row of each series of a loaded model, by the model's clock.

        A refreshed model still returns the ends of its training.
        """
        ...

    def forecast_holdouts(self, model: Any, dataset: Dataset) -> npt.NDArray[np.float64]:
        """Forecast the held-out rows of a dataset, each series from its own split.

        No model parameters are fitted. Lags and windows use the rows of the dataset before the split, instead of the
        rows that the model knew.

        Parameters
        ----------
        model
            The result of ``load``. It can be older than the dataset and have other series.

        Returns
        -------
        Shape (held-out rows,), series by series in the order of the dataset; NaN if the model needs to know a series
        and does not.

        Raises
        ------
        DataError
            If the dataset lacks a covariate of the model, or has another frequency.
        """
        ...

    def refreshed(self, model: Any, dataset: Dataset) -> Refreshed:
        """Return the model with the state at the end of each series of a dataset. No parameters are fitted.

        All rows of the dataset are known, also those of its holdout. ``predict`` answers the steps after the new ends,
        as ``forecast_holdouts`` would if a holdout started there.

        Parameters
        ----------
        model
            The result of ``load``. It is not changed.
        dataset
            A prepared dataset of task Forecast. It can have other series than the training.

        Raises
        ------
        DataError
            If the dataset lacks a covariate of the model, or has another frequency or clock.
        """
        ...
