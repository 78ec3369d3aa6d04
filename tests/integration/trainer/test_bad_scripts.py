"""Scripts that make no version, and scripts that misbehave: the messages, and that no processes or files stay."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.trainer.script_pod import ScriptPod, is_over, run_of
from trainyard_trainer.job.script.process import Limits
from trainyard_trainer.progress.log import JsonLines


@pytest.fixture
def pod(tmp_path: Path) -> ScriptPod:
    return ScriptPod(tmp_path)


WRITES = "(output / 'model.txt').write_text('w')\n(output / 'metrics.json').write_text({})"
MAX = 1 << 20

BAD: dict[str, tuple[str, int, str]] = {
    "syntax error": ("def broken(:", 1, "the script ended with exit code 1: SyntaxError: invalid syntax"),
    "exception": ("raise ValueError('column b has no variety')", 1, "exit code 1: ValueError: column b has no variety"),
    "missing module": ("import no_such_module", 1, "ModuleNotFoundError: No module named 'no_such_module'"),
    "exit 3": ("print('bye'); sys.exit(3)", 1, "the script ended with exit code 3: bye"),
    "exit 3, silent": ("sys.exit(3)", 1, "exit code 3 and printed nothing"),
    "exit 65": ("sys.stderr.write('too few rows'); sys.exit(65)", 65, "exit code 65: too few rows"),
    "exit 69": ("sys.exit(69)", 69, "exit code 69"),
    "exit with a sentence": ("sys.exit('the dice fell badly')", 1, "exit code 1: the dice fell badly"),
    "a secret in its last words": ("sys.exit('no https://me:hush@host/x')", 1, "no https://***@host/x"),
    "killed": ("os.kill(os.getpid(), 9)", 137, "spec.resources.limits.memory"),
    "segmentation fault": ("os.kill(os.getpid(), 11)", 1, "the script was ended by SIGSEGV"),
    "its own SIGTERM": ("print('hm'); os.kill(os.getpid(), 15)", 1, "the script was ended by SIGTERM: hm"),
    "nothing": ("pass", 65, "wrote no model into"),
    "metrics and no model": ("(output / 'metrics.json').write_text('{\"mae\": 1}')", 65, "wrote no model into"),
    "no metrics": ("(output / 'm').touch()", 65, "wrote no metrics.json"),
    "a list": (WRITES.format("'[1, 2]'"), 65, "metrics.json contains a list"),
    "no JSON": (WRITES.format("'mae: 1'"), 65, "metrics.json, line 1, column 1"),
    "half of it": (WRITES.format("'{\"mae\": 1'"), 65, "metrics.json, line 1, column 10"),
    "Python's words": (WRITES.format("str({'mae': 1})"), 65, "metrics.json, line 1, column 2"),
    "empty metrics": (WRITES.format("''"), 65, "metrics.json, line 1, column 1"),
    "only NaN": (WRITES.format("json.dumps({'mae': float('nan')})"), 65, "metrics.json has no finite number"),
    "text": (WRITES.format("json.dumps({'mae': 'good'})"), 65, 'mae is "good", not a number'),
    "a truth value": (WRITES.format("json.dumps({'mae': True})"), 65, "mae is true, not a number"),
    "a table": (WRITES.format("json.dumps({'mae': [1, 2]})"), 65, "mae is [1, 2], not a number"),
    "a name": (WRITES.format("json.dumps({'mean error': 1})"), 65, "'mean error' is not a valid name of a metric"),
    "metrics in another encoding": (
        "leave(); (output / 'metrics.json').write_bytes('{\"mäe\": 1}'.encode('latin-1'))",
        65,
        "metrics.json cannot be read",
    ),
    "too large metrics": (f"leave(); (output / 'metrics.json').write_text(' ' * {MAX + 1})", 65, "larger than 1048576"),
    "a link": ("leave(); (output / 'l').symlink_to('/etc/passwd')", 65, "the script wrote 'l', a symbolic link"),
    "a pipe": ("leave(); os.mkfifo(output / 'p')", 65, "the script wrote 'p', which is not a regular file"),
    "metrics are a link": (
        "leave(); (output / 'metrics.json').unlink(); (output / 'metrics.json').symlink_to('/etc/passwd')",
        65,
        "'metrics.json', a symbolic link",
    ),
}


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_script_fails_with_its_code_and_a_message(pod: ScriptPod, name: str) -> None:
    text, code, message = BAD[name]
    found, result = pod.execute(pod.script(text))
    assert (found, message in (result.message or "")) == (code, True), (found, result.message)
    assert not list((pod.folder / "claims").rglob("manifest.json"))


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        (
            {"configMapRef": {"name": "code", "key": "train.py"}},
            66,
            "key 'train.py' of ConfigMap 'code' does not exist",
        ),
        ({"uri": "pvc://models/nowhere.py"}, 66, "script.uri pvc://models/nowhere.py does not exist"),
        ({"uri": "pvc://models/*.py"}, 64, "a script is one file"),
        ({"uri": "pvc://models/large.py"}, 64, "has 1048577 bytes, but a script can have at most 1048576"),
        ({"uri": "pvc://models/latin.py"}, 1, "SyntaxError: Non-UTF-8 code starting with '\\xe9' in file script.py"),
    ],
)
def test_a_missing_or_unreadable_script_is_reported(
    pod: ScriptPod, script: dict[str, Any], code: int, message: str
) -> None:
    models = pod.env.claims_dir / "models"
    (models / "large.py").write_bytes(b"#" * (MAX + 1))
    (models / "latin.py").write_bytes("print('é')".encode("latin-1"))
    found, result = pod.execute(pod.script("", script=script))
    assert (found, message in (result.message or "")) == (code, True), (found, result.message)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"search": {"trials": 3}}, "spec.search is not supported for framework Script"),
        ({"export": {"onnx": True}}, "spec.export.onnx is not supported for framework Script"),
    ],
)
def test_fields_that_a_script_must_implement_itself_are_refused(
    pod: ScriptPod, spec: dict[str, Any], message: str
) -> None:
    code, result = pod.execute(pod.script("leave()", **spec))
    assert code == 78
    assert message in (result.message or "")


# ---- scripts that misbehave ------------------------------------------------------------------------------------------


def test_endless_output_is_stopped_by_the_deadline_and_limited_in_the_log(
    pod: ScriptPod, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "trainyard")
    text = "while True: print('x' * 100, flush=True); sys.stderr.write('y' * 100)"
    code, result = pod.execute(pod.script(text), Limits(seconds=2, grace_seconds=5))
    assert code == 75
    assert "the script still ran after 2 s (spec.activeDeadlineSeconds)" in (result.message or "")
    reported = [message for message in caplog.messages if message.startswith("script: ")]
    assert 900 < len(reported) < 2500
    assert 1 <= sum("lines were not logged" in message for message in reported) <= 3


def test_a_script_that_ignores_sigterm_is_killed(pod: ScriptPod) -> None:
    text = "import signal; signal.signal(15, signal.SIG_IGN)\nprint(json.dumps({'progress': 0.1}))\ntime.sleep(600)"
    started = time.monotonic()
    code, result = pod.execute(pod.script(text), Limits(seconds=1, grace_seconds=1))
    assert code == 75, result.message
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(("last", "code"), [("sys.exit(75)", 75), ("leave(); sys.exit(0)", 0), ("sys.exit(1)", 75)])
def test_a_stop_is_sent_to_the_script(pod: ScriptPod, last: str, code: int) -> None:
    """If the script then ends with exit code 0, its model is registered."""
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

    found, result = pod.execute(pod.script(text), stop=stop)
    assert found == code, result.message
    if code:
        assert "stopped by a signal" in (result.message or "")


def test_a_child_process_that_survives_the_script_is_killed(pod: ScriptPod) -> None:
    text = """
    child = os.fork()
    if child == 0:
        time.sleep(600)
    leave(str(child))
    """
    started = time.monotonic()
    code, result = pod.execute(pod.script(text))
    assert code == 0, result.message
    assert time.monotonic() - started < 30, "the trainer does not wait for the child, although it holds the pipes open"
    child = int((run_of(pod) / "model/model.txt").read_text())
    assert is_over(child)


def test_a_child_process_in_its_own_session_delays_nothing(pod: ScriptPod) -> None:
    text = """
    child = os.fork()
    if child == 0:
        os.setsid()
        time.sleep(30)
        os._exit(0)
    leave(str(child))
    """
    started = time.monotonic()
    code, result = pod.execute(pod.script(text))
    assert code == 0, result.message
    assert time.monotonic() - started < 15
    os.kill(int((run_of(pod) / "model/model.txt").read_text()), signal.SIGKILL)


def test_output_that_is_not_text_is_escaped(pod: ScriptPod, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "trainyard")
    text = "os.write(1, b'caf\\xe9 \\x00\\x1b[31m https://me:hush@host/\\n'); os.write(1, b'z' * 20000); leave()"
    code, result = pod.execute(pod.script(text))
    assert code == 0, result.message
    found = [record.getMessage() for record in caplog.records if record.getMessage().startswith("script: ")]
    assert found[0] == "script: caf\\xe9   [31m https://me:hush@host/"
    assert len(found[1]) < 2100
    assert "hush" not in JsonLines().format(caplog.records[-1])


def test_a_file_above_the_size_limit_fails_the_script(pod: ScriptPod) -> None:
    text = "f = open(output / 'model.txt', 'wb')\nwhile True: f.write(bytes(1 << 16))"
    code, result = pod.execute(pod.script(text), Limits(file_bytes=1 << 20))
    assert code == 1
    assert "OSError: [Errno 27] File too large" in (result.message or "")


def test_a_script_may_change_its_own_file_and_lock_its_folder(pod: ScriptPod) -> None:
    text = "leave(); pathlib.Path(__file__).write_text('other'); os.mkdir('locked'); os.chmod('locked', 0)"
    config = pod.script(text)
    assert pod.execute(config)[0] == 0
    assert (run_of(pod) / "script.py").read_text() == config.spec.script.inline  # type: ignore[union-attr]
