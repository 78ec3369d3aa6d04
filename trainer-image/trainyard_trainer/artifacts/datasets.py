"""Datasets of ``mode: Prepare``: folders like those of runs, complete once the manifest is there; never versions."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, ValidationError

from trainyard_api.base import Digest
from trainyard_api.wire import WireModel
from trainyard_trainer.artifacts.layout import MANIFEST, ModelKeys
from trainyard_trainer.artifacts.manifest import DataInfo, FileEntry, JobInfo, canonical_json, sha256_of
from trainyard_trainer.artifacts.runs import find_manifest, put_manifest
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.errors import DataError

Role = Literal["time", "series", "group", "feature", "target", "split"]


class DatasetKeys(ModelKeys):
    """Where the datasets of one model lie: beside its runs, as nobody who looks for models wants them."""

    def runs(self, uid: str) -> str:
        """Return the folder of all datasets of one TrainingJob."""
        return f"{self.base}/datasets/{uid}"


class DatasetColumn(WireModel):
    """One column of the table; ``type`` is Arrow's name for it."""

    name: str
    role: Role
    type: str


class DatasetManifest(WireModel):
    """All that is known of one prepared dataset.

    Attributes
    ----------
    kind
        Tells it from the manifest of a run.
    digest
        Of the table's content: names, order of rows, values; whatever library wrote the file.
    data
        What it was made from.
    """

    schema_version: Literal[1] = 1
    kind: Literal["Dataset"] = "Dataset"
    namespace: str
    model: str
    job: JobInfo
    created_at: str
    image: str = ""
    task: str
    files: list[FileEntry]
    table: str
    report: str
    rows: int
    columns: list[DatasetColumn]
    digest: Digest
    data: DataInfo
    series_total: int = 0
    libraries: dict[str, str]
    warnings: list[str] = Field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """The size of all files together."""
        return sum(entry.size for entry in self.files)


@dataclass(frozen=True)
class FinishedDataset:
    """A dataset whose manifest is written. ``folder`` is its key."""

    folder: str
    manifest: DatasetManifest
    manifest_sha256: str


def finish_dataset(store: ArtifactStore, folder: str, manifest: DatasetManifest) -> FinishedDataset:
    """Write the manifest: from here on the dataset exists. Raises TrainerError."""
    body = canonical_json(manifest.model_dump(mode="json", by_alias=True, exclude_none=True))
    put_manifest(store, folder, body)
    return _read(store, folder, body)


def find_dataset(store: ArtifactStore, keys: DatasetKeys, uid: str) -> FinishedDataset | None:
    """Return what an earlier attempt of this job has finished. Raises DataError if its manifest cannot be read."""
    found = find_manifest(store, keys, uid)
    return None if found is None else _read(store, *found)


def _read(store: ArtifactStore, folder: str, body: bytes) -> FinishedDataset:
    try:
        manifest = DatasetManifest.model_validate_json(body)
    except ValidationError as error:
        raise DataError(
            f"{store.address(f'{folder}/{MANIFEST}')} is not the manifest of a dataset of this release: "
            f"{error.errors()[0]['msg']}; create a new TrainingJob"
        ) from error
    return FinishedDataset(folder, manifest, sha256_of(body))
