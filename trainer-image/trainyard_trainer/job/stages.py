"""Steps that all kinds of jobs share: open the storage, load and preprocess the data, enter a stage."""

from collections.abc import Sequence
from dataclasses import replace

from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.logs import keep_log
from trainyard_trainer.artifacts.opening import open_store
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import ConfigError, Interrupted
from trainyard_trainer.job.steps import Job
from trainyard_trainer.progress.stages import Stage


def open_model(job: Job) -> tuple[ArtifactStore, ModelKeys]:
    """Return the store and the keys of the job's model. From now on, the log is kept there. Raises TrainerError."""
    config = job.config
    if config.spec.storage is None:
        raise ConfigError("spec.storage is not set, and the operator has no default storage: set spec.storage.uri")
    store = open_store(config.spec.storage, job.env)
    if job.log is not None:
        keep_log(job.log, store, config, job.env)
    return store, ModelKeys(config.namespace, config.model_name)


def prepare_data(job: Job, also: Sequence[str] = (), identity: tuple[str, ...] = ()) -> Dataset:
    """Load and preprocess the data.

    The raw table is released when this function returns, so the rows are in memory only once. ``also`` are additional
    columns to read. ``identity`` are the columns whose values identify a row: see ``Table``.
    """
    table = replace(job.steps.load(job.config, job.env, job.tracker, job.stop, also), identity=identity)
    enter(job, Stage.PREPROCESS, "checking the data")
    return job.steps.preprocess(table, job.config)


def enter(job: Job, stage: Stage, message: str) -> None:
    """Enter a stage.

    Raises Interrupted if the pod must stop. There is no later check, because the register stage is short.
    """
    if job.stop():
        raise Interrupted(
            f"stopped by a signal in stage {job.tracker.stage.label}; nothing was registered or written, "
            "the next attempt continues from the finished work"
        )
    job.tracker.begin(stage, message)
