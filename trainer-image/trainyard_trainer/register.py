"""The register stage: report and tables beside the model, all files into the store, and the manifest last."""

import importlib.metadata
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from trainyard_api.modelversion import Comparison
from trainyard_api.training import Split
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.ahead.work import Ahead, write_forecast
from trainyard_trainer.artifacts.layout import JUDGED, ModelKeys
from trainyard_trainer.artifacts.manifest import (
    Asked,
    DataInfo,
    FileEntry,
    GoldenRows,
    JobInfo,
    Manifest,
    Measurements,
    ObjectiveValue,
    SplitInfo,
    content_digest,
)
from trainyard_trainer.artifacts.runs import FinishedRun, finish_run, upload_files
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.artifacts.versions import reserve_version
from trainyard_trainer.backtest.files import write_backtest
from trainyard_trainer.backtest.run import Backtest
from trainyard_trainer.data.dataset import Dataset, Series
from trainyard_trainer.data.splits import Sides
from trainyard_trainer.frameworks.base import Evaluation, Framework, Trained
from trainyard_trainer.golden import signature_of, verify
from trainyard_trainer.measure import latency, with_memory
from trainyard_trainer.onnx.export import MODEL_FILE
from trainyard_trainer.profile.model import PROFILE
from trainyard_trainer.profile.work import NOT_PROFILED, Profiled
from trainyard_trainer.progress.port import Progress
from trainyard_trainer.progress.redact import redact
from trainyard_trainer.report.findings import limited, validation_document
from trainyard_trainer.report.page import ReportInput, render_report
from trainyard_trainer.search.results import SEARCH, encode

REPORT: Final = "report.html"
VALIDATION: Final = "validation.json"
METRICS: Final = "metrics.parquet"

_DISTRIBUTIONS: Final = {
    "lightgbm": "lightgbm",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "pandas": "pandas",
    "prophet": "prophet",
    "pyarrow": "pyarrow",
    "safetensors": "safetensors",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "trainyard_trainer": "trainyard",
}
"""Modules whose version matters to whoever loads the model, and the distributions they come from."""


@dataclass(frozen=True)
class TrainedRun:
    """What the stages before have made; ``output`` holds the model's files. ``ahead`` is the forecast, once written."""

    config: TrainerConfig
    dataset: Dataset
    trained: Trained
    evaluation: Evaluation
    objective: ObjectiveValue
    output: Path
    comparison: Comparison | None = None
    profiled: Profiled = NOT_PROFILED
    ahead: Ahead | None = None
    backtest: Backtest | None = None

    def with_backtest(self, backtest: Backtest) -> Self:
        """Return it with a backtest, whose metrics stand beside those of the holdout."""
        metrics = self.evaluation.metrics | backtest.scores.metrics
        return replace(self, evaluation=replace(self.evaluation, metrics=metrics), backtest=backtest)


@dataclass(frozen=True)
class About:
    """What is told of a run beside what it is: its number, when, with which libraries, and at what cost it answers."""

    version: int
    created_at: str
    libraries: dict[str, str]
    measurements: Measurements | None


def register_run(
    run: TrainedRun,
    framework: Framework,
    store: ArtifactStore,
    folder: str,
    *,
    progress: Progress,
    stop: Callable[[], bool],
) -> FinishedRun:
    """Check the saved model, let it forecast, measure and describe it, and write all of it into the run's folder.

    Raises
    ------
    RuntimeError
        If the saved files do not answer as the trained model did.
    TrainerError
        If the storage refuses, or ``stop`` turns true while it forecasts: then there is no manifest and so no model.
    """
    asked = run.evaluation.golden

    def load() -> tuple[Any, GoldenRows]:
        model = framework.load(run.output)
        return model, verify(framework, model, asked)

    (model, golden), memory = with_memory(load)
    sizes = {path: (run.output / path).stat().st_size for path in run.trained.files}
    judged = sum(size for path, size in sizes.items() if path.startswith(f"{JUDGED}/"))
    run, difference = _with_onnx(run, framework, model, golden.max_difference)
    if run.config.spec.task == "Forecast":
        ahead = write_forecast(
            framework,
            model,
            run.dataset,
            run.config,
            run.output,
            version=_number_of(run.config, store),
            progress=progress,
            stop=stop,
        )
        run = replace(run, ahead=ahead)
    measurements = Measurements(
        size_bytes=sum(sizes.values()) - judged,
        judged_bytes=judged or None,
        memory_bytes=memory,
        latency=latency(framework, model, asked),
        onnx_max_difference=difference,
    )
    return store_run(run, golden, library_versions(), store, folder, measurements)


