"""Run a job of ``mode: Prepare``, which writes a dataset to the store."""

import json
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow.parquet

from trainyard_api.trainingjob import Artifact, TrainingJobSpec
from trainyard_api.wire import TrainingResult
from trainyard_trainer.artifacts.datasets import DatasetColumn, DatasetKeys, DatasetManifest, FinishedDataset
from trainyard_trainer.artifacts.finished import find, finish
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.manifest import FileEntry, JobInfo
from trainyard_trainer.artifacts.runs import begin_run, upload_files
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.data.tables.splits import digest_of
from trainyard_trainer.frameworks.registry import refuse_later_features
from trainyard_trainer.job.container.fetch import typed_with_roles
from trainyard_trainer.job.prepare.page import ProfileInput, all_findings, render_profile
from trainyard_trainer.job.prepare.table import table_of
from trainyard_trainer.job.provenance import data_info, library_versions
from trainyard_trainer.job.stages import enter, open_model
from trainyard_trainer.job.steps import Job
from trainyard_trainer.progress.redact import redact
from trainyard_trainer.progress.stages import Stage
from trainyard_trainer.report.findings import limited, validation_document

TABLE: Final = "dataset.parquet"
PROFILE: Final = "profile.html"
VALIDATION: Final = "validation.json"

_WARNINGS: Final = 16
_WARNING_LENGTH: Final = 1024
_ROWS_AT_ONCE: Final = 1 << 17


def prepare_dataset(job: Job) -> TrainingResult:
    """Write the dataset that a training uses, or find the one that an earlier attempt wrote.

    Raises
    ------
    TrainerError
        With one message for the user and the exit code.
    """
    config = job.config
    job.tracker.begin(Stage.LOAD, f"checking the specification of {config.namespace}/{config.name}")
    refuse_later_features(config)
    store, _ = open_model(job)
    keys = DatasetKeys(config.namespace, config.model_name)
    finished = find(store, keys, config.uid, DatasetManifest)
    if finished is None:
        finished = _prepare(job, store, keys)
    else:
        job.tracker.begin(Stage.REGISTER, "the dataset was written by an earlier attempt")
    job.tracker(1.0, f"prepared {_described(finished.manifest)}")
    return _result(store, finished)


def _prepare(job: Job, store: ArtifactStore, keys: DatasetKeys) -> FinishedDataset:
    folder = begin_run(store, keys, job.config.uid, job.config.attempt)
    table = job.steps.load(job.config, job.env, job.tracker, job.stop)
    enter(job, Stage.PREPROCESS, "checking the data")
    dataset, others = typed_with_roles(job, table)
    prepared = table_of(dataset, others, job.config.spec)
    del table, others
    enter(job, Stage.EVALUATE, f"describing {len(prepared.roles)} columns")
    source = ProfileInput(
        config=job.config,
        dataset=dataset,
        table=prepared,
        digest=digest_of(prepared.frame),
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        warnings=_without_effect(job.config.spec),
    )
    with tempfile.TemporaryDirectory(prefix="trainyard-", dir=job.env.work_dir) as work:
        columns = _write(source, Path(work))
        enter(job, Stage.REGISTER, f"writing {store.address(folder)}")
        entries = upload_files(store, folder, Path(work), [TABLE, PROFILE, VALIDATION])
    return finish(store, folder, _manifest(source, columns, entries))


def _write(source: ProfileInput, folder: Path) -> list[DatasetColumn]:
    """Write the files of a dataset. Return the description of its columns."""
    (folder / PROFILE).write_text(render_profile(source), encoding="utf-8")
    validation = validation_document(replace(source.dataset, findings=tuple(all_findings(source))))
    (folder / VALIDATION).write_text(json.dumps(validation, indent=1, ensure_ascii=False), encoding="utf-8")
    table = source.table.to_arrow()
    pyarrow.parquet.write_table(table, folder / TABLE, compression="zstd", row_group_size=_ROWS_AT_ONCE)
    return source.table.columns(table)


def _manifest(source: ProfileInput, columns: list[DatasetColumn], entries: list[FileEntry]) -> DatasetManifest:
    config, dataset = source.config, source.dataset
    return DatasetManifest(
        namespace=config.namespace,
        model=config.model_name,
        job=JobInfo(name=config.name, uid=config.uid, attempt=config.attempt),
        created_at=source.created_at,
        image=config.image,
        task=config.spec.task,
        files=entries,
        table=TABLE,
        report=PROFILE,
        rows=len(source.table.frame),
        columns=columns,
        digest=source.digest,
        data=data_info(dataset),
        series_total=dataset.series_total,
        libraries=library_versions(),
        warnings=_warnings(source),
    )


def _without_effect(spec: TrainingJobSpec) -> list[str]:
    """Return the settings that only affect a model.

    To turn a training job into a dataset job, only the mode must change.
    """
    judges = {"spec.objective": spec.objective, "spec.gates": spec.gates}
    idle = [name for name, value in judges.items() if value]
    return [f"{' and '.join(idle)} had no effect: mode Prepare creates no model"] if idle else []


def _warnings(source: ProfileInput) -> list[str]:
    found = [
        finding.message if finding.series is None else f"{finding.series}: {finding.message}"
        for finding in limited(all_findings(source))
        if finding.severity != "info"
    ]
    return [redact(text)[:_WARNING_LENGTH] for text in dict.fromkeys([*source.warnings, *found])]


def _described(manifest: DatasetManifest) -> str:
    return f"a dataset of {manifest.rows} rows and {len(manifest.columns)} columns, {manifest.digest}"


def _result(store: ArtifactStore, finished: FinishedDataset) -> TrainingResult:
    """Return the result. The same dataset always has the same result, also if an earlier attempt made it."""
    manifest = finished.manifest
    return TrainingResult(
        outcome="Succeeded",
        made="Dataset",
        message=_described(manifest),
        artifact=Artifact(
            uri=store.address(finished.folder), manifest_sha256=finished.manifest_sha256, size_bytes=manifest.size_bytes
        ),
        data_digest=manifest.data.digest,
        holdout_digest=manifest.data.holdout_digest,
        report=store.address(f"{finished.folder}/{manifest.report}"),
        log=store.address(ModelKeys(manifest.namespace, manifest.model).logs(manifest.job.uid)),
        device="cpu",
        warnings=manifest.warnings[:_WARNINGS] or None,
    )
