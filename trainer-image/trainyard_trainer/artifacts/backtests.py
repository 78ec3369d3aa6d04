"""Backtests of ``mode: Backtest``: folders like those of runs, complete once the manifest is there; never versions."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationError

from trainyard_api.wire import WireModel
from trainyard_trainer.artifacts.layout import MANIFEST, ModelKeys
from trainyard_trainer.artifacts.manifest import DataInfo, FileEntry, JobInfo, canonical_json, sha256_of
from trainyard_trainer.artifacts.runs import find_manifest, put_manifest
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.errors import DataError


class BacktestKeys(ModelKeys):
    """Where the backtests of one model lie: beside its runs, as nobody who looks for models wants them."""

    def runs(self, uid: str) -> str:
        """Return the folder of all backtests of one TrainingJob."""
        return f"{self.base}/backtests/{uid}"


class BacktestManifest(WireModel):
    """All that is known of one backtest.

    Attributes
    ----------
    kind
        Tells it from the manifest of a run.
    windows, step
        How many cutoffs there are, and how many steps lie between two of them.
    rows
        Of the table.
    parameters
        Those of the specification; what a search found differs by window.
    data
        What was judged.
    """

    schema_version: Literal[1] = 1
    kind: Literal["Backtest"] = "Backtest"
    namespace: str
    model: str
    job: JobInfo
    created_at: str
    image: str = ""
    framework: str
    task: str
    files: list[FileEntry]
    table: str
    report: str
    rows: int
    windows: int
    step: int
    horizon: int
    parameters: dict[str, Any]
    metrics: dict[str, float]
    data: DataInfo
    series_total: int
    libraries: dict[str, str]
    warnings: list[str] = Field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """The size of all files together."""
        return sum(entry.size for entry in self.files)


@dataclass(frozen=True)
class FinishedBacktest:
    """A backtest whose manifest is written. ``folder`` is its key."""

    folder: str
    manifest: BacktestManifest
    manifest_sha256: str


def finish_backtest(store: ArtifactStore, folder: str, manifest: BacktestManifest) -> FinishedBacktest:
    """Write the manifest: from here on the backtest exists. Raises TrainerError."""
    body = canonical_json(manifest.model_dump(mode="json", by_alias=True, exclude_none=True))
    put_manifest(store, folder, body)
    return _read(store, folder, body)


def find_backtest(store: ArtifactStore, keys: BacktestKeys, uid: str) -> FinishedBacktest | None:
    """Return what an earlier attempt of this job has finished. Raises DataError if its manifest cannot be read."""
    found = find_manifest(store, keys, uid)
    return None if found is None else _read(store, *found)


def _read(store: ArtifactStore, folder: str, body: bytes) -> FinishedBacktest:
    try:
        manifest = BacktestManifest.model_validate_json(body)
    except ValidationError as error:
        raise DataError(
            f"{store.address(f'{folder}/{MANIFEST}')} is not the manifest of a backtest of this release: "
            f"{error.errors()[0]['msg']}; create a new TrainingJob"
        ) from error
    return FinishedBacktest(folder, manifest, sha256_of(body))
