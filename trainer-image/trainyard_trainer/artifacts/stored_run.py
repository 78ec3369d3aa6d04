"""Open and verify a registered run by its address and digest, as given by the operator."""

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
    """A run (``folder`` is its key in ``store``), and its verified manifest."""

    store: ArtifactStore
    folder: str
    manifest: Manifest


def open_run(artifact: Artifact, storage: Storage, env: Environment) -> StoredRun:
    """Read the manifest of a run, and check that it is the registered one.

    Parameters
    ----------
    storage
        The storage of the job. Its server, region and credentials also apply to the address of the run.

    Raises
    ------
    InputMissing
        If the manifest does not exist.
    DataError
        If it has another digest, or cannot be read.
    TrainerError
        For any other error of the storage.
    """
    base, _, folder = artifact.uri.rstrip("/").rpartition("/")
    store = open_store(storage.model_copy(update={"uri": base}), env)
    address = store.address(f"{folder}/{MANIFEST}")
    body = store.get(f"{folder}/{MANIFEST}")
    if body is None:
        raise InputMissing(f"{address} is missing; restore it")
    if sha256_of(body) != artifact.manifest_sha256.removeprefix("sha256:"):
        raise DataError(f"{address} was changed after it was registered; restore it")
    return StoredRun(store, folder, parse_manifest(body, address))
