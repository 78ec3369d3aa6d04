"""Shared by the tests of artifacts: a small run, and a store that fails before or after one of its writes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.manifest import (
    DataInfo,
    FileEntry,
    Frame,
    GoldenRows,
    JobInfo,
    Manifest,
    ObjectiveValue,
)
from trainyard_trainer.artifacts.runs import begin_run, find_finished, finish_run, upload_files
from trainyard_trainer.artifacts.store import ArtifactStore, Stored
from trainyard_trainer.artifacts.versions import VersionRecord, claim_version, find_version, run_of

KEYS = ModelKeys("shop", "demand")
DIGEST = "sha256:" + "0" * 64


class Killed(BaseException):
    """The process was killed. No code may catch this."""


class KilledStore:
    """Delegates all calls. Write number ``at`` (from 0) kills the process, before or after it is done."""

    def __init__(self, inner: ArtifactStore, at: int, *, after: bool) -> None:
        self._inner, self._at, self._after = inner, at, after
        self.writes = 0

    @contextmanager
    def _write(self) -> Iterator[None]:
        number, self.writes = self.writes, self.writes + 1
        if number == self._at and not self._after:
            raise Killed
        yield
        if number == self._at:
            raise Killed

    def put_file(self, key: str, source: Path) -> None:
        with self._write():
            self._inner.put_file(key, source)

    def put_if_absent(self, key: str, body: bytes) -> bool:
        with self._write():
            return self._inner.put_if_absent(key, body)

    def replace(self, key: str, body: bytes) -> None:
        self._inner.replace(key, body)

    def remove(self, keys: Sequence[str]) -> None:
        self._inner.remove(keys)

    def address(self, key: str) -> str:
        return self._inner.address(key)

    def get(self, key: str) -> bytes | None:
        return self._inner.get(key)

    def download(self, key: str, target: Path) -> None:
        self._inner.download(key, target)

    def size(self, key: str) -> int | None:
        return self._inner.size(key)

    def children(self, prefix: str) -> list[str]:
        return self._inner.children(prefix)

    def walk(self, prefix: str) -> Iterator[Stored]:
        return self._inner.walk(prefix)


def manifest(uid: str, attempt: int, files: list[FileEntry]) -> Manifest:
    return Manifest(
        namespace=KEYS.namespace,
        model=KEYS.model,
        job=JobInfo(name="job", uid=uid, attempt=attempt),
        created_at="2026-11-21T07:30:00.042+00:00",
        framework="LightGBM",
        task="Regression",
        formats=["lightgbm-text"],
        files=files,
        report="report.html",
        libraries={"lightgbm": "4.6.0"},
        parameters={"num_leaves": 31},
        metrics={"mae": 1.5},
        objective=ObjectiveValue(metric="mae", value=1.5),
        golden=GoldenRows(
            inputs=Frame(columns=["a"], rows=[[1.0]]),
            outputs=Frame(columns=["prediction"], rows=[[2.0]]),
            tolerance=1e-4,
            max_difference=0.0,
        ),
        data=DataInfo(uri="s3://d/x.csv", rows=10, size_bytes=100, digest=DIGEST, holdout_digest=DIGEST),
        device="cpu",
    )


def train_and_register(store: ArtifactStore, uid: str, attempt: int, output: Path) -> VersionRecord:
    """Do the storage operations of a whole training as the pipeline does, without a model."""
    known = find_version(store, KEYS, uid)
    if known is not None:
        return known[0]
    run = find_finished(store, KEYS, uid)
    if run is None:
        folder = begin_run(store, KEYS, uid, attempt)
        entries = upload_files(store, folder, output, ["model.txt", "report.html"])
        run = finish_run(store, folder, manifest(uid, attempt, entries))
    record = claim_version(store, KEYS, uid, run)
    run_of(store, record, run)
    return record


def write_output(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.txt").write_text("tree\n" * 100)
    (folder / "report.html").write_text("<p>fine</p>")
    return folder
