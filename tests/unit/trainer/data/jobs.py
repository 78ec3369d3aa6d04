"""Jobs and environments for the tests of the trainer's stages."""

from pathlib import Path
from typing import Any

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Dataset, Origin, Table
from trainyard_trainer.data.formats import reading
from trainyard_trainer.data.preprocessing import preprocess
from trainyard_trainer.data.sources import files
from trainyard_trainer.data.wanted import Wanted
from trainyard_trainer.environment import Environment
from trainyard_trainer.frameworks.base import Context

REAL_DATA = Path(__file__).resolve().parents[4].parent / "shared" / "data"


def job(uri: str | Path, *, target: str = "y", task: str = "Regression", **spec: Any) -> TrainerConfig:
    """A job on one table. ``data`` in ``spec`` is merged over uri and target."""
    framework = "Prophet" if task == "Forecast" else "LightGBM"
    data = {"uri": f"file://{uri}" if isinstance(uri, Path) else uri, "target": target, **spec.pop("data", {})}
    if task == "Forecast":
        data.setdefault("time", "ds")
        spec.setdefault("forecast", {"horizon": 7})
    fields = {"framework": framework, "task": task, "data": data, "storage": {"uri": "s3://models/"}, **spec}
    return TrainerConfig.model_validate(
        {"namespace": "demo", "name": "job", "uid": "0", "modelName": "model", "spec": fields}
    )


def environment(folder: Path) -> Environment:
    return Environment.from_environ(
        {"TRAINYARD_WORK_DIR": str(folder / "work"), "TRAINYARD_CLAIMS_DIR": str(folder / "claims")}
    )


def table_of(config: TrainerConfig, folder: Path) -> Table:
    with files.fetch(config, environment(folder), lambda: False) as source:
        wanted = Wanted.of(config.spec.data, config.spec.task)
        read = reading.read(source, wanted, config.spec.data.format, config.spec.data.csv)
        origin = Origin(source.uri, source.digest, source.size_bytes, read.notes, read.files)
        return Table(read.frame, origin, findings=read.findings, notation=read.notation)


def dataset_of(config: TrainerConfig, folder: Path) -> Dataset:
    return preprocess(table_of(config, folder), config)


def context_of(config: TrainerConfig, folder: Path, *, workers: int = 1, stop: Any = lambda: False) -> Context:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    parameters = config.spec.parameters or {}
    return Context(config, workers, work, folder / "output", lambda *_: None, stop, parameters)


def write(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
