"""Runs: a folder with the files of one trainer process, complete after its manifest is written."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from trainyard_trainer.artifacts.layout import CHECKPOINTS, MANIFEST, STARTED, ModelKeys
from trainyard_trainer.artifacts.manifest import FileEntry, Manifest, file_entry, parse_manifest, sha256_of
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.errors import Unsupported, UpstreamUnavailable


@dataclass(frozen=True)
class FinishedRun:
    """A run with a manifest. ``folder`` is its key."""

    folder: str
    manifest: Manifest
    manifest_sha256: str


def begin_run(store: ArtifactStore, keys: ModelKeys, uid: str, attempt: int) -> str:
    """Claim a new folder for a run and return its key.

    The folder is ``<attempt>``. If a pod replaces a killed one in the same attempt, its folder is ``<attempt>-2``. So
    two processes never write the same key. The folder is claimed before the training. This also checks in seconds that
    the storage is available, writable, and supports conditional writes.

    Raises
    ------
    Unsupported
        If the server ignores ``If-None-Match``: two jobs could then claim the same version.
    TrainerError
        For any other error of the storage.
    """
    marker = json.dumps({"startedAt": datetime.now(UTC).isoformat(timespec="milliseconds")}).encode()
    for ordinal in count(1):
        name = str(attempt) if ordinal == 1 else f"{attempt}-{ordinal}"
        folder = keys.run(uid, name)
        if not store.put_if_absent(f"{folder}/{STARTED}", marker):
            continue
        if store.put_if_absent(f"{folder}/{STARTED}", marker):
            raise Unsupported(
                f"the server of {store.address('')} ignores If-None-Match, so version numbers would not be safe; "
                "use a server with conditional writes"
            )
        return folder
    raise AssertionError("unreachable")


def find_finished(store: ArtifactStore, keys: ModelKeys, uid: str) -> FinishedRun | None:
    """Return a complete run of this job, of any attempt. It only needs a version and is not trained again."""
    found = find_manifest(store, keys, uid)
    return None if found is None else read_run(store, *found)


def find_manifest(store: ArtifactStore, keys: ModelKeys, uid: str) -> tuple[str, bytes] | None:
    """Return the folder and the manifest that any attempt of this job has finished."""
    for name in store.children(keys.runs(uid)):
        if name == CHECKPOINTS:
            continue
        folder = keys.run(uid, name)
        body = store.get(f"{folder}/{MANIFEST}")
        if body is not None:
            return folder, body
    return None


def read_run(store: ArtifactStore, folder: str, body: bytes) -> FinishedRun:
    """Parse the manifest of a run."""
    manifest = parse_manifest(body, store.address(f"{folder}/{MANIFEST}"))
    return FinishedRun(folder, manifest, sha256_of(body))


def upload_files(store: ArtifactStore, folder: str, output: Path, paths: list[str]) -> list[FileEntry]:
    """Upload all files of a run, check that each is complete, and return their manifest entries."""
    entries = [file_entry(output, path) for path in paths]
    for entry in entries:
        store.put_file(f"{folder}/{entry.path}", output / entry.path)
    for entry in entries:
        size = store.size(f"{folder}/{entry.path}")
        if size != entry.size:
            raise UpstreamUnavailable(
                f"{store.address(f'{folder}/{entry.path}')} has {size} bytes after writing {entry.size}: the "
                "storage lost data; check the storage"
            )
    return entries


def finish_run(store: ArtifactStore, folder: str, manifest: Manifest) -> FinishedRun:
    """Write the manifest, which makes the run complete. Return the run in the form that later readers get."""
    body = manifest.encode()
    put_manifest(store, folder, body)
    return read_run(store, folder, body)


def put_manifest(store: ArtifactStore, folder: str, body: bytes) -> None:
    """Write the manifest, which makes the folder of a run or of a dataset complete."""
    key = f"{folder}/{MANIFEST}"
    # A rejected put is fine if the content is equal: the response to the first put may have been lost, and then
    # retried.
    if not store.put_if_absent(key, body) and store.get(key) != body:
        raise FileExistsError(
            f"{store.address(key)} was written by another process; do not write to the folder of a running job"
        )
