"""Tracking with a real MLflow server: what it has after a job, and that none of its errors fails a training."""

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.trainer.mlflow_server import PASSWORD, USER, MlflowServer, password_proxy
from tests.integration.trainer.tables import regression, regression_csv
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import TrainerConfig, TrainingResult
from trainyard_trainer.environment import Environment
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import JsonLines

QUICK = {"num_iterations": 5, "num_leaves": 4}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    running = MlflowServer(tmp_path_factory.mktemp("mlflow") / "server")
    yield running
    running.stop()


def config_of(folder: Path, uri: str, experiment: str, **spec: Any) -> TrainerConfig:
    (folder / "table.csv").write_bytes(regression_csv())
    tracking = {"mlflow": {"uri": uri, "experiment": experiment}}
    requested = {"parameters": QUICK, "tracking": tracking, "storage": {"uri": "pvc://models/m"}, **spec}
    return TrainerConfig(
        namespace="shop",
        name="line",
        uid=f"uid-{experiment}",
        model_name="demand",
        spec=TrainingJobSpec.model_validate(regression("pvc://data/table.csv", **requested)),
    )


def train(config: TrainerConfig, folder: Path, secret: Path | None = None) -> tuple[int, TrainingResult]:
    (folder / "claims/models").mkdir(parents=True, exist_ok=True)
    (folder / "work").mkdir(exist_ok=True)
    if not (folder / "claims/data").exists():
        (folder / "claims/data").symlink_to(folder)
    log = folder / "termination-log"
    env = Environment.from_environ(
        {
            "TRAINYARD_WORK_DIR": str(folder / "work"),
            "TRAINYARD_CLAIMS_DIR": str(folder / "claims"),
            "TRAINYARD_TERMINATION_LOG": str(log),
            "TRAINYARD_TRACKING_SECRET_DIR": str(secret or folder / "no-secret"),
        }
    )
    before = mlflow_variables()
    code = run_job(lambda: config, env, lambda: False, display=JsonLines())
    assert mlflow_variables() == before, "settings and credentials are removed from the environment"
    assert list((folder / "work").iterdir()) == []
    return code, TrainingResult.model_validate_json(log.read_bytes())


def mlflow_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_TRACKING")}


def runs_in(server: MlflowServer, experiment: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=server.uri)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id]))


def warning_of(result: TrainingResult) -> str:
    """Return the warning about MLflow, or an empty text."""
    return next((text for text in result.warnings or [] if "MLflow" in text), "")


