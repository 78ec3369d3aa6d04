"""Framework Script, its script really run: what becomes a version, and a corpus of scripts that do not."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from demo.data import tables
from tests.unit.trainer.container.parts import ContainerPod, table
from trainyard_api.generate import checkout
from trainyard_api.wire import ReportedStatus, TrainerConfig, TrainingResult
from trainyard_trainer.artifacts.manifest import parse_manifest
from trainyard_trainer.job import run_job
from trainyard_trainer.local import local_environment, read_job_file
from trainyard_trainer.progress.log import JsonLines
from trainyard_trainer.script import run_script
from trainyard_trainer.script.process import Limits

PRELUDE = """
import json, os, pathlib, sys, time
config = json.load(open(sys.argv[1]))
output = pathlib.Path(config["output"])

def leave(model="w = 2", **metrics):
    (output / "model.txt").write_text(model)
    (output / "metrics.json").write_text(json.dumps(metrics or {"mae": 0.5}))
"""

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


class ScriptPod(ContainerPod):
    """One pod of framework Script: the claim ``models`` is the storage and holds the data."""

    def script(self, text: str, *, prelude: str = PRELUDE, uid: str = "uid-1", **spec: Any) -> TrainerConfig:
        inline = {"inline": prelude + textwrap.dedent(text)}
        base = {"framework": "Script", "command": None, "image": None, "script": inline}
        return self.config(table(), uid=uid, **{**base, **spec})

    def go(
        self, config: TrainerConfig, limits: Limits | None = None, stop: Callable[[], bool] = lambda: False
    ) -> tuple[int, TrainingResult]:
        self.heard: list[ReportedStatus] = []
        code = run_job(
            lambda: config,
            self.env,
            stop,
            display=JsonLines(),
            listeners=(self,),
            work=lambda job: run_script(job, limits),
        )
        assert list(self.env.work_dir.iterdir()) == []
        return code, self.result()

    def submit(self, status: ReportedStatus) -> None:
        self.heard.append(status)

    def close(self) -> None:
        """Nothing is kept back."""


@pytest.fixture
def pod(tmp_path: Path) -> ScriptPod:
    return ScriptPod(tmp_path)


def run_of(pod: ScriptPod, name: str = "1") -> Path:
    return pod.folder / "claims/models/all/shop/demand/runs/uid-1" / name


def test_a_version_is_made(pod: ScriptPod, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "trainyard")
    config = pod.script(HONEST, parameters={"factor": 2})
    code, result = pod.go(config)
    assert (code, result.outcome) == (0, "Succeeded"), result.message
    assert result.formats == ["Script"]
    assert {m.name for m in result.metrics or []} == {"mae", "rmse"}
    assert (result.warnings or [""])[0] == "metric bias is nan and was left out"
    manifest = parse_manifest((run_of(pod) / "manifest.json").read_bytes(), "manifest")
    theirs = {"model/metrics.json", "model/model.txt", "model/deep/mean.txt"}
    ours = {"script.py", "report.html", "validation.json", "metrics.parquet"}
    assert {entry.path for entry in manifest.files} == theirs | ours
    assert (run_of(pod) / "script.py").read_text() == config.spec.script.inline  # type: ignore[union-attr]
    assert list(manifest.libraries) == ["python"]
    assert manifest.data.rows == 99
    assert "script: a model of 59 rows" in caplog.messages
    (told,) = [status for status in pod.heard if status.message == "half of it"]
    assert (told.progress_percentage, told.stage) == (55, "train")
    assert {m.name: m.value for m in told.metrics or []} == {"mae": "3"}


def test_the_words_of_its_config_are_those_of_a_container(pod: ScriptPod) -> None:
    """Only the places differ, so that a script moves into an image as it is."""
    assert pod.go(pod.script("leave(); (output / 'config.json').write_text(json.dumps(config))"))[0] == 0
    found = json.loads((run_of(pod) / "model/config.json").read_text())
    other = ContainerPod(pod.folder, "other")
    assert other.fetch(other.config(table(), uid="uid-2")) == 0
    expected = other.settings()
    places = {"data", "output", "metrics"}
    assert {key: value for key, value in found.items() if key not in places} == {
        key: value for key, value in expected.items() if key not in places
    }
    assert found["data"].keys() == expected["data"].keys() == {"train", "validation", "test"}
    assert found["metrics"] == found["output"] + "/metrics.json"


def test_a_forecast(pod: ScriptPod) -> None:
    data = {"target": "y", "time": "when", "series": "machine", "validation": {"minPoints": 5, "maxFailedRatio": 1}}
    config = pod.script(
        "leave(rows=sum(1 for _ in open(config['data']['test'])) - 1, horizon=config['forecast']['horizon'])",
        task="Forecast",
        forecast={"horizon": 2},
        data=data,
    )
    code, result = pod.go(config)
    assert code == 0, result.message
    metrics = {m.name: float(m.value) for m in result.metrics or []}
    assert metrics["horizon"] == 2
    assert metrics["rows"] > 10


LOOKS_AROUND = """
parent = open(f"/proc/{os.getppid()}/cmdline").read()
leave(json.dumps({"names": sorted(os.environ), "environment": dict(os.environ), "folder": os.getcwd(),
                  "group": os.getpgid(0) == os.getpid(), "arguments": sys.argv}))
