"""``trainyard-trainer run``: trains a YAML for kubectl on this machine, into a folder."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.trainer.tables import regression_csv

TRAINER = [sys.executable, "-m", "trainyard_trainer"]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "table.csv").write_bytes(regression_csv())
    file = tmp_path / "job.yaml"
    file.write_text(
        "apiVersion: trainyard.dev/v1alpha1\n"
        "kind: TrainingJob\n"
        "metadata: {name: line}\n"
        f"spec: {{framework: LightGBM, task: Regression, data: {{uri: 'file://{tmp_path}/table.csv', target: y}}}}\n"
    )
    return file


def in_terminal(command: list[str]) -> tuple[int, str]:
    """Run a command in a terminal. Return the exit code and the output."""
    leader, follower = pty.openpty()
    shown = b""
    with subprocess.Popen(command, stdout=follower, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(follower)
        while True:
            try:
                chunk = os.read(leader, 4096)
            except OSError:  # the last writer has closed the terminal
                break
            if not chunk:
                break
            shown += chunk
    os.close(leader)
    return process.returncode, shown.decode()


def test_in_a_terminal_run_shows_a_bar_and_makes_a_model(job: Path, tmp_path: Path) -> None:
    code, shown = in_terminal([*TRAINER, "run", "-f", str(job), "--output", str(tmp_path / "out")])
    assert code == 0, shown
    assert "100% register" in shown
    assert "version 1 of line" in shown
    assert "line, version 1 (v20" in shown, "the metrics and the address of the report follow the bar"
    assert "baseline" in shown
    assert "report.html" in shown
    result = json.loads((tmp_path / "out/result.json").read_text())
    folder = Path(result["artifact"]["uri"].removeprefix("file://"))
    assert (folder / "report.html").exists()
    assert (tmp_path / "out/local/line/versions/00000001/version.json").exists()


def test_an_error_in_the_file_gives_one_message_and_exit_code_64(job: Path, tmp_path: Path) -> None:
    job.write_text(job.read_text().replace("LightGBM", "LightGMB"))
    done = subprocess.run(
        [*TRAINER, "run", "-f", job, "--output", tmp_path / "out"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 64
    assert "spec.framework: Input should be" in json.loads(done.stdout)["message"]
    assert done.stderr == ""
