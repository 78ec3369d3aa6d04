"""A small framework that predicts the mean of the training rows, and the steps of a job for it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trainyard_api.training import Storage
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Dataset, Finding, Origin, Parts, Table
from trainyard_trainer.environment import Environment
from trainyard_trainer.frameworks.base import Context, Evaluation, Golden, OnnxModel, Trained
from trainyard_trainer.job.steps import Steps
from trainyard_trainer.progress.port import Progress
from trainyard_trainer.search.tunable import Tunable

DIGEST = "sha256:" + "a" * 64


def always(_: object) -> None:
    """Do nothing at this point of the training."""


@dataclass
class MeanFramework:
    """Predicts one number. Tests interrupt in ``during_training``. ``shift`` changes the saved file."""

    during_training: Callable[[Context], None] = always
    shift: float = 0.0
    name: str = "mean"
    format: str = "mean"
    trainings: list[int] = field(default_factory=list)

    def check(self, config: TrainerConfig) -> None:
        """Accept every specification."""

    def tunable(self, dataset: Dataset, context: Context) -> Tunable | None:  # noqa: ARG002 - the protocol's
        """Return no search."""
        return None

    def to_onnx(self, model: Any) -> OnnxModel | None:  # noqa: ARG002 - the protocol's
        """Return no ONNX model."""
        return None

    def train(self, dataset: Dataset, context: Context) -> Trained:
        self.trainings.append(context.config.attempt)
        self.during_training(context)
        assert dataset.parts is not None
        mean = float(dataset.frame[dataset.target].iloc[dataset.parts.train].mean())
        context.progress(0.5, "half of it")
        (context.output / "mean.json").write_text(json.dumps(mean + self.shift))
        return Trained(
            formats=("mean-json",),
            files=("mean.json",),
            model=mean,
            parameters={"kind": "mean", "rows": np.int64(3)},
            warnings=("it is only a mean",),
        )

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:  # noqa: ARG002
        assert dataset.parts is not None
        test = dataset.frame.iloc[dataset.parts.test]
        mae = float((test[dataset.target] - trained.model).abs().mean())
        inputs = test[list(dataset.features)].head(3)
        return Evaluation(
            metrics={"mae": mae, "baseline_mae": 2 * mae},
            table=pd.DataFrame(
                {"series": ["all"], "metric": ["mae"], "value": [mae], "baseline": [2 * mae]},
            ),
            golden=Golden(inputs, self.predict(trained.model, inputs)),
            notes=("r2 was not asked for",),
        )

    def load(self, folder: Path) -> Any:
        return json.loads((folder / "mean.json").read_text())

    def predict(self, model: Any, inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"prediction": [model] * len(inputs)})


def load(
    config: TrainerConfig, env: Environment, progress: Progress, stop: Callable[[], bool], also: Sequence[str] = ()
) -> Table:
    progress(1.0, "made up")
    frame = pd.DataFrame({"a": np.arange(10.0), "y": np.arange(10.0) * 2})
    return Table(frame, Origin("https://user:hush@host/x.csv?sig=hush", DIGEST, 160))


def preprocess(table: Table, config: TrainerConfig) -> Dataset:
    rows = np.arange(len(table.frame))
    return Dataset(
        task="Regression",
        frame=table.frame,
        target="y",
        features=("a",),
        findings=(Finding("Few", "warning", "only <10> rows"), Finding("Fine", "info", "numbers everywhere")),
        origin=table.origin,
        holdout_digest=DIGEST,
        rows=len(rows),
        parts=Parts(rows[:6], rows[6:7], rows[7:]),
    )


def steps(framework: MeanFramework) -> Steps:
    return Steps(load, preprocess, lambda _: framework)


def spec(**changes: Any) -> TrainingJobSpec:
    base = {
        "framework": "LightGBM",
        "task": "Regression",
        "data": {"uri": "s3://data/x.csv", "target": "y"},
        "storage": Storage(uri="pvc://models/all"),
    }
    return TrainingJobSpec.model_validate({**base, **changes})


def config(uid: str = "uid-1", attempt: int = 1, **changes: Any) -> TrainerConfig:
    return TrainerConfig(
        namespace="shop", name="demand", uid=uid, attempt=attempt, model_name="demand", spec=spec(**changes)
    )


def pod(folder: Path) -> Environment:
    """Return the folders of a pod whose claim ``models`` is mounted."""
    (folder / "claims/models").mkdir(parents=True, exist_ok=True)
    (folder / "work").mkdir(exist_ok=True)
    return Environment(
        config_dir=folder / "config",
        data_secret_dir=folder / "data-secret",
        storage_secret_dir=folder / "storage-secret",
        claims_dir=folder / "claims",
        work_dir=folder / "work",
        termination_log=folder / "termination-log",
    )
