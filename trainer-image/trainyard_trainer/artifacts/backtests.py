"""Backtests of ``mode: Backtest``: folders like those of runs, complete after the manifest is written.

They have no version.
"""

from typing import Any, Literal

from pydantic import Field

from trainyard_api.wire import WireModel
from trainyard_trainer.artifacts.finished import Finished
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.manifest import DataInfo, FileEntry, JobInfo


class BacktestKeys(ModelKeys):
    """Keys of the backtests of one model.

    They are separate from its runs, so that readers of models do not find them.
    """

    def runs(self, uid: str) -> str:
        """Return the folder of all backtests of one TrainingJob."""
        return f"{self.base}/backtests/{uid}"


class BacktestManifest(WireModel):
    """The description of one backtest.

    Attributes
    ----------
    kind
        Distinguishes it from the manifest of a run.
    windows, step
        Number of cutoffs, and number of steps between two of them.
    rows
        Number of rows of the table.
    parameters
        Parameters of the specification. The results of a search differ by window.
    data
        The data of the backtest.
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
        """Total size of all files."""
        return sum(entry.size for entry in self.files)


FinishedBacktest = Finished[BacktestManifest]