"""


def test_it_sees_nothing_of_the_trainers_environment(pod: ScriptPod, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "KUBEFLOW_TRAINER_SERVER_TOKEN", "TRAINYARD_CONFIG_DIR", "FROM_SECRET"):
        monkeypatch.setenv(name, "/var/run/trainyard/hush")
    env = [
        {"name": "MINE", "value": "1"},
        {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    assert pod.go(pod.script(LOOKS_AROUND, env=env, workers=3))[0] == 0
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
def test_where_the_script_may_lie(pod: ScriptPod, way: str, tmp_path: Path) -> None:
    (tmp_path / "pod/config-map").mkdir(parents=True)
    files = {
        "config_map": (tmp_path / "pod/config-map/train.py", {"configMapRef": {"name": "code", "key": "train.py"}}),
        "claim": (tmp_path / "claims/models/code/train.py", {"uri": "pvc://models/code/train.py"}),
        "file": (tmp_path / "train.py", {"uri": f"file://{tmp_path}/train.py"}),
    }
    file, script = files[way]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(PRELUDE + "leave()")
    code, result = pod.go(pod.script("", script=script))
    assert code == 0, result.message
    assert (run_of(pod) / "script.py").read_text() == PRELUDE + "leave()"


# ---- scripts that make no version ------------------------------------------------------------------------------------

WRITES = "(output / 'model.txt').write_text('w')\n(output / 'metrics.json').write_text({})"
MAX = 1 << 20

BAD: dict[str, tuple[str, int, str]] = {
    "syntax error": ("def broken(:", 1, "the script ended with exit code 1: SyntaxError: invalid syntax"),
    "exception": ("raise ValueError('column b has no variety')", 1, "exit code 1: ValueError: column b has no variety"),
    "missing module": ("import no_such_module", 1, "ModuleNotFoundError: No module named 'no_such_module'"),
    "exit 3": ("print('bye'); sys.exit(3)", 1, "the script ended with exit code 3: bye"),
    "exit 3, silent": ("sys.exit(3)", 1, "exit code 3 and printed nothing; let it say why"),
    "exit 65": ("sys.stderr.write('too few rows'); sys.exit(65)", 65, "exit code 65: too few rows"),
    "exit 69": ("sys.exit(69)", 69, "exit code 69"),
    "exit with a sentence": ("sys.exit('the dice fell badly')", 1, "exit code 1: the dice fell badly"),
    "a secret in its last words": ("sys.exit('no https://me:hush@host/x')", 1, "no https://***@host/x"),
    "killed": ("os.kill(os.getpid(), 9)", 137, "killed (SIGKILL), most likely because the memory was used up"),
    "segmentation fault": ("os.kill(os.getpid(), 11)", 1, "the script was ended by SIGSEGV"),
    "its own SIGTERM": ("print('hm'); os.kill(os.getpid(), 15)", 1, "the script was ended by SIGTERM: hm"),
    "nothing": ("pass", 65, "the script ended without an error and left no model in"),
    "metrics and no model": ("(output / 'metrics.json').write_text('{\"mae\": 1}')", 65, "left no model in"),
    "no metrics": ("(output / 'm').touch()", 65, "the script ended without an error and left no metrics.json"),
    "a list": (WRITES.format("'[1, 2]'"), 65, "metrics.json holds a list"),
    "no JSON": (WRITES.format("'mae: 1'"), 65, "metrics.json, line 1, column 1"),
    "half of it": (WRITES.format("'{\"mae\": 1'"), 65, "metrics.json, line 1, column 10"),
    "Python's words": (WRITES.format("str({'mae': 1})"), 65, "metrics.json, line 1, column 2"),
    "empty metrics": (WRITES.format("''"), 65, "metrics.json, line 1, column 1"),
    "only NaN": (WRITES.format("json.dumps({'mae': float('nan')})"), 65, "metrics.json holds no finite number"),
    "text": (WRITES.format("json.dumps({'mae': 'good'})"), 65, 'mae is "good", not a number'),
    "a truth value": (WRITES.format("json.dumps({'mae': True})"), 65, "mae is true, not a number"),
    "a table": (WRITES.format("json.dumps({'mae': [1, 2]})"), 65, "mae is [1, 2], not a number"),
    "a name": (WRITES.format("json.dumps({'mean error': 1})"), 65, "'mean error' is no name of a metric"),
    "metrics in another encoding": (
        "leave(); (output / 'metrics.json').write_bytes('{\"mäe\": 1}'.encode('latin-1'))",
        65,
        "metrics.json cannot be read",
    ),
    "too large metrics": (f"leave(); (output / 'metrics.json').write_text(' ' * {MAX + 1})", 65, "larger than 1048576"),
    "a link": ("leave(); (output / 'l').symlink_to('/etc/passwd')", 65, "the script left 'l', a symbolic link"),
    "a pipe": ("leave(); os.mkfifo(output / 'p')", 65, "the script left 'p', which is no file"),
    "metrics are a link": (
        "leave(); (output / 'metrics.json').unlink(); (output / 'metrics.json').symlink_to('/etc/passwd')",
        65,
        "'metrics.json', a symbolic link",
    ),
}


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_script(pod: ScriptPod, name: str) -> None:
    text, code, sentence = BAD[name]
    found, result = pod.go(pod.script(text))
    assert (found, sentence in (result.message or "")) == (code, True), (found, result.message)
    assert not list((pod.folder / "claims").rglob("manifest.json"))


@pytest.mark.parametrize(
    ("script", "code", "sentence"),
    [
        ({"configMapRef": {"name": "code", "key": "train.py"}}, 66, "key 'train.py' of ConfigMap 'code' is not there"),
        ({"uri": "pvc://models/nowhere.py"}, 66, "script.uri pvc://models/nowhere.py does not exist"),
        ({"uri": "pvc://models/*.py"}, 64, "a script is one file"),
        ({"uri": "pvc://models/large.py"}, 64, "has 1048577 bytes, a script at most 1048576"),
        ({"uri": "pvc://models/latin.py"}, 1, "SyntaxError: Non-UTF-8 code starting with '\\xe9' in file script.py"),
    ],
)
def test_a_script_that_is_not_there_or_none(pod: ScriptPod, script: dict[str, Any], code: int, sentence: str) -> None:
    models = pod.env.claims_dir / "models"
    (models / "large.py").write_bytes(b"#" * (MAX + 1))
    (models / "latin.py").write_bytes("print('é')".encode("latin-1"))
    found, result = pod.go(pod.script("", script=script))
    assert (found, sentence in (result.message or "")) == (code, True), (found, result.message)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"search": {"trials": 3}}, "spec.search is not for framework Script"),
        ({"export": {"onnx": True}}, "spec.export.onnx is not for framework Script"),
    ],
)
def test_what_a_script_does_by_itself(pod: ScriptPod, spec: dict[str, Any], sentence: str) -> None:
    code, result = pod.go(pod.script("leave()", **spec))
    assert code == 78
    assert sentence in (result.message or "")


# ---- scripts that misbehave ------------------------------------------------------------------------------------------


def test_output_without_end_is_stopped_in_time_and_fills_no_log(
    pod: ScriptPod, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "trainyard")
    text = "while True: print('x' * 100, flush=True); sys.stderr.write('y' * 100)"
    code, result = pod.go(pod.script(text), Limits(seconds=2, grace_seconds=5))
    assert code == 75
    assert "still running after 2 s (spec.activeDeadlineSeconds)" in (result.message or "")
    told = [message for message in caplog.messages if message.startswith("script: ")]
    assert 900 < len(told) < 2500
    assert 1 <= sum("lines were left out of the log: it prints too much" in message for message in told) <= 3


def test_a_script_that_ignores_sigterm_is_killed(pod: ScriptPod) -> None:
    text = "import signal; signal.signal(15, signal.SIG_IGN)\nprint(json.dumps({'progress': 0.1}))\ntime.sleep(600)"
    started = time.monotonic()
    code, result = pod.go(pod.script(text), Limits(seconds=1, grace_seconds=1))
    assert code == 75, result.message
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(("last", "code"), [("sys.exit(75)", 75), ("leave(); sys.exit(0)", 0), ("sys.exit(1)", 75)])
def test_a_stop_is_passed_on(pod: ScriptPod, last: str, code: int) -> None:
    """What ends in peace after all is registered: it is done."""
    asked = threading.Event()
    begun = pod.folder / "begun"
    text = f"""
    import signal
    def end(*_):
        {last}
    signal.signal(signal.SIGTERM, end)
    pathlib.Path("{begun}").touch()
    time.sleep(600)
    """

    def stop() -> bool:
        if begun.exists():
            asked.set()
        return asked.is_set()

    found, result = pod.go(pod.script(text), stop=stop)
    assert found == code, result.message
    if code:
        assert "stopped by a signal" in (result.message or "")


def test_a_child_that_survives_is_killed(pod: ScriptPod) -> None:
    text = """
    child = os.fork()
    if child == 0:
        time.sleep(600)
    leave(str(child))
    """
    started = time.monotonic()
    code, result = pod.go(pod.script(text))
    assert code == 0, result.message
    assert time.monotonic() - started < 30, "nobody waits for the child, which holds the pipes open"
    child = int((run_of(pod) / "model/model.txt").read_text())
    assert is_over(child)


def test_a_child_in_a_session_of_its_own_holds_nothing_up(pod: ScriptPod) -> None:
    text = """
    child = os.fork()
    if child == 0:
        os.setsid()
        time.sleep(30)
        os._exit(0)
    leave(str(child))
    """
    started = time.monotonic()
    code, result = pod.go(pod.script(text))
    assert code == 0, result.message
    assert time.monotonic() - started < 15
    os.kill(int((run_of(pod) / "model/model.txt").read_text()), signal.SIGKILL)


def is_over(pid: int) -> bool:
    """Tell whether a process has ended: it may still wait for somebody to ask how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def test_output_that_is_no_text(pod: ScriptPod, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "trainyard")
    text = "os.write(1, b'caf\\xe9 \\x00\\x1b[31m https://me:hush@host/\\n'); os.write(1, b'z' * 20000); leave()"
    code, result = pod.go(pod.script(text))
    assert code == 0, result.message
    found = [record.getMessage() for record in caplog.records if record.getMessage().startswith("script: ")]
    assert found[0] == "script: caf\\xe9   [31m https://me:hush@host/"
    assert len(found[1]) < 2100
    assert "hush" not in JsonLines().format(caplog.records[-1])


