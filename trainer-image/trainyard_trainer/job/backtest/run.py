"""Train and evaluate at each cutoff, as a training does at the end of the data."""

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol, cast, runtime_checkable

import numpy as np
import pandas as pd

from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.artifacts.checkpoints import Checkpoints
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import DataError, Interrupted
from trainyard_trainer.evaluate.backtest import AGE, Backtest, score
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.base import Context, Evaluation, ForecastFramework, Framework
from trainyard_trainer.frameworks.forecast.baseline import held_out_rows
from trainyard_trainer.job.backtest.windows import Plan, Window, plan_windows, step_of
from trainyard_trainer.job.tune import tune
from trainyard_trainer.progress.log import LOGGER
from trainyard_trainer.progress.port import Progress

_PREFIX: Final = "backtest/"


@runtime_checkable
class Shared(Protocol):
    """A framework whose training several pods share. Each pod has already trained its part of every window."""

    whole: Framework


def run_backtest(
    framework: Framework,
    dataset: Dataset,
    context: Context,
    known: Evaluation | None = None,
    champion: Callable[[Dataset], Floats] | None = None,
) -> Backtest:
    """Train and evaluate at each cutoff of ``spec.backtest``, oldest first. Each finished window is a checkpoint.

    Parameters
    ----------
    known
        The evaluation of the main training. It is used for the newest window if both have the same holdouts.
    champion
        Returns the predictions of the served version for the held-out rows of a window. They are NaN for rows that it
        was trained on.

    Raises
    ------
    DataError
        If no series is long enough for all windows, or one of the trainings fails.
    Interrupted
        When the pod must stop; finished windows are kept for the next attempt.
    """
    spec = context.config.spec
    framework = framework.whole if isinstance(framework, Shared) else framework
    plan = plan_windows(dataset, spec)
    parts = (
        _training_per_window(framework, dataset, context, known, plan)
        if _refits(spec)
        else _one_training(framework, context, plan)
    )
    rows = pd.concat(
        [
            part.assign(champion=np.nan if champion is None else champion(window.dataset))
            for part, window in zip(parts, plan.windows, strict=True)
        ],
        ignore_index=True,
    )
    rows = rows[np.isfinite(rows["predicted"])].reset_index(drop=True)
    return Backtest(rows, score(rows), step_of(spec), plan.warnings)


def _refits(spec: TrainingJobSpec) -> bool:
    return spec.backtest is None or spec.backtest.refit


def _training_per_window(
    framework: Framework, dataset: Dataset, context: Context, known: Evaluation | None, plan: Plan
) -> Iterator[pd.DataFrame]:
    """Yield the rows of each window. Each window has its own training."""
    spec = context.config.spec
    for number, window in enumerate(plan.windows):
        if context.stop():
            raise Interrupted("stopped between two windows of the backtest; the next attempt continues with the others")
        title = f"backtest, window {number + 1} of {len(plan.windows)}"
        progress = _WindowProgress(context.progress, number / len(plan.windows), 1 / len(plan.windows), title)
        progress(0.0, f"{len(window.dataset.series)} series")
        name = _name(window, spec)
        body = context.checkpoints.get(name)
        if body is not None:
            LOGGER.info("%s was evaluated by an earlier attempt", title)
            yield pd.read_parquet(io.BytesIO(body))
            continue
        if known is not None and known.holdout is not None and window.dataset.series == dataset.series:
            rows = _rows(known.holdout, window)
        else:
            own = replace(_window_context(context, window), progress=progress)
            rows = _rows(_holdout(framework, window, own, title), window)
            context.checkpoints.put(name, _bytes(rows))
        yield rows


