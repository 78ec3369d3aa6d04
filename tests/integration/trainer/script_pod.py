"""A pod of framework Script that really runs its script."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.trainer.job.container.parts import ContainerPod, table
from trainyard_api.wire import ReportedStatus, TrainerConfig, TrainingResult
from trainyard_trainer.job.run import run_job
from trainyard_trainer.job.script.process import Limits
from trainyard_trainer.job.script.run_script import run_script
from trainyard_trainer.progress.log import JsonLines

PRELUDE = """
import json, os, pathlib, sys, time
config = json.load(open(sys.argv[1]))
output = pathlib.Path(config["output"])

def leave(model="w = 2", **metrics):
    (output / "model.txt").write_text(model)
    (output / "metrics.json").write_text(json.dumps(metrics or {"mae": 0.5}))
"""


class ScriptPod(ContainerPod):
    """One pod of framework Script. The claim ``models`` is the storage and contains the data."""

    def script(self, text: str, *, prelude: str = PRELUDE, uid: str = "uid-1", **spec: Any) -> TrainerConfig:
        inline = {"inline": prelude + textwrap.dedent(text)}
        base = {"framework": "Script", "command": None, "image": None, "script": inline}
        return self.config(table(), uid=uid, **{**base, **spec})

    def execute(
        self, config: TrainerConfig, limits: Limits | None = None, stop: Callable[[], bool] = lambda: False
    ) -> tuple[int, TrainingResult]:
        self.statuses: list[ReportedStatus] = []
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
        self.statuses.append(status)

    def close(self) -> None:
        """There is nothing to flush."""


def run_of(pod: ScriptPod, name: str = "1") -> Path:
    return pod.folder / "claims/models/all/shop/demand/runs/uid-1" / name


def is_over(pid: int) -> bool:
    """Return whether a process has ended. It may still be a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True
