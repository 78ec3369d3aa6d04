"""Backtests of ``mode: Backtest``: folders like those of runs, complete once the manifest is there; never versions."""

from typing import Any, Literal

from pydantic import Field

from trainyard_api.wire import WireModel
from trainyard_trainer.artifacts.finished import Finished
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.manifest import DataInfo, FileEntry, JobInfo


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


FinishedBacktest = Finished[BacktestManifest]
