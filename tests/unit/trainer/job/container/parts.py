"""A pod of framework Container, step by step in this process. The user's container is a function."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import TrainerConfig, TrainingResult
from trainyard_trainer.environment import Environment
from trainyard_trainer.job.container.fetch import fetch
from trainyard_trainer.job.container.register import register
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import JsonLines

Train = Callable[[dict[str, Any]], None]


def never() -> bool:
    return False


def table(rows: int = 100) -> str:
    """Rows with a number, a text, a gap, a group, and a target that follows the number."""
    lines = ["when,machine,size,colour,gap,y"]
    for row in range(rows):
        size = row ^ 1  # the order of the values differs from that of the rows
        colour = "red" if size % 3 else '"blue, dark"'
        gap, target = "" if size % 4 else size, "" if size == 7 else 2 * size
        lines.append(f"2026-01-{1 + row % 28:02d},m{size % 10},{size},{colour},{gap},{target}")
    return "\n".join(lines) + "\n"


def write_model(config: dict[str, Any], **metrics: Any) -> None:
    """Write the minimal output of a user's container."""
    output = Path(config["output"])
    (output / "model.txt").write_text("w = 2")
    (output / "metrics.json").write_text(json.dumps(metrics or {"mae": 0.5}))


@dataclass
class ContainerPod:
    """The folders of one pod. The claim ``models`` is the storage and also contains the data."""

    folder: Path
    name: str = "pod"

    @property
    def env(self) -> Environment:
        root = self.folder / self.name
        for name in ("work", "input", "output"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "claims/models").mkdir(parents=True, exist_ok=True)
        return Environment(
            config_dir=root / "config",
            data_secret_dir=root / "data-secret",
            storage_secret_dir=root / "storage-secret",
            claims_dir=self.folder / "claims",
            work_dir=root / "work",
            termination_log=root / "termination-log",
            input_dir=root / "input",
            output_dir=root / "output",
            script_dir=root / "config-map",
        )

    def config(self, text: str, *, uid: str = "uid-1", attempt: int = 1, **spec: Any) -> TrainerConfig:
        env = self.env
        (env.claims_dir / "models/table.csv").write_text(text)
        data = {"uri": "pvc://models/table.csv", "target": "y", **spec.pop("data", {})}
        base = {"framework": "Container", "task": "Regression", "image": "mine:1", "command": ["train"]}
        whole = {**base, "storage": {"uri": "pvc://models/all"}, **spec, "data": data}
        return TrainerConfig(
            namespace="shop",
            name="demand",
            uid=uid,
            attempt=attempt,
            model_name="demand",
            spec=TrainingJobSpec.model_validate(whole),
            image="mine:1",
        )

    def fetch(self, config: TrainerConfig, stop: Callable[[], bool] = never) -> int:
        return run_job(lambda: config, self.env, stop, display=JsonLines(), work=fetch)

    def register(self, config: TrainerConfig) -> int:
        return run_job(lambda: config, self.env, never, display=JsonLines(), work=register)

    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.env.input_dir / "config.json").read_text())
        return found

    def result(self) -> TrainingResult:
        return TrainingResult.model_validate_json(self.env.termination_log.read_text())

    def run(self, config: TrainerConfig, train: Train = write_model) -> tuple[int, TrainingResult]:
        """Run all three steps, up to the first failure."""
        code = self.fetch(config)
        if code == 0:
            train(self.settings())
            code = self.register(config)
        return code, self.result()
