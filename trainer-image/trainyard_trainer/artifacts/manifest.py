"""The manifest of a run: every file with its digest, and the description of the model. It is written last.

Its bytes are canonical JSON (sorted keys, no spaces), so its own SHA-256 covers all files that it lists.
"""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, ValidationError

from trainyard_api.base import Digest
from trainyard_api.data import Data
from trainyard_api.metric_goals import DATA
from trainyard_api.modelversion import Comparison, Signature
from trainyard_api.training import Forecast, Gate, Objective, Storage
from trainyard_api.trainingjob import SeriesCount
from trainyard_api.wire import WireModel
from trainyard_trainer.artifacts.layout import JUDGED, PREDICTIONS
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.errors import DataError

_CHUNK: Final = 1024 * 1024


def _inside(path: str) -> str:
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise ValueError("a file of a run must lie inside the run's folder")
    return path


class FileEntry(WireModel):
    """One file of a run. ``path`` is relative to the folder of the run."""

    path: Annotated[str, Field(min_length=1), AfterValidator(_inside)]
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class JobInfo(WireModel):
    """The TrainingJob and the attempt that trained."""

    name: str
    uid: str
    attempt: int


class DataInfo(WireModel):
    """The training data. ``uri`` has no credentials."""

    uri: str
    rows: int
    size_bytes: int
    digest: Digest
    holdout_digest: Digest


class SplitInfo(WireModel):
    """The rule of the split. For a split by time, also the last training time of each model.

    ``columns`` are the hashed columns, or the time column. For forecasts, ``judged_until`` and ``final_until`` are the
    newest of all series. The files of the model have them for each series.
    """

    strategy: Literal["Time", "Group", "Stratified", "Random"]
    seed: int
    test_fraction: float
    validation_fraction: float
    columns: list[str]
    judged_until: str | None = None
    final_until: str | None = None


class Frame(WireModel):
    """A small table as JSON. Times are in ISO 8601, missing values are null."""

    columns: list[str]
    rows: list[list[Any]]


class GoldenRows(WireModel):
    """Inputs, and the outputs of the saved model for them, within ``tolerance``."""

    inputs: Frame
    outputs: Frame
    tolerance: float
    max_difference: float


class Latency(WireModel):
    """Latency of the prediction of one row, in milliseconds, over a number of calls."""

    p50_ms: float
    p95_ms: float
    calls: int


class Measurements(WireModel):
    """The cost of predictions of the saved model, on the machine that trained it.

    It does not describe the model itself.

    ``size_bytes`` is the size of the final model's files, ``judged_bytes`` that of the judged model. ``memory_bytes``
    is the growth of resident memory when the model was loaded and predicted the golden rows. It is missing if unknown.
    """

    size_bytes: int
    judged_bytes: int | None = None
    memory_bytes: int | None = None
    latency: Latency | None = None
    onnx_max_difference: float | None = None


class VersionRequest(WireModel):
    """The requests of the TrainingJob for its version, and how the artifact is reached.

    The ModelVersion has them too.
    """

    objective: Objective | None = None
    gates: list[Gate] | None = None
    storage: Storage | None = None
    data: Data | None = None
    """The source of the data and the roles of its columns. Missing in runs of older releases."""
    forecast: Forecast | None = None


class ObjectiveValue(WireModel):
    """The metric that ranks the model."""

    metric: str
    value: float


