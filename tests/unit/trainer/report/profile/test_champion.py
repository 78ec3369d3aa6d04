"""A whole training with a champion: its metrics and messages. An error in the comparison never fails the training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import job
from tests.unit.trainer.job.mean import MeanFramework, config, pod, steps
from trainyard_api.trainingjob import Artifact
from trainyard_api.wire import ChampionRef, TrainerConfig, TrainingResult
from trainyard_trainer.artifacts.manifest import Manifest, parse_manifest
from trainyard_trainer.data.dataset import Dataset, Origin, Table
from trainyard_trainer.data.preprocessing import preprocess
from trainyard_trainer.evaluate.data_metrics import DATA_METRICS
from trainyard_trainer.frameworks.base import Framework
from trainyard_trainer.job.run import run_job
from trainyard_trainer.job.steps import Steps
from trainyard_trainer.progress.log import JsonLines
from trainyard_trainer.report.profile import profiling
from trainyard_trainer.report.profile.model import parse_profile

GATES = [{"metric": "data_shift", "op": "<=", "value": 0.25}]


def table(rows: int = 500, unit: float = 1, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    a = random.normal(10, 1, rows)
    return pd.DataFrame({"a": unit * a, "y": 2 * a + random.normal(size=rows)})


def train(
    folder: Path,
    frame: pd.DataFrame | None = None,
    champion: ChampionRef | None = None,
    framework: Framework | None = None,
    **changes: Any,
) -> TrainingResult:
    """Run a training of a mean on a table. ``uid`` distinguishes jobs."""
    env = pod(folder)
    made = config(**changes).model_copy(update={"champion": champion})
    frame = table() if frame is None else frame

    def prepared(_: Table, wanted: TrainerConfig) -> Dataset:
        return preprocess(Table(frame, Origin("s3://data/x.csv", "sha256:" + "a" * 64, 1)), wanted)

    job_steps = Steps(steps(MeanFramework()).load, prepared, lambda _: framework or MeanFramework())
    code = run_job(lambda: made, env, lambda: False, display=JsonLines(), steps=job_steps)
    assert code == 0
    return TrainingResult.model_validate_json(env.termination_log.read_text())


def ref(result: TrainingResult) -> ChampionRef:
    assert result.artifact is not None
    return ChampionRef(version=3, artifact=result.artifact)


def run_folder(folder: Path, result: TrainingResult) -> Path:
    assert result.artifact is not None
    return folder / "claims" / result.artifact.uri.removeprefix("pvc://")


def manifest_of(folder: Path, result: TrainingResult) -> Manifest:
    return parse_manifest((run_folder(folder, result) / "manifest.json").read_bytes(), "manifest")


def metrics(result: TrainingResult) -> dict[str, float]:
    return {one.name: float(one.value) for one in result.metrics or () if one.name.startswith("data_")}


def data_warnings(result: TrainingResult) -> list[str]:
    """Return the warnings except those of the mean, and of a feature that reveals the target."""
    return [text for text in result.warnings or () if "only a mean" not in text]


def test_every_training_writes_its_profile(tmp_path):
    result = train(tmp_path)
    body = (run_folder(tmp_path, result) / "profile.json").read_bytes()
    found = parse_profile(body, "profile.json")
    assert (found.rows, found.target.name, [one.name for one in found.columns]) == (500, "y", ["a"])
    assert "profile.json" in {entry.path for entry in manifest_of(tmp_path, result).files}
    assert metrics(result) == {}, "the first version has no champion"
    assert data_warnings(result) == []


def test_the_same_data_has_no_warnings(tmp_path):
    result = train(tmp_path, champion=ref(train(tmp_path)), uid="uid-2")
    assert set(metrics(result)) == set(DATA_METRICS)
    assert metrics(result)["data_shift"] == 0
    assert data_warnings(result) == []
    assert set(DATA_METRICS) <= set(manifest_of(tmp_path, result).metrics)


def test_corrupted_data_is_reported_in_result_findings_and_report(tmp_path):
    result = train(tmp_path, table(unit=1000), ref(train(tmp_path)), uid="uid-2")
    message = data_warnings(result)[0]
    assert [part in message for part in ("column 'a'", " 1,000 times ", "version 3")] == [True] * 3
    assert metrics(result)["data_scale_ratio"] == pytest.approx(1000)
    folder = run_folder(tmp_path, result)
    findings = json.loads((folder / "validation.json").read_text())["findings"]
    assert [one["code"] for one in findings if one["message"] == message] == ["OtherScale"]
    page = (folder / "report.html").read_text()
    assert "The data compared with that of version 3" in page
    assert "data_scale_ratio" in page
    assert page.count("data_shift") == 1, "in the comparison, and not among the model's metrics"


def test_the_champion_does_not_change_the_content_digest(tmp_path):
    first = train(tmp_path)
    second = train(tmp_path, champion=ref(first), uid="uid-2")
    assert metrics(second)
    assert manifest_of(tmp_path, first).content_sha256 == manifest_of(tmp_path, second).content_sha256


def changed_profile(folder: Path) -> None:
    (folder / "profile.json").write_bytes(b"{}")


def changed_manifest(folder: Path) -> None:
    body = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(body.replace(b'"attempt":1', b'"attempt":2'))


def no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def no_profile(folder: Path) -> None:
    (folder / "profile.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (changed_profile, "profile.json is not the file of the manifest: expected"),
        (changed_manifest, "manifest.json was changed after it was registered"),
        (no_manifest, "manifest.json is missing"),
        (no_profile, "no such file; it may have been deleted"),
    ],
)
def test_an_unreadable_champion_is_a_warning(tmp_path, spoil, words):
    first = train(tmp_path)
    spoil(run_folder(tmp_path, first))
    result = train(tmp_path, champion=ref(first), uid="uid-2", gates=GATES)
    (text,) = data_warnings(result)
    assert text.startswith("the data was not compared with that of version 3, which serves: ")
    assert words in text
    assert "The gate on data_shift fails without the comparison: " in text
    assert metrics(result) == {}


def test_an_unavailable_storage_is_a_warning(tmp_path):
    artifact = Artifact(uri="pvc://elsewhere/all/runs/1", manifest_sha256="0" * 64, size_bytes=1)
    result = train(tmp_path, champion=ChampionRef(version=3, artifact=artifact))
    (text,) = data_warnings(result)
    assert "the claim is not mounted" in text


def older_release(folder: Path, result: TrainingResult) -> ChampionRef:
    """Return a champion whose manifest lists no profile."""
    manifest = manifest_of(folder, result)
    files = [entry for entry in manifest.files if entry.path != "profile.json"]
    body = manifest.model_copy(update={"files": files}).encode()
    (run_folder(folder, result) / "manifest.json").write_bytes(body)
    from trainyard_trainer.artifacts.manifest import sha256_of

    assert result.artifact is not None
    return ChampionRef(version=3, artifact=result.artifact.model_copy(update={"manifest_sha256": sha256_of(body)}))


def test_a_champion_of_an_older_release_is_a_note_without_gates(tmp_path):
    champion = older_release(tmp_path, train(tmp_path))
    quiet = train(tmp_path, champion=champion, uid="uid-2")
    assert (data_warnings(quiet), metrics(quiet)) == ([], {})
    findings = json.loads((run_folder(tmp_path, quiet) / "validation.json").read_text())["findings"]
    (note,) = [one for one in findings if one["code"] == "NotCompared"]
    assert note["message"].startswith("version 3, which serves, has no training profile")
    (text,) = data_warnings(train(tmp_path, champion=champion, uid="uid-3", gates=GATES))
    assert text.endswith("or validate this version by hand")


def test_a_champion_of_another_target_is_not_compared(tmp_path):
    first = train(tmp_path, table().rename(columns={"y": "z", "a": "y"}).rename(columns={"z": "a"})[["a", "y"]])
    other = train(tmp_path, table(), ref(first), uid="uid-2")
    assert set(metrics(other)) == set(DATA_METRICS), "the same name is the same target"
    renamed = train(
        tmp_path, table().rename(columns={"y": "z"}), ref(first), uid="uid-3", data={"uri": "s3://d/x", "target": "z"}
    )
    assert metrics(renamed) == {}


def test_an_internal_error_does_not_fail_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(profiling, "profile_of", lambda _: 1 / 0)
    result = train(tmp_path)
    assert result.outcome == "Succeeded"
    (text,) = data_warnings(result)
    assert text.startswith("the data could not be described")
    assert "(ZeroDivisionError: division by zero)" in text
    assert "profile.json" not in {entry.path for entry in manifest_of(tmp_path, result).files}


def test_data_metrics_of_gates_are_in_the_result(tmp_path):
    result = train(tmp_path, champion=ref(train(tmp_path)), uid="uid-2", gates=GATES)
    assert [one.name for one in result.metrics or ()][:2] == ["mae", "data_shift"]


@pytest.mark.parametrize("task", ["Forecast", "Classification"])
def test_a_real_training_with_a_champion(tmp_path, task):
    from tests.unit.trainer.report.profile.nights import SHAPES
    from trainyard_trainer.frameworks.registry import framework_for

    shape = SHAPES["sales" if task == "Forecast" else "failures"](np.random.default_rng(0))
    more: dict[str, Any] = {"uri": "s3://b/t", "target": "y"}
    spec: dict[str, Any] = {"task": task, "data": more}
    if task == "Forecast":
        spec |= {"data": {**more, "time": "ds", "series": "name"}, "forecast": {"horizon": 7}}
    framework = framework_for(job("s3://b/t", framework="LightGBM", **{**spec, "data": {**spec["data"]}}))
    parameters = {"num_iterations": 10}
    first = train(tmp_path, shape.night(0), framework=framework, parameters=parameters, **spec)
    champion = ref(first)
    second = train(
        tmp_path, shape.night(1), champion, framework, uid="uid-2", parameters=parameters, gates=GATES, **spec
    )
    assert set(metrics(second)) == set(DATA_METRICS)
    assert not [text for text in data_warnings(second) if "version 3" in text]
