"""The register stage: write the report and tables, upload all files with the manifest last, and claim a version."""

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
    FileEntry,
    GoldenRows,
    JobInfo,
    Manifest,
    Measurements,
    ObjectiveValue,
    VersionRequest,
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
from trainyard_trainer.job.forecast.write_forecast import WrittenForecast, write_forecast
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
from trainyard_trainer.report.profile.profiling import NOT_PROFILED, Profiled
from trainyard_trainer.search.results import SEARCH, encode
from trainyard_trainer.tracking.track import track

REPORT: Final = "report.html"
VALIDATION: Final = "validation.json"
METRICS: Final = "metrics.parquet"


@dataclass(frozen=True)
class TrainedRun:
    """The results of the earlier stages.

    ``output`` contains the files of the model; ``forecast`` is the written forecast, if any.
    """

    config: TrainerConfig
    dataset: Dataset
    trained: Trained
    evaluation: Evaluation
    objective: ObjectiveValue
    output: Path
    comparison: Comparison | None = None
    profiled: Profiled = NOT_PROFILED
    forecast: WrittenForecast | None = None
    backtest: Backtest | None = None

    def with_backtest(self, backtest: Backtest) -> Self:
        """Return a copy with a backtest. Its metrics are added to those of the holdout."""
        metrics = self.evaluation.metrics | backtest.scores.metrics
        return replace(self, evaluation=replace(self.evaluation, metrics=metrics), backtest=backtest)


@dataclass(frozen=True)
class About:
    """Metadata of a run: version number, creation time, library versions, and measured cost of predictions."""

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
    """Register one version for the run of a job.

    Use the version of an earlier attempt if there is one. Else use a finished run if there is one. Else call ``make``.
    ``compared`` returns the comparison of a run with the version that is served now.

    Raises
    ------
    TrainerError
        Any error of ``make`` or of the storage.
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
    """Record the version in the trackers, remove the checkpoints, and return the result."""
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
    """Check the saved model, forecast with it, measure it, and write all files into the folder of the run.

    Raises
    ------
    RuntimeError
        If the saved model does not reproduce the predictions of the trained model.
    TrainerError
        If the storage fails, or if ``stop`` returns true during the forecast. Then no manifest is written, so there is
        no model.
    """
    golden_inputs = run.evaluation.golden

    def load() -> tuple[Any, GoldenRows]:
        model = framework.load(run.output)
        return model, verify(framework, model, golden_inputs)

    (model, golden), memory = with_memory(load)
    sizes = {path: (run.output / path).stat().st_size for path in run.trained.files}
    judged = sum(size for path, size in sizes.items() if path.startswith(f"{JUDGED}/"))
    run, difference = _with_onnx(run, framework, model, golden.max_difference)
    if run.config.spec.task == "Forecast":
        forecast = write_forecast(
            framework,
            model,
            run.dataset,
            run.config,
            run.output,
            version=_version_of(run.config, store),
            progress=progress,
            stop=stop,
        )
        run = replace(run, forecast=forecast)
    measurements = Measurements(
        size_bytes=sum(sizes.values()) - judged,
        judged_bytes=judged or None,
        memory_bytes=memory,
        latency=latency(framework, model, golden_inputs),
        onnx_max_difference=difference,
    )
    return store_run(run, golden, library_versions(), store, folder, measurements)


def _with_onnx(run: TrainedRun, framework: Framework, model: Any, difference: float) -> tuple[TrainedRun, float | None]:
    """Add the model as ONNX, and return the run and the largest difference of its predictions.

    If the export fails, the run gets a warning instead. ``difference`` is that of the saved model.
    """
    from trainyard_trainer.job.onnx.export import FORMAT, MODEL_FILE, export
    from trainyard_trainer.job.onnx.proof import proof_rows

    requested = run.config.spec.export
    if MODEL_FILE in run.trained.files:
        return run, difference  # the saved model is ONNX already, and was just checked
    if requested is None or not requested.onnx:
        return run, None

    exported = export(framework, model, run.evaluation.golden, run.output, proof_rows(run.dataset))
    trained = run.trained
    if exported.file is None:
        trained = replace(trained, warnings=(*trained.warnings, exported.warning or ""))
    else:
        trained = replace(trained, files=(*trained.files, exported.file), formats=(*trained.formats, FORMAT))
    return replace(run, trained=trained), exported.max_difference


def store_run(
    run: TrainedRun,
    golden: GoldenRows,
    libraries: dict[str, str],
    store: ArtifactStore,
    folder: str,
    measurements: Measurements | None = None,
) -> FinishedRun:
    """Upload a judged model and its documents, then the manifest. Raises TrainerError."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    about = About(_version_of(run.config, store), now, libraries, measurements)
    _write_documents(run, about)
    search = [] if run.trained.tuned is None else [SEARCH]
    forecast = [] if run.forecast is None else run.forecast.files
    backtest = [] if run.backtest is None else [write_backtest(run.backtest.rows, run.dataset.clock, run.output)]
    documents = [REPORT, VALIDATION, METRICS, *([] if run.profiled.profile is None else [PROFILE])]
    files = [*run.trained.files, *search, *forecast, *backtest, *documents]
    entries = upload_files(store, folder, run.output, files)
    manifest = _manifest(run, golden, entries, about)
    # The digest leaves out the ONNX file: it is a second form of the model, and its writers add paths and times. It
    # also leaves out the forecast, which follows from model and data and names its run. It leaves out the backtest,
    # because that contains predictions of the champion.
    content = content_digest(manifest, {*run.trained.files, *search} - {MODEL_FILE})
    return finish_run(store, folder, manifest.model_copy(update={"content_sha256": content}))