class Manifest(WireModel):
    """The description of one finished run."""

    schema_version: Literal[1] = 1
    namespace: str
    model: str
    version: int | None = None
    """The version number that was reserved for the run.

    Manifests of older releases have none; they claimed one afterwards.
    """
    job: JobInfo
    created_at: str
    image: str = ""
    framework: str
    task: str
    formats: list[str]
    files: list[FileEntry]
    report: str
    forecast: str | None = None
    """The forecast file of a model of series. Missing in runs of older releases."""
    log: str | None = None
    """The folder of the job's logs, below the address of the storage. Missing in runs of older releases."""
    libraries: dict[str, str]
    parameters: dict[str, Any]
    signature: Signature | None = None
    time_form: str | None = None
    """The format of the times that the trainer has read, as for ``data.timeFormat``."""
    positive_class: str | None = None
    """Of two classes, the one that precision, recall, F1, the curves and the threshold refer to."""
    baseline: str | None = None
    """The naive model of the metrics ``baseline_*``."""
    metrics: dict[str, float]
    objective: ObjectiveValue
    golden: GoldenRows
    data: DataInfo
    split: SplitInfo | None = None
    """Missing in manifests of older releases and of user code."""
    comparison: Comparison | None = None
    asked: VersionRequest | None = None
    """Missing in runs of older releases."""
    series: SeriesCount | None = None
    device: str
    measurements: Measurements | None = None
    content_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Digest of the training result, see ``content_digest``. Missing in manifests of older releases."""
    warnings: list[str] = Field(default_factory=list)

    @property
    def served(self) -> list[FileEntry]:
        """The files that a server needs: all except those of the judged model, and predictions."""
        return [
            entry
            for entry in self.files
            if PurePosixPath(entry.path).parts[0] != JUDGED and entry.path not in PREDICTIONS
        ]

    @property
    def size_bytes(self) -> int:
        """Total size of all files."""
        return sum(entry.size for entry in self.files)

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return canonical_json(self.model_dump(mode="json", by_alias=True, exclude_none=True))


def parse_manifest(body: bytes, address: str) -> Manifest:
    """Parse a manifest. Raises DataError if it is invalid."""
    try:
        return Manifest.model_validate_json(body, extra="ignore")  # ignore fields of a later release, also nested ones
    except ValidationError as error:
        raise DataError(
            f"{address} is not a manifest of this release: {error.errors()[0]['msg']}; create a new TrainingJob"
        ) from error


def canonical_json(value: Any) -> bytes:
    """Return the canonical JSON of a value, which is used for digests."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def content_digest(manifest: Manifest, files: Collection[str]) -> str:
    """Return the digest of the training result. It is equal for a run without interruption and a resumed one.

    It covers the listed files, parameters, metrics, golden rows and data. It does not cover time, location, attempt and
    speed. It also ignores comparisons of the data, because another version may be served when a training is resumed.
    """
    decided = {
        "files": {entry.path: entry.sha256 for entry in manifest.files if entry.path in files},
        "golden": {"inputs": manifest.golden.inputs.model_dump(), "outputs": manifest.golden.outputs.model_dump()},
        **manifest.model_dump(
            mode="json",
            include={"framework", "task", "parameters", "objective", "series"},
        ),
        "metrics": {name: value for name, value in manifest.metrics.items() if not name.startswith(DATA)},
        "data": [manifest.data.digest, manifest.data.holdout_digest, manifest.data.rows],
    }
    return sha256_of(canonical_json(decided))


def sha256_of(body: bytes) -> str:
    """Return the hex digest of a small object."""
    return hashlib.sha256(body).hexdigest()


def file_entry(folder: Path, path: str) -> FileEntry:
    """Return the entry of a file below ``folder``. The file is read once, in pieces."""
    digest = hashlib.sha256()
    size = 0
    with (folder / path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(path=path, size=size, sha256=digest.hexdigest())


def fetch_file(store: ArtifactStore, run: str, entry: FileEntry, folder: Path) -> Path:
    """Download one file of a run and verify it, before anything parses it.

    Raises
    ------
    DataError
        If size or digest differ from the manifest, so the object was changed after it was registered.
    """
    target = folder / entry.path
    target.parent.mkdir(parents=True, exist_ok=True)
    key = f"{run}/{entry.path}"
    store.download(key, target)
    found = file_entry(folder, entry.path)
    if found != entry:
        target.unlink()
        raise DataError(
            f"{store.address(key)} is not the file of the manifest: expected {entry.size} bytes with sha256 "
            f"{entry.sha256}, found {found.size} with {found.sha256}; it was changed after registration, do not use it"
        )
    return target
