"""The example of framework Container: its command runs between the two steps."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from demo.data import tables
from tests.unit.trainer.job.container.parts import ContainerPod
from trainyard_api.generate import checkout


def test_the_example_trains(tmp_path: Path) -> None:
    spec = yaml.safe_load((checkout() / "examples/container/ridge-regression.yaml").read_text())["spec"]
    text = next(text for key, text, _ in tables() if key == "diabetes.csv")
    pod = ContainerPod(tmp_path)
    spec["data"].pop("uri")
    config = pod.config(text, **spec)

    def train(_: dict[str, Any]) -> None:
        path = str(pod.env.input_dir / "config.json")
        subprocess.run([path if word == "$(TRAINYARD_CONFIG)" else word for word in spec["command"]], check=True)

    code, result = pod.run(config, train)
    assert code == 0, result.message
    metrics = {metric.name: float(metric.value) for metric in result.metrics or []}
    assert metrics["mae"] < 50
    assert metrics["skill"] > 0.2
