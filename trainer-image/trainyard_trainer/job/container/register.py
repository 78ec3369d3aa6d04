"""The step after the user's own code: read what it left, and make a version of it."""

import tempfile
from pathlib import Path
from typing import Final

import pandas as pd

from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import TrainingResult
from trainyard_trainer.artifacts.manifest import Frame, GoldenRows, ObjectiveValue
from trainyard_trainer.artifacts.runs import FinishedRun
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import DataError
from trainyard_trainer.evaluate.names import BASELINE, ranking_metrics
from trainyard_trainer.frameworks.base import Evaluation, Golden, Trained
from trainyard_trainer.job.container.handover import Handover, take
from trainyard_trainer.job.container.layout import METRICS
from trainyard_trainer.job.container.outputs import model_files, read_metrics
from trainyard_trainer.job.register import TrainedRun, register_once, store_run
from trainyard_trainer.job.stages import open_model
from trainyard_trainer.job.steps import Job
from trainyard_trainer.progress.stages import Stage
from trainyard_trainer.progress.tracker import metric_value

FOLDER: Final = "model"
"""Where the user's files lie in the run, apart from ours: whatever they are called, no name is taken."""

_DEVICE: Final = 64
"""So long may a device's name be in a result; that of a resource may be longer."""


def register(job: Job) -> TrainingResult:
    """Make a version of what the user's container left.

    Raises
    ------
    TrainerError
        With one message for the user and the exit code.
    """
    job.tracker.without_estimate()
    job.tracker.begin(Stage.EVALUATE, f"reading {METRICS} of the container")
    handover = take(job.env.work_dir)
    store, keys = open_model(job)
    return register_once(job, store, keys, lambda: _new_run(job, handover, store))


def _new_run(job: Job, handover: Handover, store: ArtifactStore) -> FinishedRun:
    with tempfile.TemporaryDirectory(prefix="trainyard-", dir=job.env.work_dir) as folder:
        return store_own(job, handover, job.env.output_dir, Path(folder), store)


def store_own(
    job: Job,
    handover: Handover,
    output: Path,
    folder: Path,
    store: ArtifactStore,
    *,
    further: tuple[str, ...] = (),
    libraries: dict[str, str] | None = None,
) -> FinishedRun:
    """Read what the user's own code left in ``output``, and write it with the documents about it.

    Parameters
    ----------
    folder
        An own one, for what is uploaded; ``further`` names files that are in it already and go along.
    libraries
        What the code ran with, where that is known.

    Raises
    ------
    DataError
        If what was left is no model or has no metrics.
    TrainerError
        If the storage refuses.
    """
    run = _read(job, handover, output, folder, further)
    job.tracker(1.0, f"{run.objective.metric} {metric_value(run.objective.value)}", run.evaluation.metrics)
    job.tracker.begin(Stage.REGISTER, f"writing {store.address(handover.run)}")
    nothing = Frame(columns=[], rows=[])
    golden = GoldenRows(inputs=nothing, outputs=nothing, tolerance=0, max_difference=0)
    return store_run(run, golden, libraries or {}, store, handover.run)


def _read(job: Job, handover: Handover, output: Path, folder: Path, further: tuple[str, ...]) -> TrainedRun:
    spec = job.config.spec
    author = f"the {spec.framework.lower()}"
    files = model_files(output, author)
    metrics, warnings = read_metrics(output, author)
    (folder / FOLDER).symlink_to(output.absolute())
    trained = Trained(
        formats=(spec.framework,),  # only the user's own code knows how to read the files
        files=(*further, *(f"{FOLDER}/{name}" for name in files)),
        model=None,
        parameters=spec.parameters or {},
        warnings=(*warnings, *_unfair_gates(spec)),
        device="cpu" if spec.accelerator is None else spec.accelerator.resource[:_DEVICE],
    )
    nothing = Golden(pd.DataFrame(), pd.DataFrame())
    evaluation = Evaluation({**metrics, **handover.profiled.metrics}, _table(metrics), nothing)
    return TrainedRun(
        config=job.config,
        dataset=_dataset(handover, spec),
        trained=trained,
        evaluation=evaluation,
        objective=objective_of(spec, metrics),
        output=folder,
        profiled=handover.profiled,
    )


def _unfair_gates(spec: TrainingJobSpec) -> list[str]:
    """Say what a gate with the champion can do here: nobody but the user's own code can answer a row."""
    names = dict.fromkeys(gate.metric for gate in spec.gates or () if gate.compare_to is not None)
    return [
        f"a gate compares {name} with the champion, and framework {spec.framework} cannot answer the rows of another "
        f"training: it is met only while both are measured on the very same rows, so not on data that grows; compare "
        f"{name} with a fixed value"
        for name in names
    ]


def objective_of(spec: TrainingJobSpec, metrics: dict[str, float]) -> ObjectiveValue:
    """Return the number that ranks the model: the one asked for, else the task's usual one, else the file's first.

    Raises
    ------
    DataError
        If the one asked for is not there.
    """
    if spec.objective is not None and spec.objective.metric not in metrics:
        raise DataError(
            f"{METRICS} has no finite {spec.objective.metric}, which spec.objective.metric asks for; it has "
            f"{', '.join(metrics)}: write it there, or name one of these"
        )
    name = [*(name for name in ranking_metrics(spec) if name in metrics), *metrics][0]
    return ObjectiveValue(metric=name, value=metrics[name])


def _table(metrics: dict[str, float]) -> pd.DataFrame:
    names = [name for name in metrics if not name.startswith(BASELINE)]
    return pd.DataFrame(
        {
            "series": pd.Series([None] * len(names), dtype="string"),
            "metric": names,
            "value": [metrics[name] for name in names],
            "baseline": [metrics.get(BASELINE + name, float("nan")) for name in names],
        }
    )


def _dataset(handover: Handover, spec: TrainingJobSpec) -> Dataset:
    """Return what is known of the data; its rows are gone with ``fetch``."""
    return Dataset(
        task=spec.task,
        frame=pd.DataFrame(),
        target=spec.data.target,
        features=(),
        findings=handover.findings,
        origin=handover.origin,
        holdout_digest=handover.holdout_digest,
        rows=handover.rows,
        classes=handover.classes,
        series_total=handover.series_total,
    )
