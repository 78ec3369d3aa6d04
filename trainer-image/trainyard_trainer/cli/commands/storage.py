"""The storage of a command: an address as in ``storage.uri``, or a folder on this machine."""

import argparse
import os
from pathlib import Path

from trainyard_api.pod import SecretRef
from trainyard_api.training import Storage
from trainyard_trainer.artifacts.opening import open_store
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import ConfigError, InputMissing


def storage_of(options: argparse.Namespace) -> Storage:
    """Return the storage. Raises ConfigError if the address is not that of a storage."""
    uri: str = options.uri
    if "://" not in uri:
        uri = f"file://{Path(uri).absolute()}"
    try:
        return Storage(uri=uri, endpoint=options.endpoint, region=options.region)
    except ValueError as error:
        raise ConfigError(
            f"{uri} is not the address of a storage: write s3://bucket/prefix, pvc://claim/path or a folder"
        ) from error


def open_location(storage: Storage) -> ArtifactStore:
    """Open the storage with credentials from the environment, as a trainer's pod does. Raises TrainerError."""
    if storage.uri.startswith("file://") and not Path(storage.uri.removeprefix("file://")).is_dir():
        raise InputMissing(f"{storage.uri} is not a folder: give the folder of the storage, or of a copy")
    return open_store(storage, Environment.from_environ(os.environ))


def seen_from_cluster(storage: Storage, uri: str | None, secret: str | None) -> Storage:
    """Return how a cluster reaches a storage.

    Raises
    ------
    ConfigError
        If the storage is a folder of this machine and no ``uri`` is given, so no cluster can reach it.
    """
    seen = uri or storage.uri
    if not seen.startswith(("s3://", "pvc://")):
        raise ConfigError(
            f"a cluster cannot reach {seen}: give the address of these files in the cluster with --as, "
            "s3://... or pvc://..."
        )
    return storage.model_copy(update={"uri": seen, "secret_ref": None if secret is None else SecretRef(name=secret)})