def test_a_file_that_grows_without_end(pod: ScriptPod) -> None:
    text = "f = open(output / 'model.txt', 'wb')\nwhile True: f.write(bytes(1 << 16))"
    code, result = pod.go(pod.script(text), Limits(file_bytes=1 << 20))
    assert code == 1
    assert "OSError: [Errno 27] File too large" in (result.message or "")


def test_a_script_that_changes_its_own_file_and_locks_its_folder(pod: ScriptPod) -> None:
    text = "leave(); pathlib.Path(__file__).write_text('other'); os.mkdir('locked'); os.chmod('locked', 0)"
    config = pod.script(text)
    assert pod.go(config)[0] == 0
    assert (run_of(pod) / "script.py").read_text() == config.spec.script.inline  # type: ignore[union-attr]


# ---- attempts and other ways to start it -----------------------------------------------------------------------------


def test_a_later_attempt_runs_nothing_again(pod: ScriptPod) -> None:
    marks = pod.folder / "marks"
    text = f"leave(); open('{marks}', 'a').write('x')"
    _, first = pod.go(pod.script(text))
    code, second = pod.go(pod.script(text).model_copy(update={"attempt": 2}))
    assert (code, second) == (0, first)
    assert marks.read_text() == "x"


def test_a_local_run(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(table())
    (tmp_path / "train.py").write_text(PRELUDE + "leave(mae=1.5)")
    job = tmp_path / "job.yaml"
    job.write_text(local_job(tmp_path))
    env = local_environment({}, tmp_path / "out")
    assert run_job(lambda: read_job_file(job, tmp_path / "out"), env, lambda: False, display=JsonLines()) == 0
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert result["objectiveValue"] == "1.5"


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 75), (signal.SIGKILL, -signal.SIGKILL)])
def test_the_script_does_not_outlive_a_trainer_that_is_ended(tmp_path: Path, sent: signal.Signals, code: int) -> None:
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


def wait_for(what: str, look: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}, in vain"
        time.sleep(0.05)  # between two looks at the condition


def local_job(folder: Path) -> str:
    return (
        "{apiVersion: trainyard.dev/v1alpha1, kind: TrainingJob, metadata: {name: mine}, spec: {framework: Script, "
        f"task: Regression, script: {{uri: 'file://{folder}/train.py'}}, "
        f"data: {{uri: 'file://{folder}/table.csv', target: y}}}}}}"
    )


def test_its_metrics_lie_in_the_run(pod: ScriptPod) -> None:
    assert pod.go(pod.script("leave(mae=1, baseline_mae=2)"))[0] == 0
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
    code, result = pod.go(pod.config(text, **{"command": None, "image": None, **job["spec"]}))
    assert code == 0, result.message
    metrics = {metric.name: float(metric.value) for metric in result.metrics or []}
    assert metrics["mae"] < 50
    assert metrics["skill"] > 0.2
    assert "penalty" in json.loads((run_of(pod) / "model/weights.json").read_text())
    assert any((status.message or "").startswith("penalty ") for status in pod.heard)
