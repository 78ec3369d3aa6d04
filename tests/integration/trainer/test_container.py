"""Framework Container with a real object store: three processes, one after the other, as the kubelet starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.trainer.conftest import Upload
from tests.integration.trainer.pod import RUN_SECONDS, Pod
from tests.integration.trainer.tables import forecast, regression, regression_csv, sales_csv
from tests.unit.trainer.progress.endpoint import Endpoint
from trainyard_api import meta
from trainyard_api.wire import TrainingResult
from trainyard_trainer.artifacts.manifest import fetch_file, parse_manifest, sha256_of
from trainyard_trainer.artifacts.s3 import S3Store

TRAIN = """
import csv, json, pathlib, sys
config = json.load(open(sys.argv[1]))
rows = list(csv.DictReader(open(config["data"]["train"], newline="")))
test = list(csv.DictReader(open(config["data"]["test"], newline="")))
mean = sum(float(row[config["target"]]) for row in rows) / len(rows)
mae = sum(abs(float(row[config["target"]]) - mean) for row in test) / len(test)
output = pathlib.Path(config["output"])
(output / "deep").mkdir()
(output / "deep/mean.txt").write_text(str(mean))
(output / "metrics.json").write_text(json.dumps({"mae": mae, "rows": len(rows), "nothing": float("nan")}))
"""


class ContainerSteps:
    """The three containers of one pod as processes. The middle one gets only its own variables."""

    def __init__(self, pod: Pod, spec: dict[str, Any], attempt: int = 1) -> None:
        root = pod.folder / f"attempt-{attempt}"
        self.input, self.output, self.log = root / "input", root / "output", root / "log"
        for folder in (self.input, self.output):
            folder.mkdir(parents=True)
        self._variables = {
            **os.environ,
            **pod._prepare({**spec, "framework": "Container", "image": "mine:1", "command": ["train"]}, attempt),
            meta.INPUT_DIR_ENV: str(self.input),
            meta.OUTPUT_DIR_ENV: str(self.output),
            meta.TERMINATION_LOG_ENV: str(self.log),
        }

    def step(self, name: str) -> int:
        command = [sys.executable, "-m", "trainyard_trainer", name]
        return subprocess.run(command, env=self._variables, timeout=RUN_SECONDS, check=False).returncode

    def train(self, script: str = TRAIN) -> None:
        subprocess.run([sys.executable, "-c", script, str(self.input / "config.json")], check=True, timeout=RUN_SECONDS)

    def result(self) -> TrainingResult:
        return TrainingResult.model_validate_json(self.log.read_text())


def test_three_processes_make_a_version(pod: Pod, upload: Upload, tmp_path: Path) -> None:
    with Endpoint(tmp_path / "endpoint") as endpoint:
        pod.progress_url, pod.ca = endpoint.url, endpoint.ca_file.read_bytes()
        steps = ContainerSteps(pod, regression(upload("container.csv", regression_csv())))
        assert steps.step("fetch") == 0
        steps.train()
        assert steps.step("register") == 0
    result = steps.result()
    assert result.outcome == "Succeeded"
    assert {metric.name for metric in result.metrics or []} == {"mae", "rows"}
    assert result.artifact is not None

    bucket, _, run = result.artifact.uri.removeprefix("s3://").partition("/")
    store = S3Store(pod.store.client(), f"s3://{bucket}")
    body = store.get(f"{run}/manifest.json")
    assert body is not None
    assert sha256_of(body) == result.artifact.manifest_sha256
    manifest = parse_manifest(body, result.artifact.uri)
    for entry in manifest.files:
        fetch_file(store, run, entry, tmp_path / "back")
    assert float((tmp_path / "back/model/deep/mean.txt").read_text())

    statuses = [request.body["trainerStatus"] for request in endpoint.requests]
    percentages = [status["progressPercentage"] for status in statuses]
    assert percentages == sorted(percentages)
    assert 40 in percentages, "the last report of fetch"
    assert percentages[-1] == 100
    assert not any("estimatedRemainingSeconds" in status for status in statuses)


def test_a_forecast_of_several_series_is_registered(pod: Pod, upload: Upload) -> None:
    steps = ContainerSteps(pod, forecast(upload("container-sales.csv", sales_csv(bread=100, rolls=300))))
    assert steps.step("fetch") == 0
    config = json.loads((steps.input / "config.json").read_text())
    assert set(config["data"]) == {"train", "test"}
    steps.train()
    assert steps.step("register") == 0
    assert steps.result().objective_value is not None


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("pass", "wrote no model"),
        (TRAIN.replace('json.dumps({"mae"', '"{" + json.dumps({"mae"'), "metrics.json, line 1"),
        (TRAIN + "\n(output / 'link').symlink_to('/etc/passwd')", "a symbolic link"),
    ],
)
def test_invalid_output_is_refused_and_nothing_is_stored(pod: Pod, upload: Upload, script: str, message: str) -> None:
    steps = ContainerSteps(pod, regression(upload("container.csv", regression_csv())))
    assert steps.step("fetch") == 0
    steps.train(script)
    assert steps.step("register") == 65
    assert message in (steps.result().message or "")
    listing = pod.store.client().list_objects_v2(Bucket="models", Prefix=f"pods/shop/model-{pod.uid}/")
    keys = [each["Key"] for each in listing.get("Contents", []) if "/logs/" not in each["Key"]]
    assert [key.rpartition("/")[2] for key in keys] == ["started.json"]


def test_missing_data_is_found_before_the_container_starts(pod: Pod) -> None:
    steps = ContainerSteps(pod, regression("s3://data-sets/nowhere.csv"))
    assert steps.step("fetch") == 66
    assert list(steps.input.iterdir()) == []
