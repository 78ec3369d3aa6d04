"""The keys of one model in a store, as DESIGN section 6 draws them."""

from dataclasses import dataclass
from typing import Final

MANIFEST: Final = "manifest.json"
STARTED: Final = "started.json"
CHECKPOINTS: Final = "checkpoints"
JUDGED: Final = "judged"
"""In a run, the folder of the judged model, fitted without the held-out rows; its files are named as the final ones."""
VERSION_DIGITS: Final = 8
REMOVED: Final = "removed.json"
"""Beside the claim of a version: its files were removed on purpose."""

FORECAST: Final = "forecast.parquet"
FORECAST_TEXT: Final = "forecast.csv"
BACKTEST: Final = "backtest.parquet"
PREDICTIONS: Final = frozenset({FORECAST, FORECAST_TEXT, BACKTEST})
"""Files of a run that hold what a model has said: of many series they are large, and nobody needs them to ask it."""


@dataclass(frozen=True)
class ModelKeys:
    """Where the runs and versions of one model of one namespace lie."""

    namespace: str
    model: str

    @property
    def base(self) -> str:
        """``<namespace>/<model>``."""
        return f"{self.namespace}/{self.model}"

    @property
    def versions(self) -> str:
        """The folder of all version numbers."""
        return f"{self.base}/versions"

    def version(self, number: int) -> str:
        """Return the key whose creation claims a number."""
        return f"{self.versions}/{number:0{VERSION_DIGITS}d}/version.json"

    def reservation(self, number: int) -> str:
        """Return the key whose creation keeps a number for one job, before there is anything to claim it for."""
        return f"{self.versions}/{number:0{VERSION_DIGITS}d}/reserved.json"

    def removed(self, number: int) -> str:
        """Return the key that says that the run of a version was removed, and that its number stays taken."""
        return f"{self.versions}/{number:0{VERSION_DIGITS}d}/{REMOVED}"

    def compared(self, number: int) -> str:
        """Return the key of a later comparison of a version with the champion, where there was one."""
        return f"{self.versions}/{number:0{VERSION_DIGITS}d}/comparison.json"

    @property
    def jobs(self) -> str:
        """The folder with a folder for each TrainingJob's runs."""
        return f"{self.base}/runs"

    def runs(self, uid: str) -> str:
        """Return the folder of all runs of one TrainingJob."""
        return f"{self.jobs}/{uid}"

    def run(self, uid: str, folder: str) -> str:
        """Return the folder of one run."""
        return f"{self.runs(uid)}/{folder}"

    def checkpoints(self, uid: str) -> str:
        """Return the folder of what attempts of one TrainingJob have finished; it stands among its runs."""
        return self.run(uid, CHECKPOINTS)

    def logs(self, uid: str) -> str:
        """Return the folder of what the pods of one TrainingJob have logged."""
        return f"{self.base}/logs/{uid}"

    def intent(self, uid: str, ordinal: int) -> str:
        """Return the key of a job's n-th choice of a number: ``by-run/<uid>.json``, then ``by-run/<uid>.2.json``."""
        suffix = "" if ordinal == 1 else f".{ordinal}"
        return f"{self.base}/by-run/{uid}{suffix}.json"
