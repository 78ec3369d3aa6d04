"""A small real model in a folder store, as the trainer writes it, and a model that doubles numbers."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_server.loading import LoadedModel
from trainyard_server.settings import Target
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.artifacts.manifest import Manifest, file_entry
from trainyard_trainer.frameworks.golden import signature_of, verify_saved_model
from trainyard_trainer.frameworks.registry import framework_for
from trainyard_trainer.frameworks.signature import Column, Columns

MODEL = "demand"


def stored_model(folder: Path, *, times: str = "%Y-%m-%d", **spec: Any) -> tuple[FolderStore, Target]:
    """Train on forty rows and register by hand.

    Return the store of the run's parent, and the target for a server. ``times`` is how the table writes the days.
    """
    x, y = [n * 7 % 40 for n in range(40)], [float(n % 7) for n in range(40)]
    frame = pd.DataFrame({"x": x, "town": ["a", "b"] * 20, "y": y})
    frame["ds"] = pd.date_range("2026-01-01", periods=40).strftime(times)
    data = {"exclude": ["ds"], **spec.pop("data", {})}
    spec = {"parameters": {"min_data_in_leaf": 2, "num_iterations": 5}, "data": data, **spec}
    config = job(write(folder, frame.to_csv(index=False)), **spec)
    framework = framework_for(config)
    dataset, context = dataset_of(config, folder), context_of(config, folder)
    trained = framework.train(dataset, context)
    golden = framework.evaluate(dataset, trained, context).golden
    manifest = {
        "schemaVersion": 1,
        "namespace": "shop",
        "model": MODEL,
        "job": {"name": "job", "uid": "0", "attempt": 1},
        "createdAt": "2026-01-01T00:00:00+00:00",
        "framework": framework.name,
        "task": config.spec.task,
        "formats": list(trained.formats),
        "files": [file_entry(context.output, path).model_dump() for path in trained.files],
        "report": "report.html",
        "libraries": {"lightgbm": "4"},
        "parameters": {},
        "signature": signature_of(golden).model_dump(by_alias=True),
        "metrics": {},
        "objective": {"metric": "mae", "value": 1.0},
        "golden": verify_saved_model(framework, context.output, golden).model_dump(by_alias=True),
        "data": {
            "uri": "file://",
            "rows": 40,
            "sizeBytes": 1,
            "digest": dataset.origin.digest,
            "holdoutDigest": dataset.holdout_digest,
        },
        "device": "cpu",
    }
    target = write_manifest(context.output, manifest)
    return FolderStore(folder, target.storage_uri), target


def write_manifest(run: Path, manifest: dict[str, Any]) -> Target:
    """Write the manifest into the folder of the run, and return the target of a server that serves the run."""
    body = json.dumps(manifest).encode()
    (run / "manifest.json").write_bytes(body)
    return Target(MODEL, 3, f"file://{run}", hashlib.sha256(body).hexdigest())


def read_manifest(run: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((run / "manifest.json").read_bytes())
    return manifest


class Doubling:
    """Predicts twice the number. Raises ``fail`` instead if it is set."""

    name = "Doubling"
    format = "doubling"

    def __init__(self) -> None:
        self.fail: Exception | None = None

    def predict(self, _: Any, inputs: pd.DataFrame) -> pd.DataFrame:
        if self.fail is not None:
            raise self.fail
        return pd.DataFrame({"prediction": 2 * inputs["x"]})


def doubling(target: Target) -> LoadedModel:
    columns = Columns((Column("x", "double"),), (Column("prediction", "double"),))
    manifest = Manifest.model_construct(framework="Doubling", formats=["doubling"])
    return LoadedModel(target, manifest, columns, Doubling(), None)