def _version_of(config: TrainerConfig, store: ArtifactStore) -> int:
    """Reserve and return the version number of this run. Files of the run may contain it from now on."""
    return reserve_version(store, ModelKeys(config.namespace, config.model_name), config.uid)


def warnings_of(run: TrainedRun) -> list[str]:
    """Return the warnings of the framework and those about the data, without duplicates."""
    findings = [
        finding.message if finding.series is None else f"{finding.series}: {finding.message}"
        for finding in limited(run.dataset.findings)
        if finding.severity != "info"
    ]
    return [redact(text) for text in dict.fromkeys([*_model_warnings(run), *findings])]


def _model_warnings(run: TrainedRun) -> list[str]:
    forecast = () if run.forecast is None else run.forecast.warnings
    return [*run.trained.warnings, *forecast, *(() if run.backtest is None else run.backtest.warnings)]


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
            forecast=None if run.forecast is None else run.forecast.plotted,
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
        forecast=None if run.forecast is None else run.forecast.table,
        log=ModelKeys(config.namespace, config.model_name).logs(config.uid),
        libraries=about.libraries,
        parameters={name: _plain(value) for name, value in trained.parameters.items()},
        signature=signature_of(run.evaluation.golden),
        time_form=dataset.clock.form or None,
        positive_class=dataset.positive_class,
        baseline=run.evaluation.baseline or None,
        metrics=run.evaluation.metrics,
        objective=run.objective,
        golden=golden,
        data=data_info(dataset),
        split=split_info(dataset, config.spec),
        comparison=run.comparison,
        asked=VersionRequest(
            objective=config.spec.objective,
            gates=config.spec.gates,
            storage=config.spec.storage,
            data=config.spec.data,
            forecast=config.spec.forecast,
        ),
        series=trained.series,
        device=trained.device,
        measurements=about.measurements,
        warnings=[text[:_WARNING_LENGTH] for text in warnings_of(run)],
    )


_WARNING_LENGTH: Final = 1024


def _plain(value: Any) -> Any:
    """Return a parameter as a JSON type. The libraries return NumPy numbers."""
    return json.loads(json.dumps(value, default=lambda other: other.item() if hasattr(other, "item") else str(other)))
