"""Prophet models from shards: the same bytes as from one process, also after a kill."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.trainer.tables import forecast, sales_csv
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import TrainerConfig, TrainingResult
from trainyard_trainer.environment import Environment
from trainyard_trainer.job.run import read_config, run_job
from trainyard_trainer.progress.log import JsonLines

SHARDS = 2
RUN_SECONDS = 180


class Pods:
    """The pods of two jobs on one claim, each in this process or in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("claims/m", "claims/data", "work"):
            (folder / name).mkdir(parents=True)
        sales = sales_csv(**{f"product_{number}": 20.0 * (number + 1) for number in range(6)})
        (folder / "claims/data/sales.csv").write_bytes(sales)

    def variables(self, uid: str, index: int | None, attempt: int) -> dict[str, str]:
        shards = 1 if index is None else SHARDS
        storage = {"uri": "pvc://m/models"}
        requested = forecast("pvc://data/sales.csv", workers=1, shards=shards, storage=storage)
        config = TrainerConfig(
            namespace="shop",
            name="demand",
            uid=uid,
            attempt=attempt,
            model_name="demand",
            spec=TrainingJobSpec.model_validate(requested),
        )
        config_dir = self.folder / f"config-{uid}-{attempt}-{index}"
        config_dir.mkdir()
        (config_dir / "config.json").write_text(config.to_json())
        found = {
            "TRAINYARD_CONFIG_DIR": str(config_dir),
            "TRAINYARD_CLAIMS_DIR": str(self.folder / "claims"),
            "TRAINYARD_WORK_DIR": str(self.folder / "work"),
            "TRAINYARD_TERMINATION_LOG": str(config_dir / "result.json"),
        }
        return found if index is None else {**found, "JOB_COMPLETION_INDEX": str(index)}

    def run(self, uid: str, index: int | None, attempt: int = 1) -> TrainingResult:
        env = Environment.from_environ(self.variables(uid, index, attempt))
        assert run_job(lambda: read_config(env), env, lambda: False, display=JsonLines()) == 0
        return TrainingResult.model_validate_json(env.termination_log.read_bytes())

    def kill_in_training(self, uid: str, index: int) -> None:
        """Start a process and kill it in the middle of its training."""
        environ = {**os.environ, **self.variables(uid, index, 1)}
        command = [sys.executable, "-m", "trainyard_trainer"]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if json.loads(line)["stage"] == "train":
                    process.send_signal(signal.SIGKILL)
                    break
            process.wait(RUN_SECONDS)
        assert process.returncode == -signal.SIGKILL
        for left in (self.folder / "work").iterdir():  # the kubelet removes a pod's scratch space with the pod
            subprocess.run(["rm", "-r", left], check=True)

    def manifest(self, uid: str) -> dict[str, Any]:
        (file,) = (self.folder / f"claims/m/models/shop/demand/runs/{uid}").glob("*/manifest.json")
        found: dict[str, Any] = json.loads(file.read_text())
        return found


def test_the_models_of_shards_equal_those_of_one_process_even_after_a_kill(tmp_path: Path) -> None:
    pods = Pods(tmp_path)
    alone = pods.run("alone", None)
    assert alone.made == "Version"
    pods.kill_in_training("shared", 0)
    results = [pods.run("shared", index, attempt=2) for index in (1, 0)]
    assert [result.made for result in results] == ["Shard", "Version"]
    assert results[0].message is not None
    assert results[0].message.startswith("shard 2 of 2: ")
    assert results[-1].series == alone.series
    assert results[-1].metrics == alone.metrics
    one, other = pods.manifest("alone"), pods.manifest("shared")
    assert other["contentSha256"] == one["contentSha256"]
    assert other["golden"] == one["golden"]
    digests = [{file["path"]: file["sha256"] for file in each["files"]} for each in (one, other)]
    same = {path for path in digests[0] if digests[0][path] == digests[1].get(path)}
    assert same >= {"models.jsonl.zst", "models.index.json", "metrics.parquet", "validation.json"}