def _one_training(framework: Framework, context: Context, plan: Plan) -> Iterator[pd.DataFrame]:
    """Yield the rows of each window, all by one model.

    The model is trained at the oldest cutoff. For later windows it gets the rows up to their cutoffs. There are no
    quantiles, because those of the oldest training do not fit later windows.
    """
    spec, oldest = context.config.spec, plan.windows[0]
    progress = _WindowProgress(context.progress, 0.0, 1.0, "backtest, one training for all windows")
    with tempfile.TemporaryDirectory(prefix="backtest-", dir=context.work_dir) as folder:
        own = replace(_window_context(context, oldest), progress=progress, output=Path(folder, "output"))
        own.output.mkdir()
        try:
            own = tune(framework, oldest.dataset, own)
            trained = framework.train(oldest.dataset, own)
        except DataError as error:
            raise DataError(
                f"the oldest window of the backtest: {error}; set fewer spec.backtest.windows, or provide longer series"
            ) from error
        for window in plan.windows:
            predictions = cast("ForecastFramework", framework).forecast_holdouts(trained.judged, window.dataset)
            yield _rows(held_out_rows(window.dataset, spec, predictions), window)


def each_window(dataset: Dataset, context: Context) -> Iterator[tuple[Dataset, Context]]:
    """Yield the dataset and the context of each training of a backtest. Yield nothing if the job has no backtest.

    If a shard trains series there, :func:`run_backtest` of the same job finds them.
    """
    spec = context.config.spec
    if spec.backtest is None:
        return
    windows = plan_windows(dataset, spec).windows
    for window in windows if spec.backtest.refit else windows[:1]:
        if window.dataset.series != dataset.series:
            yield window.dataset, _window_context(context, window)


def _window_context(context: Context, window: Window) -> Context:
    """Return the context of a training at a cutoff.

    It has no result of the main training, such as searched parameters.
    """
    spec = context.config.spec
    return replace(
        context,
        parameters=spec.parameters or {},
        tuned=None,
        previous=None,
        checkpoints=_WindowCheckpoints(context.checkpoints, f"{_name(window, spec)}/"),
    )


def _name(window: Window, spec: TrainingJobSpec) -> str:
    return f"{_PREFIX}{step_of(spec)}/{window.age}.parquet"


def _holdout(framework: Framework, window: Window, context: Context, title: str) -> pd.DataFrame:
    """Search if requested, train and evaluate as if the data ended with the window. Return the held-out rows."""
    with tempfile.TemporaryDirectory(prefix="backtest-", dir=context.work_dir) as folder:
        output = Path(folder, "output")
        output.mkdir()
        try:
            own = tune(framework, window.dataset, replace(context, output=output))
            trained = framework.train(window.dataset, own)
            found = framework.evaluate(window.dataset, trained, own).holdout
        except DataError as error:
            raise DataError(f"{title}: {error}; set fewer spec.backtest.windows, or provide longer series") from error
    if found is None:
        raise AssertionError("an evaluation of forecasts has its rows")
    return found


def _rows(holdout: pd.DataFrame, window: Window) -> pd.DataFrame:
    lengths = [one.holdout for one in window.dataset.series]
    cutoffs = pd.Series(window.cutoffs).repeat(lengths).to_numpy("datetime64[ns]")
    return holdout.reset_index(drop=True).assign(cutoff=cutoffs, step=window.steps, **{AGE: window.age})


def _bytes(rows: pd.DataFrame) -> bytes:
    written = io.BytesIO()
    rows.to_parquet(written, index=False)
    return written.getvalue()


@dataclass(frozen=True)
class _WindowCheckpoints:
    """The checkpoints of one window within those of the job. A framework uses the same names as in any training."""

    checkpoints: Checkpoints
    prefix: str

    def get(self, name: str) -> bytes | None:
        return self.checkpoints.get(self.prefix + name)

    def put(self, name: str, body: bytes) -> None:
        self.checkpoints.put(self.prefix + name, body)

    def names(self) -> list[str]:
        every = self.checkpoints.names()
        return [name.removeprefix(self.prefix) for name in every if name.startswith(self.prefix)]


@dataclass(frozen=True)
class _WindowProgress:
    """The progress of one window as a part of the whole progress."""

    progress: Progress
    begin: float
    share: float
    title: str

    def __call__(self, fraction: float, message: str, metrics: Mapping[str, float] | None = None) -> None:
        del metrics  # metrics of one window are not those of the model
        self.progress(self.begin + self.share * min(1.0, fraction), f"{self.title}: {message}")
