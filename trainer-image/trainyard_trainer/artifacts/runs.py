"""Runs: a folder of files that one trainer process fills, complete once its manifest is there."""

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
    """A run whose manifest is written. ``folder`` is its key."""

    folder: str
    manifest: Manifest
    manifest_sha256: str


def begin_run(store: ArtifactStore, keys: ModelKeys, uid: str, attempt: int) -> str:
    """Take a run folder of one's own and return its key.

    The folder is ``<attempt>``; a pod that replaces a killed one inside the same attempt gets ``<attempt>-2``, so that
    no two processes ever write the same key. Called before the training: the marker is also the proof that the storage
    is there, lets us write, and honours conditional writes, found out in seconds and not after hours.

    Raises
    ------
    Unsupported
        If the server ignores ``If-None-Match``: two jobs could then claim the same version.
    TrainerError
        Whatever else the storage refuses with.
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
    """Return a complete run of this job, of any attempt: it only waits for its version and is not trained again."""
    found = find_manifest(store, keys, uid)
    return None if found is None else read_run(store, *found)


def find_manifest(store: ArtifactStore, keys: ModelKeys, uid: str) -> tuple[str, bytes] | None:
    """Return the folder and the manifest of whatever this job has finished, in any attempt."""
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
    """Write all files of a run, see that each arrived whole, and return what the manifest says of them."""
    entries = [file_entry(output, path) for path in paths]
    for entry in entries:
        store.put_file(f"{folder}/{entry.path}", output / entry.path)
    for entry in entries:
        size = store.size(f"{folder}/{entry.path}")
        if size != entry.size:
            raise UpstreamUnavailable(
                f"{store.address(f'{folder}/{entry.path}')} has {size} bytes after writing {entry.size}: "
                "the storage lost data"
            )
    return entries


def finish_run(store: ArtifactStore, folder: str, manifest: Manifest) -> FinishedRun:
    """Write the manifest: from here on the run exists. It is returned as every later reader will find it."""
    body = manifest.encode()
    put_manifest(store, folder, body)
    return read_run(store, folder, body)


def put_manifest(store: ArtifactStore, folder: str, body: bytes) -> None:
    """Write what makes a folder complete, be it of a run or of a dataset."""
    key = f"{folder}/{MANIFEST}"
    # Lost is fine if it is our own: the answer to the first put may have been lost and the client asked again.
    if not store.put_if_absent(key, body) and store.get(key) != body:
        raise FileExistsError(f"{store.address(key)} was written by someone else")