def test_one_run_per_job_with_parameters_metrics_tags_and_the_report(
    server: MlflowServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = config_of(tmp_path, server.uri, "demand")
    code, result = train(config, tmp_path)
    assert (code, warning_of(result)) == (0, "")
    assert capfd.readouterr().out == "", "standard output is for log lines"
    (run,) = runs_in(server, "demand")
    assert (run.info.run_name, run.info.status) == ("line", "FINISHED")
    assert (run.data.params["num_leaves"], run.data.params["num_iterations"]) == ("4", "5")
    expected = {metric.name: float(metric.value) for metric in result.metrics or []}
    assert {name: run.data.metrics[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert result.data_digest is not None
    tags = {name.removeprefix("trainyard."): value for name, value in run.data.tags.items()}
    assert (tags["namespace"], tags["model"], tags["version"]) == ("shop", "demand", "1")
    assert (tags["uid"], tags["data_digest"]) == ("uid-demand", result.data_digest)

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=server.uri)
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["report.html"]
    page = Path(client.download_artifacts(run.info.run_id, "report.html", str(tmp_path)))
    assert page.read_text().startswith("<!doctype html>")

    assert train(replaced(config, attempt=2), tmp_path) == (0, result), "the second attempt writes nothing again"
    assert [one.info.run_id for one in runs_in(server, "demand")] == [run.info.run_id]


def replaced(config: TrainerConfig, **changes: Any) -> TrainerConfig:
    return config.model_copy(update=changes)


SCRIPT = """
import json, pathlib, sys
output = pathlib.Path(json.loads(pathlib.Path(sys.argv[1]).read_text())["output"])
(output / "model.txt").write_text("a model")
(output / "metrics.json").write_text(json.dumps({"mae": 1.5, "recall@0.5": 0.25}))
"""


def test_a_users_script_is_tracked_too(server: MlflowServer, tmp_path: Path) -> None:
    own = {"framework": "Script", "script": {"inline": SCRIPT}, "parameters": {"depth": 3}}
    code, result = train(config_of(tmp_path, server.uri, "own", **own), tmp_path)
    assert (code, warning_of(result)) == (0, ""), result.message
    (run,) = runs_in(server, "own")
    assert (run.data.metrics, run.data.params) == ({"mae": 1.5, "recall_0.5": 0.25}, {"depth": "3"})
    assert run.data.tags["trainyard.framework"] == "Script"


def test_an_incomplete_run_is_completed(server: MlflowServer, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=server.uri)
    experiment = client.create_experiment("half")
    half = client.create_run(experiment, tags={"trainyard.uid": "uid-half"})
    client.log_param(half.info.run_id, "num_leaves", "4")
    assert train(config_of(tmp_path, server.uri, "half"), tmp_path)[0] == 0
    (run,) = runs_in(server, "half")
    assert (run.info.run_id, run.info.status) == (half.info.run_id, "FINISHED")
    assert "mae" in run.data.metrics


def test_credentials_come_from_the_mounted_secret(
    server: MlflowServer, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "MLFLOW_TRACKING_USERNAME").write_text(f"{USER}\n")
    with password_proxy(server.port) as uri:
        (secret / "MLFLOW_TRACKING_PASSWORD").write_text("a wrong one")
        code, result = train(config_of(tmp_path, uri, "secret"), tmp_path, secret)
        assert code == 0
        assert f"not completely logged to MLflow by the server {uri}" in warning_of(result)
        assert "401" in warning_of(result)
        (secret / "MLFLOW_TRACKING_PASSWORD").write_text(f"{PASSWORD}\n")
        code, result = train(config_of(tmp_path, uri, "secret"), tmp_path, secret)
    assert (code, warning_of(result)) == (0, "")
    assert len(runs_in(server, "secret")) == 1
    shown = capfd.readouterr()
    for said in (shown.out, shown.err, caplog.text, result.to_json()):
        assert PASSWORD not in said
        assert "a wrong one" not in said


def test_a_server_that_is_down_gives_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as nobody:  # bound, but nobody listens
        nobody.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        code, result = train(config_of(tmp_path, uri, "down"), tmp_path)
    assert (code, result.outcome) == (0, "Succeeded")
    assert f"not completely logged to MLflow by the server {uri}" in warning_of(result)
    assert warning_of(result) in caplog.text


def test_a_server_that_does_not_respond_delays_the_job_only_briefly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainyard_trainer.tracking.mlflow_run.SECONDS", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        code, result = train(config_of(tmp_path, uri, "silent"), tmp_path)
    assert code == 0
    assert "took longer than 2 s" in warning_of(result)
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("uri", ["sqlite:///runs.db", "ftp://user:pass@host/"])
def test_an_unsupported_address_gives_a_warning(uri: str, tmp_path: Path) -> None:
    code, result = train(config_of(tmp_path, uri, "none"), tmp_path)
    assert code == 0
    assert "is not an http:// or https:// address" in warning_of(result)
    assert "pass@" not in json.dumps(result.to_json())


def test_many_parameters_long_values_and_invalid_names_are_adapted_to_mlflow(
    server: MlflowServer, tmp_path: Path
) -> None:
    """More parameters than one request may have, as a user's script may produce."""
    from trainyard_trainer.artifacts.runs import find_finished
    from trainyard_trainer.job.stages import open_model
    from trainyard_trainer.job.steps import Job
    from trainyard_trainer.progress.tracker import Tracker
    from trainyard_trainer.tracking.mlflow_run import log_run

    config = config_of(tmp_path, server.uri, "many", tracking=None)
    assert train(config, tmp_path)[0] == 0
    env = Environment.from_environ(
        {"TRAINYARD_CLAIMS_DIR": str(tmp_path / "claims"), "TRAINYARD_WORK_DIR": str(tmp_path / "work")}
    )
    job = Job(config, env, Tracker(JsonLines(), ()), lambda: False, steps=None)  # type: ignore[arg-type]
    store, keys = open_model(job)
    run = find_finished(store, keys, config.uid)
    assert run is not None
    manifest = run.manifest.model_copy(
        update={
            "parameters": {f"p{number}": "x" * 600 for number in range(250)} | {"nested": {"a": [1]}, "a@b": 1},
            "metrics": {f"m{number}@5": float(number) for number in range(1_100)},
        }
    )
    from trainyard_api.training import Mlflow
    from trainyard_trainer.artifacts.versions import find_version

    found = find_version(store, keys, config.uid)
    assert found is not None
    requested = Mlflow(uri=server.uri, experiment="many")
    assert log_run(requested, job.env, store, found[0], replace(run, manifest=manifest)) is None
    (reported,) = runs_in(server, "many")
    assert (len(reported.data.params), len(reported.data.metrics)) == (252, 1_100)
    assert (reported.data.params["nested"], reported.data.params["a_b"]) == ('{"a": [1]}', "1")
    assert len(reported.data.params["p0"]) == 500
    assert reported.data.metrics["m7_5"] == 7
