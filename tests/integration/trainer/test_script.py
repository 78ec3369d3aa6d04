"""Framework Script with a real run of its script: the version, and every way to start the script."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from demo.data import tables
from tests.integration.trainer.script_pod import PRELUDE, ScriptPod, is_over, run_of
from tests.unit.trainer.job.container.parts import ContainerPod, table
from trainyard_api.generate import checkout
from trainyard_trainer.artifacts.manifest import parse_manifest
from trainyard_trainer.cli.local import local_environment, read_job_file
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import JsonLines

HONEST = """
import csv
rows = {part: list(csv.DictReader(open(path, newline=""))) for part, path in config["data"].items()}
mean = sum(float(row["y"]) for row in rows["train"]) / len(rows["train"])
print(json.dumps({"progress": 0.5, "message": "half of it", "metrics": {"mae": "np.float64(3)", "no name!": 1}}))
mae = sum(abs(float(row["y"]) - mean) for row in rows["test"]) / len(rows["test"])
(output / "deep").mkdir()
(output / "deep/mean.txt").write_text(str(mean * config["parameters"]["factor"]))
leave(mae=mae, bias=float("nan"), rmse="np.float64(4.5)")
print("a model of", len(rows["train"]), "rows")
"""


@pytest.fixture
def pod(tmp_path: Path) -> ScriptPod:
    return ScriptPod(tmp_path)


def test_a_script_makes_a_version(pod: ScriptPod, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "trainyard")
    config = pod.script(HONEST, parameters={"factor": 2})
    code, result = pod.execute(config)
    assert (code, result.outcome) == (0, "Succeeded"), result.message
    assert result.formats == ["Script"]
    assert {m.name for m in result.metrics or []} == {"mae", "rmse"}
    assert (result.warnings or [""])[0] == "metric bias is nan and was left out"
    manifest = parse_manifest((run_of(pod) / "manifest.json").read_bytes(), "manifest")
    theirs = {"model/metrics.json", "model/model.txt", "model/deep/mean.txt"}
    ours = {"script.py", "report.html", "validation.json", "metrics.parquet", "profile.json"}
    assert {entry.path for entry in manifest.files} == theirs | ours
    assert (run_of(pod) / "script.py").read_text() == config.spec.script.inline  # type: ignore[union-attr]
    assert list(manifest.libraries) == ["python"]
    assert manifest.data.rows == 99
    assert "script: a model of 64 rows" in caplog.messages
    (reported,) = [status for status in pod.statuses if status.message == "half of it"]
    assert (reported.progress_percentage, reported.stage) == (55, "train")
    assert {m.name: m.value for m in reported.metrics or []} == {"mae": "3"}


def test_a_script_gets_the_same_config_as_a_container(pod: ScriptPod) -> None:
    """Only the paths differ, so that a script can move into an image without a change."""
    assert pod.execute(pod.script("leave(); (output / 'config.json').write_text(json.dumps(config))"))[0] == 0
    found = json.loads((run_of(pod) / "model/config.json").read_text())
    other = ContainerPod(pod.folder, "other")
    assert other.fetch(other.config(table(), uid="uid-2")) == 0
    expected = other.settings()
    locations = {"data", "output", "metrics"}
    assert {key: value for key, value in found.items() if key not in locations} == {
        key: value for key, value in expected.items() if key not in locations
    }
    assert found["data"].keys() == expected["data"].keys() == {"train", "validation", "test"}
    assert found["metrics"] == found["output"] + "/metrics.json"


def test_a_script_makes_a_forecast(pod: ScriptPod) -> None:
    data = {"target": "y", "time": "when", "series": "machine", "validation": {"minPoints": 5, "maxFailedRatio": 1}}
    config = pod.script(
        "leave(rows=sum(1 for _ in open(config['data']['test'])) - 1, horizon=config['forecast']['horizon'])",
        task="Forecast",
        forecast={"horizon": 2},
        data=data,
    )
    code, result = pod.execute(config)
    assert code == 0, result.message
    metrics = {m.name: float(m.value) for m in result.metrics or []}
    assert metrics["horizon"] == 2
    assert metrics["rows"] > 10


INSPECTS_ENVIRONMENT = """
parent = open(f"/proc/{os.getppid()}/cmdline").read()
leave(json.dumps({"names": sorted(os.environ), "environment": dict(os.environ), "folder": os.getcwd(),
                  "group": os.getpgid(0) == os.getpid(), "arguments": sys.argv}))
