"""A registered run by its address and digest alone, as the operator names it: opened and verified."""

from dataclasses import dataclass

from trainyard_api.training import Storage
from trainyard_api.trainingjob import Artifact
from trainyard_trainer.artifacts.layout import MANIFEST
from trainyard_trainer.artifacts.manifest import Manifest, parse_manifest, sha256_of
from trainyard_trainer.artifacts.opening import open_store
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import DataError, InputMissing


@dataclass(frozen=True)
class StoredRun:
    """Where a run lies (``folder`` is its key in ``store``), and its verified manifest."""

    store: ArtifactStore
    folder: str
    manifest: Manifest


def open_run(artifact: Artifact, storage: Storage, env: Environment) -> StoredRun:
    """Read the manifest of a run and see that it is the one that was registered.

    Parameters
    ----------
    storage
        That of the job: server, region and credentials hold for the run's address too.

    Raises
    ------
    InputMissing
        If the manifest is gone.
    DataError
        If it is not the one with this digest, or cannot be read.
    TrainerError
        Whatever else the storage refuses with.
    """
    base, _, folder = artifact.uri.rstrip("/").rpartition("/")
    store = open_store(storage.model_copy(update={"uri": base}), env)
    address = store.address(f"{folder}/{MANIFEST}")
    body = store.get(f"{folder}/{MANIFEST}")
    if body is None:
        raise InputMissing(f"{address} is gone; restore it")
    if sha256_of(body) != artifact.manifest_sha256.removeprefix("sha256:"):
        raise DataError(f"{address} is not what was registered, it was changed since; restore it")
    return StoredRun(store, folder, parse_manifest(body, address))
