"""The trainer as a process: real frameworks, a real object store, signals, and a progress endpoint that may fail."""

import gc
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.trainer.conftest import Upload
from tests.integration.trainer.object_store import cuts_a_download
from tests.integration.trainer.pod import Pod, PodRun
from tests.integration.trainer.slow_connection import slow_connection
from tests.integration.trainer.tables import forecast, regression, regression_csv, sales_csv
from tests.unit.trainer.progress.endpoint import Endpoint
from trainyard_trainer.artifacts.manifest import fetch_file, parse_manifest, sha256_of
from trainyard_trainer.artifacts.s3 import S3Store

STAGES = ["load", "preprocess", "train", "evaluate", "register"]


def assert_artifact_is_complete(pod: Pod, ended: PodRun, folder: Path) -> None:
    artifact = ended.result.artifact
    assert artifact is not None
    bucket, _, run = artifact.uri.removeprefix("s3://").partition("/")
    store = S3Store(pod.store.client(), f"s3://{bucket}")
    body = store.get(f"{run}/manifest.json")
    assert body is not None
    assert sha256_of(body) == artifact.manifest_sha256
    manifest = parse_manifest(body, artifact.uri)
    assert manifest.size_bytes == artifact.size_bytes
    for entry in manifest.files:
        fetch_file(store, run, entry, folder)


def test_lightgbm_makes_a_version(pod: Pod, upload: Upload, tmp_path: Path) -> None:
    spec = regression(upload("regression.csv", regression_csv()))
    ended = pod.run(spec)
    assert ended.code == 0
    assert ended.result.outcome == "Succeeded"
    assert ended.result.model_version is not None
    assert ended.result.model_version.version == 1
    assert {metric.name for metric in ended.result.metrics or []} >= {"mae", "rmse", "r2"}
    assert_artifact_is_complete(pod, ended, tmp_path / "back")
    assert (tmp_path / "back/report.html").read_text().startswith("<!doctype html>")
    assert [line["seq"] for line in ended.lines] == list(range(1, len(ended.lines) + 1))
    assert list(dict.fromkeys(line["stage"] for line in ended.lines)) == STAGES

    again = pod.run_here(spec, attempt=2)
    assert (again.code, again.result) == (0, ended.result)


def test_prophet_trains_several_series(pod: Pod, upload: Upload, tmp_path: Path) -> None:
    ended = pod.run(forecast(upload("sales.csv", sales_csv(bread=100, rolls=300))))
    assert ended.code == 0
    assert ended.result.series is not None
    assert (ended.result.series.total, ended.result.series.trained) == (2, 2)
    assert {metric.name for metric in ended.result.metrics or []} >= {"mae", "skill"}
    assert_artifact_is_complete(pod, ended, tmp_path / "back")


def test_a_failure_determines_the_exit_code(pod: Pod, upload: Upload) -> None:
    ended = pod.run(regression(upload("bad/empty.csv", b"")))
    assert (ended.code, ended.result.reason) == (65, "BadData")
    assert ended.lines[-1]["message"] == f"failed, exit code 65: {ended.result.message}"


def test_sigterm_during_the_training_interrupts_it_and_registers_nothing(pod: Pod, upload: Upload) -> None:
    slow = {"num_iterations": 1_000_000, "learning_rate": 1e-6, "early_stopping_round": 0}
    ended = pod.run(
        regression(upload("large.csv", regression_csv(20_000)), parameters=slow),
        signal_when=lambda line: line["stage"] == "train",
    )
    assert (ended.code, ended.result.reason) == (75, "Interrupted"), ended.result.message
    assert ended.result.model_version is None


@cuts_a_download
def test_a_stop_interrupts_a_slow_download(pod: Pod, upload: Upload) -> None:
    uri = upload("slow.csv", b"a,y\n" + b"1.0,2.0\n" * 2_000_000)
    with slow_connection(pod.store.endpoint, bytes_per_second=1_000_000) as connection:
        pod.store = replace(pod.store, endpoint=connection.endpoint)
        ended = pod.run_here(regression(uri), stop=lambda: connection.received > 500_000)
    assert (ended.code, ended.result.reason) == (75, "Interrupted"), ended.result.message
    assert f"while reading data.uri {uri}" in (ended.result.message or "")
    assert connection.received < 8_000_000, "the download takes one or two seconds instead of sixteen"
    gc.collect()


def test_sigterm_interrupts_a_pool_of_processes(pod: Pod, upload: Upload) -> None:
    series = {f"product_{number}": 100.0 for number in range(40)}
    ended = pod.run(
        forecast(upload("many.csv", sales_csv(**series)), workers=2),
        signal_when=lambda line: line["stage"] == "train",
    )
    assert (ended.code, ended.result.reason) == (75, "Interrupted"), ended.result.message


def test_progress_is_reported_in_order_and_ends_at_100(pod: Pod, upload: Upload, tmp_path: Path) -> None:
    with Endpoint(tmp_path / "endpoint") as endpoint:
        pod.progress_url, pod.ca = endpoint.url, endpoint.ca_file.read_bytes()
        ended = pod.run(regression(upload("regression.csv", regression_csv())))
    assert ended.code == 0
    statuses = [request.body["trainerStatus"] for request in endpoint.requests]
    percentages = [status["progressPercentage"] for status in statuses]
    assert percentages == sorted(percentages)
    assert percentages[-1] == 100
    assert statuses[-1]["stage"] == "register"
    assert {metric["name"] for metric in statuses[-1]["metrics"]} >= {"mae"}
    assert {request.token for request in endpoint.requests} == {"the-token"}


@pytest.mark.parametrize("status", [403, 429, 500])
def test_an_endpoint_that_refuses_every_report_causes_only_a_warning(
    pod: Pod, upload: Upload, tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with Endpoint(tmp_path / "endpoint", status=status) as endpoint:
        pod.progress_url, pod.ca = endpoint.url, endpoint.ca_file.read_bytes()
        ended = pod.run_here(regression(upload("regression.csv", regression_csv())))
    assert ended.code == 0
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "progress" in warnings[0]