"""


def test_a_script_does_not_see_the_trainers_environment(pod: ScriptPod, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "KUBEFLOW_TRAINER_SERVER_TOKEN", "TRAINYARD_CONFIG_DIR", "FROM_SECRET"):
        monkeypatch.setenv(name, "/var/run/trainyard/hush")
    env = [
        {"name": "MINE", "value": "1"},
        {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    assert pod.execute(pod.script(INSPECTS_ENVIRONMENT, env=env, workers=3))[0] == 0
    found = json.loads((run_of(pod) / "model/model.txt").read_text())
    asked_for = found["environment"].pop("FROM_SECRET")
    assert (asked_for, found["environment"]["MINE"]) == ("/var/run/trainyard/hush", "1")
    assert "hush" not in json.dumps(found["environment"])
    assert not any(name.startswith(("AWS_", "KUBEFLOW_")) for name in found["names"])
    assert [name for name in found["names"] if name.startswith("TRAINYARD_")] == ["TRAINYARD_CONFIG"]
    assert found["environment"]["OMP_NUM_THREADS"] == "3"
    assert found["group"], "a process group of its own"
    assert found["folder"] == found["environment"]["HOME"]
    assert found["arguments"] == [f"{found['folder']}/script.py", found["environment"]["TRAINYARD_CONFIG"]]


@pytest.mark.parametrize("way", ["config_map", "claim", "file"])
def test_the_script_may_come_from_a_config_map_a_claim_or_a_file(pod: ScriptPod, way: str, tmp_path: Path) -> None:
    (tmp_path / "pod/config-map").mkdir(parents=True)
    files = {
        "config_map": (tmp_path / "pod/config-map/train.py", {"configMapRef": {"name": "code", "key": "train.py"}}),
        "claim": (tmp_path / "claims/models/code/train.py", {"uri": "pvc://models/code/train.py"}),
        "file": (tmp_path / "train.py", {"uri": f"file://{tmp_path}/train.py"}),
    }
    file, script = files[way]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(PRELUDE + "leave()")
    code, result = pod.execute(pod.script("", script=script))
    assert code == 0, result.message
    assert (run_of(pod) / "script.py").read_text() == PRELUDE + "leave()"


def test_a_later_attempt_does_not_run_the_script_again(pod: ScriptPod) -> None:
    marks = pod.folder / "marks"
    text = f"leave(); open('{marks}', 'a').write('x')"
    _, first = pod.execute(pod.script(text))
    code, second = pod.execute(pod.script(text).model_copy(update={"attempt": 2}))
    assert (code, second) == (0, first)
    assert marks.read_text() == "x"


def test_a_local_run_trains_with_a_script(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(table())
    (tmp_path / "train.py").write_text(PRELUDE + "leave(mae=1.5)")
    job = tmp_path / "job.yaml"
    job.write_text(local_job(tmp_path))
    env = local_environment({}, tmp_path / "out")
    assert run_job(lambda: read_job_file(job, tmp_path / "out"), env, lambda: False, display=JsonLines()) == 0
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert result["objectiveValue"] == "1.5"


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 75), (signal.SIGKILL, -signal.SIGKILL)])
def test_the_script_does_not_outlive_a_stopped_trainer(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    (tmp_path / "table.csv").write_text(table())
    begun, pid = tmp_path / "begun", tmp_path / "pid"
    text = f"open('{begun}', 'w').write(str(os.getpid())); os.rename('{begun}', '{pid}'); time.sleep(600)"
    (tmp_path / "train.py").write_text(PRELUDE + text)
    (tmp_path / "job.yaml").write_text(local_job(tmp_path))
    arguments = ["-f", tmp_path / "job.yaml", "--output", tmp_path / "out"]
    command = [sys.executable, "-m", "trainyard_trainer", "run", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_for("the script to begin", pid.exists)
        process.send_signal(sent)
        assert process.wait(60) == code
    script = int(pid.read_text())
    wait_for("the script to end", lambda: is_over(script))


def wait_for(what: str, check: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)  # between two checks


def local_job(folder: Path) -> str:
    return (
        "{apiVersion: trainyard.dev/v1alpha1, kind: TrainingJob, metadata: {name: mine}, spec: {framework: Script, "
        f"task: Regression, script: {{uri: 'file://{folder}/train.py'}}, "
        f"data: {{uri: 'file://{folder}/table.csv', target: y}}}}}}"
    )


def test_the_metrics_of_a_script_are_stored_with_the_run(pod: ScriptPod) -> None:
    assert pod.execute(pod.script("leave(mae=1, baseline_mae=2)"))[0] == 0
    metrics = pd.read_parquet(run_of(pod) / "metrics.parquet")
    assert metrics[["metric", "value", "baseline"]].to_numpy().tolist() == [["mae", 1.0, 2.0]]


def test_the_example_trains(pod: ScriptPod) -> None:
    file = checkout() / "examples/script/ridge-search.yaml"
    config_map, job = yaml.safe_load_all(file.read_text())
    folder = pod.env.script_dir
    folder.mkdir()
    for name, text in config_map["data"].items():
        (folder / name).write_text(text)
    job["spec"]["data"].pop("uri")
    text = next(text for key, text, _ in tables() if key == "diabetes.csv")
    code, result = pod.execute(pod.config(text, **{"command": None, "image": None, **job["spec"]}))
    assert code == 0, result.message
    metrics = {metric.name: float(metric.value) for metric in result.metrics or []}
    assert metrics["mae"] < 50
    assert metrics["skill"] > 0.2
    assert "penalty" in json.loads((run_of(pod) / "model/weights.json").read_text())
    assert any((status.message or "").startswith("penalty ") for status in pod.statuses)
