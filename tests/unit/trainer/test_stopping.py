"""The first signal requests a stop, the second one ends the process, and forked workers end with the first."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.trainer.job.mean import MeanFramework, config, pod, steps
from trainyard_trainer.frameworks.base import Context
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import JsonLines

STUBBORN = """
import time
from trainyard_trainer.stopping import stop_on_signals
stop = stop_on_signals()
print("ready", flush=True)
while not stop():
    time.sleep(0.01)  # poll, because a signal can arrive before a wait for it starts
print("stop requested", flush=True)
while True:
    time.sleep(0.01)
"""

FORKING = """
import os, signal, time
from trainyard_trainer.stopping import stop_on_signals
stop = stop_on_signals()
ready, tell = os.pipe()
worker = os.fork()
if worker == 0:
    os.write(tell, b"x")
    while True:
        time.sleep(0.01)
os.read(ready, 1)
os.kill(worker, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]), stop())
"""

ABORTING = """
import atexit, os, sys, threading, trainyard_trainer.cli.main

class Library:
    def __del__(self):
        os.abort()  # as threads of Arrow do that still run at the shutdown

sys.kept = Library()
threading.Thread(target=threading.Event().wait).start()
atexit.register(print, "and this at the end", flush=True)
trainyard_trainer.cli.main.main = lambda: print("done") or 65
trainyard_trainer.cli.main.start()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_at_once(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "stop requested\n"
        process.send_signal(number)
        assert process.wait(10) == 75


def test_a_forked_worker_ends_with_the_first_and_does_not_stop_its_parent() -> None:
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.split() == ["143", "False"]


def test_finished_work_keeps_its_exit_code_despite_leftovers_of_a_library() -> None:
    done = subprocess.run([sys.executable, "-c", ABORTING], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (65, "done\nand this at the end\n", "")


PRINTING = "from trainyard_trainer.stopping import end_process; print(1); end_process(65)"


def test_a_broken_pipe_is_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    command = [sys.executable, "-c", PRINTING]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=buffered, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (65, b"")


def test_a_closed_output_is_no_failure() -> None:
    done = subprocess.run(["bash", "-c", f'"{sys.executable}" -c "{PRINTING}" >&-'], timeout=60, check=False)
    assert done.returncode == 65


def test_a_started_register_stage_is_completed(tmp_path: Path) -> None:
    class StoppedWhileSaving(MeanFramework):
        """A framework whose job is stopped while the saved model is checked, the first action of the register stage."""

        stop_requested = False

        def load(self, folder: Path) -> object:
            self.stop_requested = True
            return super().load(folder)

    framework = StoppedWhileSaving()
    code = run_job(config, pod(tmp_path), lambda: framework.stop_requested, display=JsonLines(), steps=steps(framework))
    assert framework.stop_requested
    assert code == 0


def test_a_framework_can_check_for_a_stop(tmp_path: Path) -> None:
    seen: list[bool] = []

    def check(context: Context) -> None:
        seen.append(context.stop())

    run_job(config, pod(tmp_path), lambda: False, display=JsonLines(), steps=steps(MeanFramework(check)))
    assert seen == [False]
