"""Run a job of ``mode: Backtest``. It writes a table, a page and a manifest to the store, but no model."""

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from trainyard_api.trainingjob import Artifact, TrainingJobSpec
from trainyard_api.wire import TrainingResult
from trainyard_trainer.artifacts.backtests import BacktestKeys, BacktestManifest, FinishedBacktest
from trainyard_trainer.artifacts.checkpoints import open_checkpoints, remove_checkpoints
from trainyard_trainer.artifacts.finished import find, finish
from trainyard_trainer.artifacts.layout import BACKTEST, ModelKeys
from trainyard_trainer.artifacts.manifest import FileEntry, JobInfo
from trainyard_trainer.artifacts.runs import begin_run, upload_files
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.environment import worker_count
from trainyard_trainer.evaluate.backtest import Backtest
from trainyard_trainer.frameworks.base import Context, Framework
from trainyard_trainer.job.backtest.files import write_backtest
from trainyard_trainer.job.backtest.run import run_backtest
from trainyard_trainer.job.provenance import data_info, library_versions
from trainyard_trainer.job.stages import enter, open_model, prepare_data
from trainyard_trainer.job.steps import Job
from trainyard_trainer.progress.redact import redact
from trainyard_trainer.progress.stages import Stage
from trainyard_trainer.progress.tracker import metric_list, metric_value
from trainyard_trainer.report.backtest import BacktestPage, render_backtest
from trainyard_trainer.report.findings import limited, validation_document

PAGE: Final = "backtest.html"
VALIDATION: Final = "validation.json"

_METRICS: Final = 64
_WARNINGS: Final = 16
_WARNING_LENGTH: Final = 1024


def backtest_job(job: Job) -> TrainingResult:
    """Evaluate the training at each cutoff, or find the result of an earlier attempt.

    Raises
    ------
    TrainerError
        With one message for the user and the exit code.
    """
    config = job.config
    job.tracker.begin(Stage.LOAD, f"checking the specification of {config.namespace}/{config.name}")
    framework = job.steps.framework_for(config)
    store, _ = open_model(job)
    keys = BacktestKeys(config.namespace, config.model_name)
    finished = find(store, keys, config.uid, BacktestManifest)
    if finished is None:
        finished = _make(job, framework, store, keys)
    else:
        job.tracker.begin(Stage.REGISTER, "the backtest was written by an earlier attempt")
    remove_checkpoints(store, keys, config.uid)
    job.tracker(1.0, f"wrote {_described(finished.manifest)}", finished.manifest.metrics)
    return _result(store, finished)


def _make(job: Job, framework: Framework, store: ArtifactStore, keys: BacktestKeys) -> FinishedBacktest:
    config = job.config
    folder = begin_run(store, keys, config.uid, config.attempt)
    dataset = prepare_data(job)
    enter(job, Stage.TRAIN, f"training with {framework.name} at earlier cutoffs")
    with tempfile.TemporaryDirectory(prefix="trainyard-", dir=job.env.work_dir) as work:
        output = Path(work, "output")
        output.mkdir()
        context = Context(
            config=config,
            workers=worker_count(config.spec.workers),
            work_dir=Path(work),
            output=output,
            progress=job.tracker,
            stop=job.stop,
            parameters=config.spec.parameters or {},
            checkpoints=open_checkpoints(store, keys, config, dataset),
        )
        found = run_backtest(framework, dataset, context)
        created_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        warnings = [*_without_effect(config.spec), *found.warnings, *_of_data(dataset)]
        warnings = [redact(text)[:_WARNING_LENGTH] for text in dict.fromkeys(warnings)]
        _write(job, dataset, found, output, (created_at, warnings))
        enter(job, Stage.REGISTER, f"writing {store.address(folder)}")
        entries = upload_files(store, folder, output, [BACKTEST, PAGE, VALIDATION])
    return finish(store, folder, _manifest(job, dataset, found, entries, (created_at, warnings)))


def _write(job: Job, dataset: Dataset, found: Backtest, output: Path, about: tuple[str, list[str]]) -> None:
    created_at, warnings = about
    write_backtest(found.rows, dataset.clock, output)
    page = render_backtest(BacktestPage(job.config, dataset, found, created_at, warnings))
    (output / PAGE).write_text(page, encoding="utf-8")
    validation = json.dumps(validation_document(dataset), indent=1, ensure_ascii=False)
    (output / VALIDATION).write_text(validation, encoding="utf-8")


def _manifest(
    job: Job, dataset: Dataset, found: Backtest, entries: list[FileEntry], about: tuple[str, list[str]]
) -> BacktestManifest:
    config = job.config
    created_at, warnings = about
    return BacktestManifest(
        namespace=config.namespace,
        model=config.model_name,
        job=JobInfo(name=config.name, uid=config.uid, attempt=config.attempt),
        created_at=created_at,
        image=config.image,
        framework=config.spec.framework,
        task=config.spec.task,
        files=entries,
        table=BACKTEST,
        report=PAGE,
        rows=len(found.rows),
        windows=found.windows,
        step=found.step,
        horizon=config.spec.forecast.horizon if config.spec.forecast else 1,
        parameters=config.spec.parameters or {},
        metrics=found.scores.metrics,
        data=data_info(dataset),
        series_total=dataset.series_total,
        libraries=library_versions(),
        warnings=warnings,
    )


def _without_effect(spec: TrainingJobSpec) -> list[str]:
    """Return the settings that only affect a model.

    To turn a training job into a backtest, only the mode must change.
    """
    idle = [name for name, value in {"spec.gates": spec.gates, "spec.export": spec.export}.items() if value]
    return [f"{' and '.join(idle)} had no effect: mode Backtest creates no model"] if idle else []


def _of_data(dataset: Dataset) -> list[str]:
    return [
        finding.message if finding.series is None else f"{finding.series}: {finding.message}"
        for finding in limited(dataset.findings)
        if finding.severity != "info"
    ]


def _described(manifest: BacktestManifest) -> str:
    name = "backtest_mae"
    return (
        f"a backtest of {manifest.windows} windows and {manifest.rows} rows: {name} "
        f"{metric_value(manifest.metrics[name])}"
    )


def _result(store: ArtifactStore, finished: FinishedBacktest) -> TrainingResult:
    """Return the result. The same backtest always has the same result, also if an earlier attempt made it."""
    manifest = finished.manifest
    return TrainingResult(
        outcome="Succeeded",
        made="Backtest",
        message=_described(manifest),
        artifact=Artifact(
            uri=store.address(finished.folder), manifest_sha256=finished.manifest_sha256, size_bytes=manifest.size_bytes
        ),
        metrics=metric_list(manifest.metrics)[:_METRICS],
        data_digest=manifest.data.digest,
        holdout_digest=manifest.data.holdout_digest,
        report=store.address(f"{finished.folder}/{manifest.report}"),
        log=store.address(ModelKeys(manifest.namespace, manifest.model).logs(manifest.job.uid)),
        warnings=manifest.warnings[:_WARNINGS] or None,
    )
