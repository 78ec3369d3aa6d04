"""From the data to a version with a container of the user, and each way to fail."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.trainer.job.container.parts import ContainerPod, table, write_model
from trainyard_api.wire import ChampionRef
from trainyard_trainer.artifacts.manifest import parse_manifest, sha256_of
from trainyard_trainer.cli.local import local_environment, read_job_file
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import JsonLines


@pytest.fixture
def pod(tmp_path: Path) -> ContainerPod:
    return ContainerPod(tmp_path)


def container_writing(**files: str) -> Callable[[dict[str, Any]], None]:
    """Return a container that writes files. ``_`` in an argument stands for ``.`` in the name of the file."""

    def train(config: dict[str, Any]) -> None:
        for name, text in files.items():
            (Path(config["output"]) / name.replace("_", ".")).write_text(text)

    return train


def test_a_version_is_registered(pod: ContainerPod) -> None:
    code, result = pod.run(
        pod.config(table()), lambda config: write_model(config, rmse=2, mae="0.5", baseline_mae=1, bias=float("nan"))
    )
    assert (code, result.outcome) == (0, "Succeeded"), result.message
    assert result.message == "version 1 of demand: mae 0.5"
    assert result.formats == ["Container"]
    assert result.signature is None
    assert {m.name: m.value for m in result.metrics or []} == {"mae": "0.5", "rmse": "2", "baseline_mae": "1"}
    assert (result.warnings or [""])[0] == "metric bias is nan and was left out"
    assert result.holdout_digest is not None


def test_the_files_of_the_run(pod: ContainerPod) -> None:
    def train(config: dict[str, Any]) -> None:
        write_model(config)
        (Path(config["output"]) / "report.html").write_text("the user's own")

    _, result = pod.run(pod.config(table(), parameters={"depth": 3}), train)
    assert result.artifact is not None
    folder = pod.folder / "claims/models/all/shop/demand/runs/uid-1/1"
    body = (folder / "manifest.json").read_bytes()
    assert sha256_of(body) == result.artifact.manifest_sha256
    manifest = parse_manifest(body, "manifest")
    theirs = {"model/metrics.json", "model/model.txt", "model/report.html"}
    ours = {"report.html", "validation.json", "metrics.parquet", "profile.json"}
    assert {entry.path for entry in manifest.files} == theirs | ours
    assert (folder / "model/report.html").read_text() == "the user's own"
    assert (manifest.framework, manifest.image, manifest.libraries) == ("Container", "mine:1", {})
    assert (manifest.parameters, manifest.data.rows) == ({"depth": 3}, 99)
    assert manifest.golden.inputs.rows == []
    assert "<h1>demand</h1>" in (folder / "report.html").read_text()
    assert list(pd.read_parquet(folder / "metrics.parquet")["metric"]) == ["mae"]
    codes = {finding["code"] for finding in json.loads((folder / "validation.json").read_text())["findings"]}
    assert codes >= {"MissingTarget", "Split"}


def test_the_holdout_is_that_of_a_built_in_framework(pod: ContainerPod) -> None:
    """So a gate can compare a champion with a container on the same data."""
    _, result = pod.run(pod.config(table(), data={"exclude": ["when"]}))
    other = ContainerPod(pod.folder, "other")
    config = other.config(table(), uid="uid-2", framework="LightGBM", data={"exclude": ["when"]}, command=None)
    assert run_job(lambda: config, other.env, lambda: False, display=JsonLines()) == 0
    assert other.result().holdout_digest == result.holdout_digest


def test_the_data_is_compared_with_that_of_the_version_that_serves(pod: ContainerPod) -> None:
    _, first = pod.run(pod.config(table(200)))
    assert first.model_version is not None
    assert first.artifact is not None
    champion = ChampionRef(version=first.model_version.version, artifact=first.artifact)
    later = ContainerPod(pod.folder, "later")
    config = later.config(table(60), uid="uid-2", gates=[{"metric": "data_rows_ratio", "op": ">=", "value": 0.7}])
    code, result = later.run(config.model_copy(update={"champion": champion}))
    assert code == 0, result.message
    metrics = {metric.name: float(metric.value) for metric in result.metrics or []}
    assert metrics["data_rows_ratio"] == pytest.approx(60 / 200, rel=0.05)
    assert metrics["mae"] == 0.5
    folder = pod.folder / "claims/models/all/shop/demand/runs/uid-2/1"
    findings = json.loads((folder / "validation.json").read_text())["findings"]
    assert "FewerRows" in {finding["code"] for finding in findings}


def test_the_positive_class_is_reported(pod: ContainerPod) -> None:
    text = "size,y\n" + "".join(f"{row},{'bad' if row % 5 == 0 else 'good'}\n" for row in range(100))
    _, result = pod.run(pod.config(text, task="Classification"), lambda config: write_model(config, recall=0.5))
    assert result.outcome == "Succeeded", result.message
    body = (pod.folder / "claims/models/all/shop/demand/runs/uid-1/1/manifest.json").read_bytes()
    assert parse_manifest(body, "manifest").positive_class == "bad"


def test_a_gate_on_a_comparison_is_a_warning_from_the_first_version_on(pod: ContainerPod) -> None:
    gates = [{"metric": "mae", "compareTo": "Champion"}, {"metric": "mae", "op": "<", "value": 9}]
    _, result = pod.run(pod.config(table(), gates=gates))
    assert "framework Container cannot predict the rows of another training" in " ".join(result.warnings or ())
    _, fixed = ContainerPod(pod.folder, "fixed").run(pod.config(table(), uid="uid-2", gates=gates[1:]))
    assert "another training" not in " ".join(fixed.warnings or ())


def test_the_objective_is_the_requested_one(pod: ContainerPod) -> None:
    _, result = pod.run(
        pod.config(table(), objective={"metric": "cost", "goal": "Minimize"}),
        lambda config: write_model(config, mae=1, cost=7),
    )
    assert result.objective_value == "7"


def test_without_an_objective_the_first_metric_ranks_if_the_default_is_missing(pod: ContainerPod) -> None:
    _, result = pod.run(pod.config(table()), lambda config: write_model(config, cost=7, zeal=1))
    assert result.objective_value == "7"


@pytest.mark.parametrize(
    ("train", "spec", "message"),
    [
        (container_writing(), {}, "wrote no model into"),
        (container_writing(model_txt="w"), {}, "wrote no metrics.json"),
        (container_writing(metrics_json='{"mae": 1}'), {}, "wrote no model into"),
        (container_writing(model_txt="w", metrics_json="mae: 1"), {}, "metrics.json, line 1, column 1"),
        (
            container_writing(model_txt="w", metrics_json='{"mae": 1}'),
            {"objective": {"metric": "cost", "goal": "Minimize"}},
            "metrics.json has no finite cost, which is the spec.objective.metric; it has mae",
        ),
    ],
)
def test_invalid_output_is_bad_data(
    pod: ContainerPod, train: Callable[[dict[str, Any]], None], spec: dict[str, Any], message: str
) -> None:
    code, result = pod.run(pod.config(table(), **spec), train)
    assert (code, result.reason) == (65, "BadData")
    assert message in (result.message or "")
    assert not list((pod.folder / "claims").rglob("manifest.json"))


@pytest.mark.parametrize(
    ("text", "spec", "code", "message"),
    [
        ("a,y\n1,2\n2,3\n", {}, 65, "training needs at least 30"),
        (table(), {"data": {"target": "z"}}, 65, "no column 'z'"),
        (table(), {"data": {"uri": "pvc://models/other.csv"}}, 66, "other.csv does not exist"),
        (table(), {"search": {"trials": 3}}, 78, "spec.search is not supported for framework Container"),
        (table(), {"storage": {"uri": "pvc://nowhere"}}, 66, "pvc://nowhere"),
        (table(), {"gates": [{"metric": "cost", "compareTo": "Champion"}]}, 64, "spec.gates[0]"),
    ],
)
def test_fetch_refuses_invalid_jobs(
    pod: ContainerPod, text: str, spec: dict[str, Any], code: int, message: str
) -> None:
    found, result = pod.run(pod.config(text, **spec))
    assert found == code, result.message
    assert message in (result.message or "")
    assert not (pod.env.input_dir / "config.json").exists()


def test_fetch_writes_the_handover_and_no_result(pod: ContainerPod) -> None:
    assert pod.fetch(pod.config(table())) == 0
    assert not pod.env.termination_log.exists()
    assert [path.name for path in pod.env.work_dir.iterdir()] == ["handover.json"]
    assert list(pod.env.output_dir.iterdir()) == []


def test_a_stop_interrupts_fetch(pod: ContainerPod) -> None:
    assert pod.fetch(pod.config(table()), stop=lambda: True) == 75
    assert pod.result().reason == "Interrupted"


def test_an_attempt_after_the_registration_returns_the_same_version(pod: ContainerPod) -> None:
    _, first = pod.run(pod.config(table()))
    again = ContainerPod(pod.folder, "second")
    code, second = again.run(again.config(table(), attempt=2), lambda config: write_model(config, mae=9))
    assert (code, second) == (0, first)


def test_a_replacement_pod_gets_its_own_run(pod: ContainerPod) -> None:
    assert pod.fetch(pod.config(table())) == 0
    other = ContainerPod(pod.folder, "other")
    _, result = other.run(other.config(table()))
    assert result.artifact is not None
    assert result.artifact.uri.endswith("/uid-1/1-2")


def test_register_without_fetch_is_a_crash_with_a_message(pod: ContainerPod) -> None:
    assert pod.register(pod.config(table())) == 1
    assert "handover.json" in (pod.result().message or "")


def test_the_device_is_recorded(pod: ContainerPod) -> None:
    _, result = pod.run(pod.config(table(), accelerator={"resource": "nvidia.com/gpu"}))
    assert result.device == "nvidia.com/gpu"
    other = ContainerPod(pod.folder, "other")
    _, result = other.run(other.config(table(), uid="uid-2", accelerator={"resource": "example.com/" + "x" * 90}))
    assert result.outcome == "Succeeded", result.message


def test_a_local_run_is_refused(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(
        "{apiVersion: trainyard.dev/v1alpha1, kind: TrainingJob, metadata: {name: mine}, spec: {framework: Container, "
        "task: Regression, image: 'mine:1', command: [train], data: {uri: 'file:///x.csv', target: y}}}"
    )
    env = local_environment({}, tmp_path)
    assert run_job(lambda: read_job_file(job, tmp_path), env, lambda: False, display=JsonLines()) == 78
    assert "apply the TrainingJob to a cluster" in env.termination_log.read_text()


def test_fetch_gives_no_estimate(tmp_path: Path) -> None:
    """The minutes of ``fetch`` say nothing about the hours of the user's container."""
    from trainyard_trainer.progress.stages import Stage
    from trainyard_trainer.progress.tracker import Tracker

    class Listener:
        def submit(self, status: Any) -> None:
            remaining.append(status.estimated_remaining_seconds)

        def close(self) -> None:
            pass

    remaining: list[int | None] = []
    tracker = Tracker(JsonLines(), (Listener(),))
    tracker.begin(Stage.TRAIN, "here")
    tracker.without_estimate()
    tracker.begin(Stage.EVALUATE, "there")
    assert remaining == [0, None]
