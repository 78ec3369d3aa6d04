"""A registered version of a small training, and PredictionJobs with it, in the folders of one pod."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.unit.trainer.data.jobs import job
from tests.unit.trainer.job.mean import pod
from trainyard_api.trainingjob import Artifact
from trainyard_api.wire import PredictionConfig, TrainingResult
from trainyard_trainer.artifacts.manifest import sha256_of
from trainyard_trainer.environment import Environment
from trainyard_trainer.frameworks.registry import framework_named
from trainyard_trainer.job.predict.work import PredictionWork
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import JsonLines

STORAGE = {"uri": "pvc://models/all"}
MODEL = "demand"


@dataclass(frozen=True)
class Trained:
    """A version: the folder of the pod, its artifact, and the arguments of its framework."""

    pod: Path
    artifact: Artifact
    framework: str
    task: str

    @property
    def files(self) -> Path:
        """The folder with the files of the run."""
        return self.pod / "claims" / self.artifact.uri.removeprefix("pvc://")

    def load(self) -> tuple[Any, Any]:
        """Return the framework and the saved model."""
        framework = framework_named(self.framework, forecast=self.task == "Forecast")  # type: ignore[arg-type]
        return framework, framework.load(self.files)

    def with_manifest(self, change: Callable[[dict[str, Any]], None]) -> "Trained":
        """Change the manifest, and return the version with the digest of the changed one."""
        file = self.files / "manifest.json"
        manifest = json.loads(file.read_text())
        change(manifest)
        file.write_text(json.dumps(manifest))
        digest = sha256_of(file.read_bytes())
        return replace(self, artifact=self.artifact.model_copy(update={"manifest_sha256": digest}))


def train(folder: Path, table: Path, *, framework: str = "LightGBM", **spec: Any) -> Trained:
    """Train a version on a table, with ``spec`` as in :func:`tests.unit.trainer.data.jobs.job`."""
    folder.mkdir(parents=True, exist_ok=True)
    if framework == "LightGBM":
        spec.setdefault("parameters", {"num_iterations": 15})
    config = job(table, framework=framework, storage=STORAGE, **spec)
    env = pod(folder)
    code = run_job(
        lambda: config.model_copy(update={"uid": "trained", "model_name": MODEL}),
        env,
        lambda: False,
        display=JsonLines(),
    )
    result = TrainingResult.model_validate_json(env.termination_log.read_bytes())
    assert code == 0, result.message
    assert result.artifact is not None
    return Trained(folder, result.artifact, framework, config.spec.task)


@dataclass(frozen=True)
class Outcome:
    """The exit code of a PredictionJob, its result, and the folder of its output."""

    code: int
    result: TrainingResult
    output: Path
    uid: str

    @property
    def message(self) -> str:
        """The message of the result."""
        return self.result.message or ""

    @property
    def warnings(self) -> str:
        """All warnings as one text."""
        found = self.result.predictions
        return "\n".join((found.warnings or []) if found is not None else [])

    @property
    def written(self) -> list[Path]:
        """The files of this run."""
        return sorted(self.output.glob(f"as_of_date=*/scores-{self.uid}.*"))

    def table(self) -> pa.Table:
        """Return the rows that were written."""
        assert self.code == 0, self.message
        (file,) = self.written
        return pq.ParquetFile(file).read()

    def frame(self) -> pd.DataFrame:
        """Return the rows that were written as a frame."""
        return self.table().to_pandas()


def config_of(
    trained: Trained, data: Path | dict[str, Any], uid: str = "p1", version: int = 1, **spec: Any
) -> PredictionConfig:
    """Return the configuration of a PredictionJob."""
    fields = {"uri": f"file://{data}"} if isinstance(data, Path) else data
    keep = {"keep": spec.pop("keep")} if "keep" in spec else {}
    return PredictionConfig.model_validate(
        {
            "namespace": "demo",
            "name": "scores",
            "uid": uid,
            "modelName": MODEL,
            "version": version,
            "artifact": trained.artifact.model_dump(by_alias=True),
            "storage": STORAGE,
            "spec": {
                "model": {"name": MODEL},
                "data": {**fields, **keep},
                "output": {"files": {"uri": "pvc://models/scores"}},
                **spec,
            },
        }
    )


def predict(
    trained: Trained,
    data: Path | dict[str, Any],
    uid: str = "p1",
    stop: Callable[[], bool] = lambda: False,
    env: Environment | None = None,
    **spec: Any,
) -> Outcome:
    """Run a PredictionJob in this process, as its pod does."""
    env = env or pod(trained.pod)
    work = PredictionWork(lambda: config_of(trained, data, uid, **spec), env)
    code = run_job(work.config, env, stop, display=JsonLines(), work=work.run, part="predict")
    result = TrainingResult.model_validate_json(env.termination_log.read_bytes())
    assert list((trained.pod / "work").iterdir()) == []
    return Outcome(code, result, trained.pod / "claims/models/scores", uid)
