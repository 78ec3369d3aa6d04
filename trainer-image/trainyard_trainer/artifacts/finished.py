"""Results of a job other than versions: a folder like that of a run, complete after its manifest is written."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from trainyard_api.wire import WireModel
from trainyard_trainer.artifacts.layout import MANIFEST, ModelKeys
from trainyard_trainer.artifacts.manifest import canonical_json, sha256_of
from trainyard_trainer.artifacts.runs import find_manifest, put_manifest
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.errors import DataError

M = TypeVar("M", bound=WireModel)


@dataclass(frozen=True)
class Finished(Generic[M]):
    """A folder with a manifest. ``folder`` is its key."""

    folder: str
    manifest: M
    manifest_sha256: str


def finish(store: ArtifactStore, folder: str, manifest: M) -> Finished[M]:
    """Write the manifest, which makes the folder complete. Return the result in the form that later readers get.

    Raises
    ------
    TrainerError
        If the storage fails.
    """
    body = canonical_json(manifest.model_dump(mode="json", by_alias=True, exclude_none=True))
    put_manifest(store, folder, body)
    return _read(store, folder, body, type(manifest))


def find(store: ArtifactStore, keys: ModelKeys, uid: str, kind: type[M]) -> Finished[M] | None:
    """Return the finished result of an earlier attempt of a job. Raises DataError if its manifest is unreadable."""
    found = find_manifest(store, keys, uid)
    return None if found is None else _read(store, *found, kind)


def _read(store: ArtifactStore, folder: str, body: bytes, kind: type[M]) -> Finished[M]:
    try:
        manifest = kind.model_validate_json(body)
    except ValidationError as error:
        what = kind.__name__.removesuffix("Manifest").lower()
        raise DataError(
            f"{store.address(f'{folder}/{MANIFEST}')} is not the manifest of a {what} of this release: "
            f"{error.errors()[0]['msg']}; create a new TrainingJob"
        ) from error
    return Finished(folder, manifest, sha256_of(body))
