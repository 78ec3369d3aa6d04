"""One PredictionJob in one process: load the version, read the data, predict, and write exactly once."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from trainyard_api.predictionjob import PredictionResult
from trainyard_api.training import Storage
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import PredictionConfig, TrainerConfig, TrainingResult
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.logs import keep_log
from trainyard_trainer.artifacts.opening import open_store
from trainyard_trainer.artifacts.store import OUTPUT_STORAGE
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import Interrupted
from trainyard_trainer.job.predict.opened import Opened
from trainyard_trainer.job.predict.predictions import Predictions
from trainyard_trainer.job.predict.predictor import load_predictor
from trainyard_trainer.job.stages import enter
from trainyard_trainer.job.steps import Job
from trainyard_trainer.outputs.base import Output, Run, Written
from trainyard_trainer.progress.log import LOGGER
from trainyard_trainer.progress.redact import redact
from trainyard_trainer.progress.stages import Stage

_WARNINGS: Final = 16
_WARNING_LENGTH: Final = 1024


class PredictionWork:
    """The two parts of a run that ``run_job`` needs: the configuration, and the work with it."""

    def __init__(self, read: Callable[[], PredictionConfig], env: Environment) -> None:
        self._read = read
        self._env = env
        self._config: PredictionConfig | None = None

    def config(self) -> TrainerConfig:
        """Read the configuration. Raises TrainerError."""
        self._config = self._read()
        return _job_config(self._config)

    def run(self, job: Job) -> TrainingResult:
        """Predict and write.

        Raises
        ------
        TrainerError
            With one message for the user and the exit code.
        """
        if self._config is None:
            raise AssertionError("the configuration is read first")
        return predict(job, self._config)


def predict(job: Job, config: PredictionConfig) -> TrainingResult:
    """Predict and write, or report what an earlier attempt of the same job has written.

    Cheap checks come first: the output, then the version, then the data. An earlier attempt may have used another
    version, so this attempt opens its own version only if it has to write.

    Raises
    ------
    TrainerError
        With one message for the user and the exit code.
    """
    job.tracker.begin(Stage.LOAD, f"loading version {config.version} of {config.model_name}")
    log = _keep_log(job, config)
    with tempfile.TemporaryDirectory(prefix="trainyard-", dir=job.env.work_dir) as work:
        output, run = open_output(config, job.env, Path(work)), _run_of(config)
        output.check()
        before = output.finished(run)
        if before is not None:
            return _result(before, log, ())
        opened = Opened.of(config, job.env)
        found = _predictions(replace(job, config=opened.training), opened, Path(work))
        enter(job, Stage.PREDICT, "predicting")
        written = output.write(run, found.schema, found.tables, found.facts, lambda: _go_on(job))
        return _result(written, log, found.warnings())


def _predictions(job: Job, opened: Opened, work: Path) -> Predictions:
    folder = work / "model"
    folder.mkdir()
    predictor = load_predictor(opened, folder)
    if opened.manifest.task == "Forecast":
        from trainyard_trainer.job.predict.series import forecast_series

        return forecast_series(job, opened, predictor)
    from trainyard_trainer.job.predict.tables import predict_rows

    return predict_rows(job, opened, predictor)


def _job_config(config: PredictionConfig) -> TrainerConfig:
    """Return what the log and the progress need, before the version is open.

    The log is kept in the storage of the model. The storage of a version from an earlier release may be unknown. Then
    there is no kept log.
    """
    # Not validated: no training has these fields alone.
    is_known = config.artifact.uri.startswith(f"{config.storage.uri.rstrip('/')}/")
    fields: dict[str, Any] = {"storage": config.storage if is_known else None}
    return TrainerConfig.model_construct(
        namespace=config.namespace,
        name=config.name,
        uid=config.uid,
        attempt=config.attempt,
        model_name=config.model_name,
        spec=TrainingJobSpec.model_construct(**fields),
        progress_url=config.progress_url,
    )


def open_output(config: PredictionConfig, env: Environment, work: Path) -> Output:
    """Return the output of a job: files, or a table of a database."""
    files, sql = config.spec.output.files, config.spec.output.sql
    if sql is not None:
        from trainyard_trainer.outputs.postgres import SqlOutput

        return SqlOutput(env.output_secret_dir, sql.secret_ref.name, sql.table, sql.mode, sql.keys or ())
    if files is None:
        raise AssertionError("the API requires files or sql")
    from trainyard_trainer.outputs.files import FileOutput

    storage = Storage.model_construct(**{name: getattr(files, name) for name in Storage.model_fields})
    return FileOutput(
        open_store(storage, replace(env, storage_secret_dir=env.output_secret_dir), OUTPUT_STORAGE), files.format, work
    )


def _run_of(config: PredictionConfig) -> Run:
    return Run(config.uid, config.name, config.namespace, config.model_name, config.version)


def _go_on(job: Job) -> None:
    if job.stop():
        raise Interrupted("stopped by a signal while predicting; nothing was written, the next attempt starts again")


def _keep_log(job: Job, config: PredictionConfig) -> str | None:
    """Keep the log next to the model, and return the address of its folder."""
    storage = job.config.spec.storage
    if job.log is None or storage is None:
        return None
    store = open_store(storage, job.env)
    keep_log(job.log, store, job.config, job.env)
    return store.address(ModelKeys(config.namespace, config.model_name).logs(config.uid))


def _result(written: Written, log: str | None, warnings: tuple[str, ...]) -> TrainingResult:
    texts = [redact(text) for text in dict.fromkeys(warnings)]
    for text in texts:
        LOGGER.warning("%s", text)  # the result has only some of them
    return TrainingResult(
        outcome="Succeeded",
        made="Predictions",
        message=f"{written.rows} rows in {written.address}",
        predictions=PredictionResult(
            rows=written.rows,
            series=written.series,
            left_out=written.left_out,
            as_of=written.as_of,
            version=written.version,
            output=written.address,
            log=log,
            warnings=[_cut(text) for text in texts[:_WARNINGS]] or None,
        ),
    )


def _cut(text: str) -> str:
    return text if len(text) <= _WARNING_LENGTH else f"{text[: _WARNING_LENGTH - 1]}…"
