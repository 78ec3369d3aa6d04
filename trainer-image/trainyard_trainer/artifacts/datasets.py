"""Datasets of ``mode: Prepare``: folders like those of runs, complete once the manifest is there; never versions."""

from typing import Literal

from pydantic import Field

from trainyard_api.base import Digest
from trainyard_api.wire import WireModel
from trainyard_trainer.artifacts.finished import Finished
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.manifest import DataInfo, FileEntry, JobInfo

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


FinishedDataset = Finished[DatasetManifest]
