"""Datasets of ``mode: Prepare``: folders like those of runs, complete after the manifest is written.

They have no version.
"""

from typing import Literal

from pydantic import Field

from trainyard_api.base import Digest
from trainyard_api.wire import WireModel
from trainyard_trainer.artifacts.finished import Finished
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.manifest import DataInfo, FileEntry, JobInfo

Role = Literal["time", "series", "group", "feature", "target", "split"]


class DatasetKeys(ModelKeys):
    """Keys of the datasets of one model.

    They are separate from its runs, so that readers of models do not find them.
    """

    def runs(self, uid: str) -> str:
        """Return the folder of all datasets of one TrainingJob."""
        return f"{self.base}/datasets/{uid}"


class DatasetColumn(WireModel):
    """One column of the table. ``type`` is the name of its Arrow type."""

    name: str
    role: Role
    type: str


class DatasetManifest(WireModel):
    """The description of one prepared dataset.

    Attributes
    ----------
    kind
        Distinguishes it from the manifest of a run.
    digest
        Digest of the content of the table: names, order of rows, values. It does not depend on the library that wrote
        the file.
    data
        The source data.
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
        """Total size of all files."""
        return sum(entry.size for entry in self.files)


FinishedDataset = Finished[DatasetManifest]
