"""Shared by the tests of upkeep: runs of a model in a store, and the Kubernetes objects that refer to them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.unit.trainer.artifacts.runs import KEYS, manifest
from trainyard_api.training import Gate, Objective, Storage
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.manifest import Manifest, VersionRequest
from trainyard_trainer.artifacts.runs import begin_run, finish_run, upload_files
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.artifacts.versions import VersionRecord, claim_version, reserve_version

STORAGE = Storage(uri="s3://models/all", endpoint="http://store:9000")
REQUEST = VersionRequest(
    objective=Objective(metric="mae", goal="Minimize"), gates=[Gate(metric="mae", op="<", value=3)], storage=STORAGE
)
LATER = timedelta(days=1)


def tomorrow() -> datetime:
    """Return a time after everything that a test has written."""
    return datetime.now(UTC) + LATER


def train(
    store: ArtifactStore, uid: str, output: Path, keys: ModelKeys = KEYS, request: VersionRequest | None = REQUEST
) -> VersionRecord:
    """Write a version as a trainer does."""
    folder = begin_run(store, keys, uid, 1)
    entries = upload_files(store, folder, output, ["model.txt", "report.html"])
    number = reserve_version(store, keys, uid)
    more = {
        "namespace": keys.namespace,
        "model": keys.model,
        "version": number,
        "asked": request,
        "log": keys.logs(uid),
    }
    body: Manifest = manifest(uid, 1, entries).model_copy(update=more)
    store.replace(f"{keys.logs(uid)}/began-attempt-1-train.jsonl", b'{"seq":1}\n')
    return claim_version(store, keys, uid, finish_run(store, folder, body))


def version(record: VersionRecord, keys: ModelKeys = KEYS, base: str = "s3://models/all") -> dict[str, Any]:
    """Return the ModelVersion of a registered version."""
    return {
        "kind": "ModelVersion",
        "metadata": {"name": f"{keys.model}-v{record.version}", "namespace": keys.namespace},
        "spec": {
            "model": keys.model,
            "version": record.version,
            "artifact": {"uri": f"{base}/{record.run}", "manifestSha256": record.manifest_sha256, "sizeBytes": 1},
        },
    }


def job(uid: str, phase: str | None, namespace: str = KEYS.namespace) -> dict[str, Any]:
    """Return a TrainingJob."""
    status = {} if phase is None else {"status": {"phase": phase}}
    return {"kind": "TrainingJob", "metadata": {"name": f"job-{uid}", "namespace": namespace, "uid": uid}, **status}


def keys_of(store: FolderStore, prefix: str = KEYS.base) -> set[str]:
    """Return all keys below a prefix."""
    return {each.key for each in store.walk(prefix)}
