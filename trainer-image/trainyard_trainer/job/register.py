"""The register stage: report and tables beside the model, all files into the store, the manifest last; the version."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from trainyard_api.modelversion import Comparison
from trainyard_api.wire import TrainerConfig, TrainingResult
from trainyard_trainer.artifacts.checkpoints import remove_checkpoints
from trainyard_trainer.artifacts.layout import JUDGED, ModelKeys
from trainyard_trainer.artifacts.manifest import (
    Asked,
    FileEntry,
    GoldenRows,
    JobInfo,
    Manifest,
    Measurements,
    ObjectiveValue,
    canonical_json,
    content_digest,
)
from trainyard_trainer.artifacts.runs import FinishedRun, find_finished, finish_run, upload_files
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.artifacts.versions import VersionRecord, claim_version, find_version, reserve_version, run_of
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.evaluate.backtest import Backtest
from trainyard_trainer.frameworks.base import Evaluation, Framework, Trained
from trainyard_trainer.frameworks.golden import signature_of, verify
from trainyard_trainer.job.backtest.files import write_backtest
from trainyard_trainer.job.forecast.work import Ahead, write_forecast
from trainyard_trainer.job.measure import latency, with_memory
from trainyard_trainer.job.onnx.export import MODEL_FILE
from trainyard_trainer.job.provenance import data_info, library_versions, split_info
from trainyard_trainer.job.result import succeeded
from trainyard_trainer.job.steps import Job
from trainyard_trainer.progress.port import Progress
from trainyard_trainer.progress.redact import redact
from trainyard_trainer.progress.stages import Stage
from trainyard_trainer.report.findings import limited, validation_document
from trainyard_trainer.report.page import ReportInput, render_report
from trainyard_trainer.report.profile.model import PROFILE
from trainyard_trainer.report.profile.work import NOT_PROFILED, Profiled
from trainyard_trainer.search.results import SEARCH, encode
from trainyard_trainer.tracking.track import track

REPORT: Final = "report.html"
VALIDATION: Final = "validation.json"
METRICS: Final = "metrics.parquet"


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


def _as_trained(run: FinishedRun) -> Comparison | None:
    return run.manifest.comparison


def register_once(
    job: Job,
    store: ArtifactStore,
    keys: ModelKeys,
    make: Callable[[], FinishedRun],
    compared: Callable[[FinishedRun], Comparison | None] = _as_trained,
) -> TrainingResult:
    """Give the job's run its version: the one it has, else one for a run that was finished before, else for a new one.

    ``compared`` gives the comparison of a run with the version that serves now.

    Raises
    ------
    TrainerError
        Whatever ``make`` or the storage end with.
    """
    uid = job.config.uid
    known = find_version(store, keys, uid)
    if known is not None:
        record, run = known
        job.tracker.begin(Stage.REGISTER, f"version {record.version} was registered by an earlier attempt")
        return _finish(job, store, record, run, compared(run))
    finished = find_finished(store, keys, uid) or make()
    job.tracker.begin(Stage.REGISTER, "claiming a version")
    record = claim_version(store, keys, uid, finished)
    job.tracker(1.0, f"registered version {record.version} as {record.label}")
    run = run_of(store, record, finished)
    return _finish(job, store, record, run, compared(run))


def _finish(
    job: Job, store: ArtifactStore, record: VersionRecord, run: FinishedRun, comparison: Comparison | None
) -> TrainingResult:
    """Tell the trackers of a version, remove what only later attempts would need, and return the result."""
    keys = ModelKeys(job.config.namespace, job.config.model_name)
    if comparison is not None and comparison != run.manifest.comparison:
        store.replace(keys.compared(record.version), canonical_json(comparison.wire()))
    remove_checkpoints(store, keys, job.config.uid)
    return succeeded(
        store, record, run, job.config.spec.gates, track(job.config, job.env, store, record, run), comparison
    )


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
    from trainyard_trainer.job.onnx.export import FORMAT, MODEL_FILE, export
    from trainyard_trainer.job.onnx.proof import proof_rows

    requested = run.config.spec.export
    if MODEL_FILE in run.trained.files:
        return run, difference  # the saved model is of this form, and has just been proven
    if requested is None or not requested.onnx:
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
    return [redact(text) for text in dict.fromkeys([*_model_warnings(run), *findings])]


def _model_warnings(run: TrainedRun) -> list[str]:
    ahead = () if run.ahead is None else run.ahead.warnings
    return [*run.trained.warnings, *ahead, *(() if run.backtest is None else run.backtest.warnings)]


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
            warnings=[redact(text) for text in _model_warnings(run)],
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
