"""Train the share of one pod. If all other pods are done, train the whole model from the shares."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainyard_api.wire import TrainerConfig, TrainingResult
from trainyard_trainer.artifacts.manifest import canonical_json
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import DataError
from trainyard_trainer.frameworks.base import Context, Evaluation, Framework, OnnxModel, Trained
from trainyard_trainer.job.backtest.run import each_window
from trainyard_trainer.job.pipeline import run_pipeline
from trainyard_trainer.job.shards.share import Share
from trainyard_trainer.job.steps import Job
from trainyard_trainer.progress.log import LOGGER
from trainyard_trainer.progress.port import Progress
from trainyard_trainer.search.tunable import Tunable

if TYPE_CHECKING:
    import pandas as pd

_PART: Final = 0.95
"""The pod's own series take this share of the training stage. Merging the finished models takes the rest."""


class PartDoneError(Exception):
    """This pod has finished its share, but other pods have not. One of them will merge. This is not a failure."""


def train_shard(job: Job) -> TrainingResult:
    """Train this pod's share of the series. Register the version if every other share is done.

    Without a pod index, for example on a laptop, one process trains all series. The model is the same.

    Raises
    ------
    TrainerError
        With one message for the user and the exit code.
    """
    share = Share.of_pod(job.env, job.config.spec.shards)
    if share is None:
        return run_pipeline(job)
    framework_for = job.steps.framework_for
    steps = replace(job.steps, framework_for=lambda config: Sharded(framework_for(config), share))
    try:
        return run_pipeline(replace(job, steps=steps))
    except PartDoneError as done:
        return TrainingResult(outcome="Succeeded", made="Shard", message=str(done))


class Sharded:
    """A framework whose training is shared by the pods of a job. Everything else is delegated to it."""

    def __init__(self, whole: Framework, share: Share) -> None:
        self.name, self.format = whole.name, whole.format
        self.whole = whole
        self.share = share

    def check(self, config: TrainerConfig) -> None:
        """Check the specification."""
        self.whole.check(config)

    def tunable(self, dataset: Dataset, context: Context) -> Tunable | None:
        """Return the search of the framework. Each series is searched where it is trained."""
        return self.whole.tunable(dataset, context)

    def train(self, dataset: Dataset, context: Context) -> Trained:
        """Train the share, unless an earlier attempt did.

        If all shares are done, train the whole from their checkpoints.

        Raises
        ------
        PartDoneError
            If other pods have not finished theirs.
        DataError, Interrupted
            As raised by the framework.
        """
        checkpoints, share = context.checkpoints, self.share
        part = dataset.part(share.takes)
        if checkpoints.get(share.mark) is None:
            self._train_part(part, context)
            for window, own in each_window(dataset, context):
                self._train_part(window.part(share.takes), own)
            checkpoints.put(share.mark, canonical_json({"series": [one.name for one in part.series]}))
        unfinished = share.marks.difference(checkpoints.names())
        done = f"{share}: {len(part.series)} of {len(dataset.series)} series are done"
        if unfinished:
            raise PartDoneError(
                f"{done}; {len(unfinished)} other shards are not finished, and the last one registers the version"
            )
        LOGGER.info("%s, and all other shards are finished: merging them", done)
        return self.whole.train(dataset, replace(context, progress=_MergeProgress(context.progress)))

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:
        """Evaluate the whole model."""
        return self.whole.evaluate(dataset, trained, context)

    def load(self, folder: Path) -> Any:
        """Load a saved model."""
        return self.whole.load(folder)

    def predict(self, model: Any, inputs: "pd.DataFrame") -> "pd.DataFrame":
        """Return predictions for raw input rows."""
        return self.whole.predict(model, inputs)

    def to_onnx(self, model: Any) -> OnnxModel | None:
        """Return the model as ONNX."""
        return self.whole.to_onnx(model)

    def _train_part(self, part: Dataset, context: Context) -> None:
        """Train only for the checkpoints. The files of a part are deleted."""
        if not part.series:
            return
        output = context.work_dir / "part"
        output.mkdir()
        try:
            self.whole.train(
                part, replace(context, output=output, progress=_ShareProgress(context.progress, self.share))
            )
        except DataError as error:  # the series that fail may be all of a part, but few of the whole
            LOGGER.warning("%s: %s; the training of all series decides whether this is an error", self.share, error)
        finally:
            shutil.rmtree(output)


@dataclass(frozen=True)
class _ShareProgress:
    """The progress of the pod's share, as a part of the stage."""

    progress: Progress
    share: Share

    def __call__(self, fraction: float, message: str, metrics: Mapping[str, float] | None = None) -> None:
        self.progress(fraction * _PART, f"{self.share}: {message}", metrics)


@dataclass(frozen=True)
class _MergeProgress:
    """The progress of the merge, as the rest of the stage."""

    progress: Progress

    def __call__(self, fraction: float, message: str, metrics: Mapping[str, float] | None = None) -> None:
        self.progress(_PART + fraction * (1 - _PART), message, metrics)
