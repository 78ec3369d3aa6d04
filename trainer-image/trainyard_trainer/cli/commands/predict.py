"""``predict``: a PredictionJob on this machine, with a version from a folder or a bucket."""

import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from trainyard_api.exit_codes import ExitCode
from trainyard_api.predictionjob import FileOutput, Output, PredictionJobSpec
from trainyard_api.training import Storage
from trainyard_api.trainingjob import Artifact
from trainyard_api.wire import PredictionConfig, TrainingResult
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.opening import open_store
from trainyard_trainer.artifacts.versions import newest_record, read_record
from trainyard_trainer.cli.local import local_environment, read_prediction_file
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import ConfigError, InputMissing
from trainyard_trainer.job.predict.work import PredictionWork
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import log_as_json


def predict(file: Path, models: str, output: Path, stop: Callable[[], bool]) -> int:
    """Run the PredictionJob of a file. Return the exit code.

    Parameters
    ----------
    models
        The storage of the models: the ``--output`` of local runs, or an address such as ``s3://bucket/prefix``.
    output
        Folder for the predictions and for result.json. It replaces ``spec.output``.
    """
    env = local_environment(os.environ, output)
    work = PredictionWork(lambda: _config(file, models, output, env), env)
    if not sys.stdout.isatty():
        return run_job(work.config, env, stop, display=log_as_json(), work=work.run, part="predict")
    from trainyard_trainer.progress.terminal import TerminalBar

    bar = TerminalBar(file.stem)
    code = run_job(work.config, env, stop, display=bar, listeners=(bar,), work=work.run, part="predict")
    if code == ExitCode.OK:
        result = TrainingResult.model_validate_json(env.termination_log.read_bytes())
        bar.show(f"{result.message}\n")
    return code


def _config(file: Path, models: str, output: Path, env: Environment) -> PredictionConfig:
    document = read_prediction_file(file)
    address = models if "://" in models else f"file://{Path(models).resolve()}"
    # Not validated: ``file://`` is for local runs only.
    storage = Storage.model_construct(uri=address, checksum_mode="WhenRequired")
    asked = document.spec.model
    if asked.name is None:
        raise ConfigError(
            f"{file}: spec.model.deployment needs a cluster; set spec.model.name to the name of the model"
        )
    keys = ModelKeys(document.metadata.namespace, asked.name)
    store = open_store(storage, env)
    record = newest_record(store, keys) if asked.version is None else read_record(store, keys, asked.version)
    if record is None:
        number = "version" if asked.version is None else f"version {asked.version}"
        raise InputMissing(
            f"{address} has no {number} of model {keys.model} in namespace {keys.namespace}; train one with "
            "trainyard-trainer run, or correct --models, spec.model and metadata.namespace"
        )
    artifact = Artifact(uri=store.address(record.run), manifest_sha256=record.manifest_sha256, size_bytes=0)
    return PredictionConfig.model_construct(
        namespace=keys.namespace,
        name=document.metadata.name,
        uid=str(uuid.uuid4()),
        attempt=1,
        model_name=keys.model,
        version=record.version,
        artifact=artifact,
        storage=storage,
        spec=_into_folder(document.spec, output),
        progress_url=None,
        image="",
    )


def _into_folder(spec: PredictionJobSpec, output: Path) -> PredictionJobSpec:
    """Return the spec with the folder as its output. The format of the files stays."""
    form = spec.output.files.format if spec.output.files is not None else "Parquet"
    files = FileOutput.model_construct(uri=f"file://{output.resolve()}", format=form, checksum_mode="WhenRequired")
    return spec.model_copy(update={"output": Output.model_construct(files=files, sql=None)})
