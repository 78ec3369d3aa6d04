"""Checkpoints of the attempts of one job, kept in its storage until the version is claimed."""

import importlib.metadata
import json
from collections.abc import Sequence
from typing import Any, Final, Protocol
from urllib.parse import quote, unquote

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.manifest import sha256_of
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import TrainerError
from trainyard_trainer.progress.log import LOGGER

_DIGEST_LENGTH: Final = 16
_NAME_LENGTH: Final = 200
"""Maximum length of a name in a key. A file name is limited to 255 bytes."""

_DECIDING: Final = (
    *("framework", "task", "data", "forecast", "split", "threshold", "parameters", "search", "objective", "image"),
)
"""The fields of a specification that affect a result. Others, such as memory, can change between attempts."""

_LIBRARIES: Final = ("lightgbm", "mlforecast", "numpy", "optuna", "pandas", "prophet", "statsforecast", "torch")


class Checkpoints(Protocol):
    """Checkpoints of attempts of this job with the same data and specification. They outlive their pods."""

    def get(self, name: str) -> bytes | None:
        """Return the content of a checkpoint, if it exists."""
        ...

    def put(self, name: str, body: bytes) -> None:
        """Write or replace a checkpoint. Raises TrainerError if the storage fails."""
        ...

    def names(self) -> list[str]:
        """Return all names, sorted."""
        ...


class NoCheckpoints:
    """Checkpoints that are always empty and keep nothing."""

    def get(self, name: str) -> bytes | None:  # noqa: ARG002 - the protocol's
        """Return ``None``."""
        return None

    def put(self, name: str, body: bytes) -> None:
        """Do nothing."""

    def names(self) -> list[str]:
        """Return an empty list."""
        return []


class StoredCheckpoints:
    """:class:`~trainyard_trainer.artifacts.checkpoints.Checkpoints` below one folder of a store."""

    def __init__(self, store: ArtifactStore, folder: str) -> None:
        self._store, self._folder = store, folder

    def get(self, name: str) -> bytes | None:
        """Read an object."""
        return self._store.get(self._key(name))

    def put(self, name: str, body: bytes) -> None:
        """Write an object atomically."""
        self._store.replace(self._key(name), body)

    def names(self) -> list[str]:
        """List the folder."""
        return sorted(unquote(name) for name in self._store.children(self._folder))

    def _key(self, name: str) -> str:
        quoted = quote(name, safe="")
        if not 0 < len(quoted) <= _NAME_LENGTH or name.startswith("."):
            raise ValueError(f"the checkpoint name {name!r} is too long or begins with a dot: use a digest of the name")
        return f"{self._folder}/{quoted}"


def open_checkpoints(
    store: ArtifactStore, keys: ModelKeys, config: TrainerConfig, dataset: Dataset
) -> StoredCheckpoints:
    """Return the checkpoints of this job with exactly these data, specification and libraries.

    Others are not visible.
    """
    return StoredCheckpoints(store, f"{keys.checkpoints(config.uid)}/{digest_of(config, dataset)}")


def digest_of(config: TrainerConfig, dataset: Dataset) -> str:
    """Return the name of a folder that only has interchangeable results."""
    spec = config.spec.model_dump(mode="json", by_alias=True, exclude_none=True, include=set(_DECIDING))
    decides: dict[str, Any] = {
        "spec": spec,
        "data": [dataset.origin.digest, dataset.holdout_digest, dataset.rows, list(dataset.features)],
        "series": [series.name for series in dataset.series],
        "libraries": {name: _version(name) for name in ("trainyard", *_LIBRARIES)},
    }
    return sha256_of(json.dumps(decides, sort_keys=True).encode())[:_DIGEST_LENGTH]


def remove_checkpoints(store: ArtifactStore, keys: ModelKeys, uid: str) -> None:
    """Remove all checkpoints of a job. The version is registered already, so a storage error is only logged."""
    top = keys.checkpoints(uid)
    try:
        found: Sequence[str] = [
            f"{top}/{folder}/{name}" for folder in store.children(top) for name in store.children(f"{top}/{folder}")
        ]
        store.remove(found)
    except TrainerError as error:
        LOGGER.info("the checkpoints in %s could not be removed; you can delete them: %s", store.address(top), error)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
