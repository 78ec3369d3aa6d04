"""One MLflow run per TrainingJob: parameters, metrics, and the report if the server stores artifacts.

The UID of the job is a tag of the run, and is searched first. So an attempt that finds a registered version also finds
its run. Two pods that register one job at the same time can still create two runs.
"""

import importlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from trainyard_api.training import Mlflow
from trainyard_trainer.artifacts.manifest import Manifest, fetch_file
from trainyard_trainer.artifacts.runs import FinishedRun
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.artifacts.versions import VersionRecord
from trainyard_trainer.environment import Environment
from trainyard_trainer.progress.log import LOGGER
from trainyard_trainer.progress.redact import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

T = TypeVar("T")

SECONDS: Final = 45.0
"""Time limit of all requests together. The result of the job is not delayed longer than this."""

UID_TAG: Final = "trainyard.uid"

_SECRET_KEYS: Final = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_CA_FILE: Final = "ca.crt"
_SETTINGS: Final = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
_METRICS: Final = 1000
_PARAMS: Final = 100
_VALUE: Final = 500
"""Limits of MLflow: entries per request, and characters of a parameter."""
_KEPT_BY_SERVER: Final = "mlflow-artifacts:"
"""Prefix of artifact addresses that go through the tracking server. Others need separate credentials."""
_WORDS: Final = 300


def log_run(
    spec: Mlflow, env: Environment, store: ArtifactStore, record: VersionRecord, run: FinishedRun
) -> str | None:
    """Log the version. Return a message if that failed or took too long. Never raise an error."""
    if not spec.uri.startswith(("http://", "https://")):
        return (
            f"the version was not logged to MLflow: spec.tracking.mlflow.uri {redact(spec.uri)} is not an "
            "http:// or https:// address"
        )
    where = f"the server {redact(spec.uri)} (spec.tracking.mlflow)"
    failures: list[str] = []

    def work() -> None:
        try:
            _log(spec, env, store, record, run)
        except Exception as error:  # noqa: BLE001 - whatever the server or its client does becomes a warning
            failures.append(" ".join(redact(f"{type(error).__name__}: {error}").split())[:_WORDS])

    with _environment(env.tracking_secret_dir):
        importlib.import_module("mlflow")  # import outside of the time limit
        thread = threading.Thread(target=work, name="mlflow", daemon=True)
        thread.start()
        thread.join(SECONDS)
    if thread.is_alive():
        return f"the version was not completely logged to MLflow: {where} took longer than {SECONDS:g} s"
    return f"the version was not completely logged to MLflow by {where}: {failures[0]}" if failures else None


def _log(spec: Mlflow, env: Environment, store: ArtifactStore, record: VersionRecord, run: FinishedRun) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(tracking_uri=spec.uri)
    experiment = _experiment(client, spec.experiment)
    known = _known(client, experiment, record.job_uid)
    if known is not None and known.info.status == "FINISHED":
        LOGGER.info("MLflow already has run %s of this job", known.info.run_id)
        return
    manifest = run.manifest
    moment = int(datetime.fromisoformat(manifest.created_at).timestamp() * 1000)
    entry = known or client.create_run(
        experiment, start_time=moment, tags=_tags(record, run), run_name=manifest.job.name
    )
    run_id = entry.info.run_id
    metrics = {_key(name): value for name, value in manifest.metrics.items()}
    for some in _batches([Metric(name, value, moment, 0) for name, value in metrics.items()], _METRICS):
        client.log_batch(run_id, metrics=some)
    for few in _batches([Param(name, value) for name, value in parameters(manifest).items()], _PARAMS):
        client.log_batch(run_id, params=few)
    client.set_terminated(run_id, end_time=moment)
    LOGGER.info("MLflow run %s in experiment %s", run_id, spec.experiment)
    if str(entry.info.artifact_uri).startswith(_KEPT_BY_SERVER):
        _send_report(client, run_id, env, store, run)


def _experiment(client: "MlflowClient", name: str) -> str:
    """Return the ID of an experiment. Create it if it does not exist."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another job may have created it
            if found is None:
                raise
    return str(found.experiment_id)


def _known(client: "MlflowClient", experiment: str, uid: str) -> "Run | None":
    runs = client.search_runs([experiment], filter_string=f"tags.`{UID_TAG}` = '{uid}'", max_results=1)
    return runs[0] if runs else None


def _tags(record: VersionRecord, run: FinishedRun) -> dict[str, str]:
    manifest = run.manifest
    return {
        UID_TAG: record.job_uid,
        "trainyard.namespace": manifest.namespace,
        "trainyard.model": manifest.model,
        "trainyard.version": str(record.version),
        "trainyard.framework": manifest.framework,
        "trainyard.task": manifest.task,
        "trainyard.device": manifest.device,
        "trainyard.data_digest": manifest.data.digest,
        "trainyard.holdout_digest": manifest.data.holdout_digest,
        "trainyard.manifest_sha256": run.manifest_sha256,
    }


def parameters(manifest: Manifest) -> dict[str, str]:
    """Return the parameters in MLflow's form: text of at most 500 characters."""
    return {
        _key(name): (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:_VALUE]
        for name, value in manifest.parameters.items()
    }


def _batches(entries: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (entries[start : start + size] for start in range(0, len(entries), size))


def _key(name: str) -> str:
    """Return a name with only the characters that MLflow allows: ``recall@0.5`` becomes ``recall_0.5``."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


def _send_report(client: "MlflowClient", run_id: str, env: Environment, store: ArtifactStore, run: FinishedRun) -> None:
    entry = next((file for file in run.manifest.files if file.path == run.manifest.report), None)
    if entry is not None:
        with tempfile.TemporaryDirectory(prefix="trainyard-", dir=env.work_dir) as folder:
            client.log_artifact(run_id, str(fetch_file(store, run.folder, entry, Path(folder))))


@contextmanager
def _environment(secret_dir: Path) -> Iterator[None]:
    """Set the environment variables of MLflow, including credentials from the mounted Secret, within the context."""
    wanted = dict(_SETTINGS)
    wanted |= {key: (secret_dir / key).read_text().strip() for key in _SECRET_KEYS if (secret_dir / key).is_file()}
    if (secret_dir / _CA_FILE).is_file():
        wanted["MLFLOW_TRACKING_SERVER_CERT_PATH"] = str(secret_dir / _CA_FILE)
    before = {key: os.environ.get(key) for key in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
