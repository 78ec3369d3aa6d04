"""The step after the user's container: read its output and register a version."""

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
"""Folder of the user's files in the run. It is separate, so that no name conflicts with a file of the trainer."""

_DEVICE: Final = 64
"""Maximum length of a device name in a result. The name of a resource can be longer."""


def register(job: Job) -> TrainingResult:
    """Register a version from the output of the user's container.

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
    """Read the output of the user's own code, and upload it with the documents about it.

    Parameters
    ----------
    folder
        A separate folder for the files to upload. ``further`` names files in it that are also uploaded.
    libraries
        Versions of the libraries that the code used, if known.

    Raises
    ------
    DataError
        If the output has no model or no metrics.
    TrainerError
        If the storage fails.
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
        formats=(spec.framework,),  # only the user's own code can read the files
        files=(*further, *(f"{FOLDER}/{name}" for name in files)),
        model=None,
        parameters=spec.parameters or {},
        warnings=(*warnings, *_gate_warnings(spec)),
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


def _gate_warnings(spec: TrainingJobSpec) -> list[str]:
    """Return warnings about gates that compare with the champion. Only the user's own code can predict a row."""
    names = dict.fromkeys(gate.metric for gate in spec.gates or () if gate.compare_to is not None)
    return [
        (
            f"a gate compares {name} with the champion, but framework {spec.framework} cannot predict the "
            "rows of another training: the gate passes only while both versions have exactly the same rows, "
            f"so not if the data grows; compare {name} with a fixed value"
        )
        for name in names
    ]


def objective_of(spec: TrainingJobSpec, metrics: dict[str, float]) -> ObjectiveValue:
    """Return the objective value: the requested metric, else the default metric of the task, else the first in the
    file.

    Raises
    ------
    DataError
        If the requested metric is missing.
    """
    if spec.objective is not None and spec.objective.metric not in metrics:
        raise DataError(
            f"{METRICS} has no finite {spec.objective.metric}, which is the spec.objective.metric; it has "
            f"{', '.join(metrics)}: write the metric there, or choose one of these"
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
    """Return the known facts about the data. Its rows were released when ``fetch`` ended."""
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