def _with_onnx(run: TrainedRun, framework: Framework, model: Any, difference: float) -> tuple[TrainedRun, float | None]:
    """Return the run with the model as ONNX, and how far its answers are from the trained one's; or with a warning.

    ``difference`` is how far those of the saved model are.
    """
    from trainyard_trainer.onnx import FORMAT, MODEL_FILE, export, proof_rows

    wished = run.config.spec.export
    if MODEL_FILE in run.trained.files:
        return run, difference  # the saved model is of this form, and has just been proven
    if wished is None or not wished.onnx:
        return run, None

    made = export(framework, model, run.evaluation.golden, run.output, proof_rows(run.dataset))
    trained = run.trained
    if made.file is None:
        trained = replace(trained, warnings=(*trained.warnings, made.warning or ""))
    else:
        trained = replace(trained, files=(*trained.files, made.file), formats=(*trained.formats, FORMAT))
    return replace(run, trained=trained), made.max_difference


def store_run(
    run: TrainedRun,
    golden: GoldenRows,
    libraries: dict[str, str],
    store: ArtifactStore,
    folder: str,
    measurements: Measurements | None = None,
) -> FinishedRun:
    """Write a judged model, the documents about it, and its manifest last. Raises TrainerError."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    about = About(_number_of(run.config, store), now, libraries, measurements)
    _write_documents(run, about)
    search = [] if run.trained.tuned is None else [SEARCH]
    ahead = [] if run.ahead is None else run.ahead.files
    backtest = [] if run.backtest is None else [write_backtest(run.backtest.rows, run.dataset.clock, run.output)]
    documents = [REPORT, VALIDATION, METRICS, *([] if run.profiled.profile is None else [PROFILE])]
    files = [*run.trained.files, *search, *ahead, *backtest, *documents]
    entries = upload_files(store, folder, run.output, files)
    manifest = _manifest(run, golden, entries, about)
    # ONNX is a second form of the model: it says nothing new, and its writers note paths and times of their own. The
    # forecast follows from model and data, and its rows name their run; a backtest names what the champion says.
    content = content_digest(manifest, {*run.trained.files, *search} - {MODEL_FILE})
    return finish_run(store, folder, manifest.model_copy(update={"content_sha256": content}))


def _number_of(config: TrainerConfig, store: ArtifactStore) -> int:
    """Return the number of the version that this run will be: files of the run may name it from here on."""
    return reserve_version(store, ModelKeys(config.namespace, config.model_name), config.uid)


def warnings_of(run: TrainedRun) -> list[str]:
    """Return what a person should know: the framework's warnings and those about the data, each once."""
    findings = [
        finding.message if finding.series is None else f"{finding.series}: {finding.message}"
        for finding in limited(run.dataset.findings)
        if finding.severity != "info"
    ]
    return [redact(text) for text in dict.fromkeys([*_told_by_model(run), *findings])]


def _told_by_model(run: TrainedRun) -> list[str]:
    ahead = () if run.ahead is None else run.ahead.warnings
    return [*run.trained.warnings, *ahead, *(() if run.backtest is None else run.backtest.warnings)]


def data_info(dataset: Dataset) -> DataInfo:
    """Return what a manifest says of the data, without credentials."""
    return DataInfo(
        uri=redact(dataset.origin.uri),
        rows=dataset.rows,
        size_bytes=dataset.origin.size_bytes,
        digest=dataset.origin.digest,
        holdout_digest=dataset.holdout_digest,
    )


