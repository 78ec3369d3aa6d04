"""Trainings of one model, night by night, in one folder, as the operator would start them, without a cluster."""

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trainyard_api.trainingjob import Artifact, TrainingJobSpec
from trainyard_api.wire import ChampionRef, TrainerConfig, TrainingResult
from trainyard_trainer.artifacts.layout import MANIFEST
from trainyard_trainer.artifacts.manifest import Manifest, sha256_of
from trainyard_trainer.environment import Environment
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import JsonLines

TABLE = {"task": "Classification", "data": {"target": "failed"}}
FORECAST = {"task": "Forecast", "data": {"target": "sold", "time": "day", "series": "item"}, "forecast": {"horizon": 7}}
QUICK = {"num_iterations": 30, "learning_rate": 0.2}


class Nights:
    """A model's store, and the trainings that fill it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage = f"file://{folder}/store"

    def train(
        self, frame: pd.DataFrame, *, champion: ChampionRef | None = None, uid: str = "", attempt: int = 1, **spec: Any
    ) -> TrainingResult:
        """Train on a table, and return the result of any kind. The same ``uid`` is another attempt of the same job."""
        path = self.folder / "table.csv"
        frame.to_csv(path, index=False)
        fields = {
            "framework": "LightGBM",
            "parameters": QUICK if spec.get("framework", "LightGBM") == "LightGBM" else {},
            "storage": {"uri": "s3://models/all"},
            **spec,
        }
        data = {**fields.pop("data"), "uri": f"file://{path}"}
        parsed = TrainingJobSpec.model_validate({**fields, "data": data})
        storage = parsed.storage.model_copy(update={"uri": self.storage})
        config = TrainerConfig(
            namespace="demo",
            name="night",
            uid=uid or str(uuid.uuid4()),
            attempt=attempt,
            model_name="model",
            spec=parsed.model_copy(update={"storage": storage}),
            champion=champion,
        )
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        log = self.folder / "result.json"
        env = Environment.from_environ({"TRAINYARD_WORK_DIR": str(work), "TRAINYARD_TERMINATION_LOG": str(log)})
        run_job(lambda: config, env, lambda: False, display=JsonLines())
        return TrainingResult.model_validate_json(log.read_bytes())

    def folder_of(self, result: TrainingResult) -> Path:
        """Return the folder of a run."""
        return Path(result.artifact.uri.removeprefix("file://"))

    def rewrite_manifest(self, result: TrainingResult, **changes: Any) -> ChampionRef:
        """Change the manifest of a run, as another release or a user would write it."""
        file = self.folder_of(result) / MANIFEST
        fields = {**json.loads(file.read_text()), **changes}
        body = Manifest.model_validate({name: value for name, value in fields.items() if value is not None}).encode()
        file.write_bytes(body)
        artifact = result.artifact.model_copy(update={"manifest_sha256": sha256_of(body)})
        return ChampionRef(version=result.model_version.version, artifact=artifact)


def ref(result: TrainingResult) -> ChampionRef:
    """Return a version as the operator passes it to the next training."""
    return ChampionRef(version=result.model_version.version, artifact=result.artifact)


def at_address(result: TrainingResult, uri: str) -> ChampionRef:
    """Return the version with another address."""
    artifact = Artifact(uri=uri, manifest_sha256=result.artifact.manifest_sha256, size_bytes=1)
    return ChampionRef(version=result.model_version.version, artifact=artifact)


def machines(rows: int, seed: int = 0) -> pd.DataFrame:
    """Sensors, and whether the machine failed; about a fifth do."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 4)).round(4)
    chance = 1 / (1 + np.exp(-(1.5 * x[:, 0] + x[:, 1] - 1.8)))
    frame = pd.DataFrame(x, columns=["heat", "load", "noise", "age"])
    failed = np.where(random.random(rows) < chance, "yes", "no")
    return frame.assign(site=random.choice(["north", "south"], rows), failed=failed)


def sales(days: int, items: int = 4) -> pd.DataFrame:
    """Daily sales with a weekly season. The same days have the same values, whatever the number of later days."""
    parts = []
    for item in range(items):
        random = np.random.default_rng(item)
        steps = np.arange(400)
        values = 50 + 10 * np.sin(steps * 2 * np.pi / 7 + item) + random.normal(0, 3, 400)
        frame = pd.DataFrame({"day": pd.date_range("2025-01-01", periods=400), "item": f"item {item}"})
        parts.append(frame.assign(sold=values.round(2)).head(days))
    return pd.concat(parts, ignore_index=True)
