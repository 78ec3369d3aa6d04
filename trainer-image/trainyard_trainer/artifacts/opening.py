"""Open the store of a storage address."""

from pathlib import Path

from trainyard_api.training import Storage
from trainyard_trainer.artifacts.store import MODEL_STORAGE, ArtifactStore, Naming
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import ConfigError


def open_store(storage: Storage, env: Environment, naming: Naming = MODEL_STORAGE) -> ArtifactStore:
    """Return the store of an address: ``s3://``, ``pvc://`` (a mounted claim), or ``file://`` in local runs."""
    scheme = storage.uri.partition("://")[0]
    match scheme:
        case "s3":
            from trainyard_trainer.artifacts.s3 import S3Store
            from trainyard_trainer.credentials import storage_client

            return S3Store(
                storage_client(storage, env),
                storage.uri,
                encryption=storage.server_side_encryption or "",
                kms_key=storage.kms_key_id or "",
                naming=naming,
            )
        case "pvc":
            from trainyard_trainer.artifacts.folder import FolderStore

            root = env.claim_path(storage.uri)
            claim = storage.uri.removeprefix("pvc://").split("/", 1)[0]
            return FolderStore(root, storage.uri, mount=env.claims_dir / claim, naming=naming)
        case "file":
            from trainyard_trainer.artifacts.folder import FolderStore

            return FolderStore(Path(storage.uri.removeprefix("file://")), storage.uri, naming=naming)
        case _:
            raise ConfigError(f"{naming.field} {storage.uri} must start with s3:// or pvc://")