def split_info(dataset: Dataset, spec: TrainingJobSpec) -> SplitInfo | None:
    """Return what says, of any row, whether the two models have learned it; ``None`` for what user code has seen."""
    split = spec.split or Split()
    if dataset.series:
        times = dataset.frame["ds"].to_numpy("datetime64[ns]")
        judged, final = (max(times[end(one) - 1] for one in dataset.series) for end in (_split_of, _stop_of))
        columns = (spec.data.time or "ds",)
        sides = Sides.of("Time", split, columns)
        return _info(sides, str(judged), str(final))
    if dataset.sides is None:
        return None
    if dataset.times is None or dataset.parts is None:
        return _info(dataset.sides)
    test = np.zeros(len(dataset.times), dtype=np.bool_)
    test[dataset.parts.test] = True
    return _info(dataset.sides, str(dataset.times[~test].max()), str(dataset.times.max()))


def _info(sides: Sides, judged: str | None = None, final: str | None = None) -> SplitInfo:
    return SplitInfo(**{**vars(sides), "columns": list(sides.columns)}, judged_until=judged, final_until=final)


def _split_of(series: Series) -> int:
    return series.split


def _stop_of(series: Series) -> int:
    return series.stop


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that this training has imported."""
    found = {"python": platform.python_version()}
    for module, distribution in _DISTRIBUTIONS.items():
        if module in sys.modules:
            found[distribution] = importlib.metadata.version(distribution)
    return found


def _write_documents(run: TrainedRun, about: About) -> None:
    page = render_report(
        ReportInput(
            config=run.config,
            dataset=run.dataset,
            trained=run.trained,
            evaluation=run.evaluation,
            objective=run.objective.metric,
            created_at=about.created_at,
            libraries=about.libraries,
            measurements=about.measurements,
            warnings=[redact(text) for text in _told_by_model(run)],
            comparison=run.comparison,
            data_comparison=run.profiled.comparison,
            ahead=None if run.ahead is None else run.ahead.drawn,
            backtest=run.backtest,
        )
    )
    (run.output / REPORT).write_text(page, encoding="utf-8")
    if run.trained.tuned is not None:
        (run.output / SEARCH).write_bytes(encode(run.trained.tuned))
    if run.profiled.profile is not None:
        (run.output / PROFILE).write_bytes(run.profiled.profile.encode())
    validation = validation_document(run.dataset)
    (run.output / VALIDATION).write_text(json.dumps(validation, indent=1, ensure_ascii=False), encoding="utf-8")
    run.evaluation.table.astype({"series": "string"}).to_parquet(run.output / METRICS, index=False)


def _manifest(run: TrainedRun, golden: GoldenRows, entries: list[FileEntry], about: About) -> Manifest:
    config, dataset, trained = run.config, run.dataset, run.trained
    return Manifest(
        namespace=config.namespace,
        model=config.model_name,
        version=about.version,
        job=JobInfo(name=config.name, uid=config.uid, attempt=config.attempt),
        created_at=about.created_at,
        image=config.image,
        framework=config.spec.framework,
        task=config.spec.task,
        formats=list(trained.formats),
        files=entries,
        report=REPORT,
        forecast=None if run.ahead is None else run.ahead.table,
        log=ModelKeys(config.namespace, config.model_name).logs(config.uid),
        libraries=about.libraries,
        parameters={name: _plain(value) for name, value in trained.parameters.items()},
        signature=signature_of(run.evaluation.golden),
        positive_class=dataset.positive_class,
        baseline=run.evaluation.baseline or None,
        metrics=run.evaluation.metrics,
        objective=run.objective,
        golden=golden,
        data=data_info(dataset),
        split=split_info(dataset, config.spec),
        comparison=run.comparison,
        asked=Asked(objective=config.spec.objective, gates=config.spec.gates, storage=config.spec.storage),
        series=trained.series,
        device=trained.device,
        measurements=about.measurements,
        warnings=[text[:_WARNING_LENGTH] for text in warnings_of(run)],
    )


_WARNING_LENGTH: Final = 1024


def _plain(value: Any) -> Any:
    """Return a parameter as JSON knows it; the libraries hand out numpy's numbers."""
    return json.loads(json.dumps(value, default=lambda other: other.item() if hasattr(other, "item") else str(other)))
