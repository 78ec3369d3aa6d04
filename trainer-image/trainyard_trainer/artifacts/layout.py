"""The keys of one model in a store, as in DESIGN section 6."""

from dataclasses import dataclass
from typing import Final

MANIFEST: Final = "manifest.json"
STARTED: Final = "started.json"
CHECKPOINTS: Final = "checkpoints"
JUDGED: Final = "judged"
"""The folder of the judged model in a run, which is fitted without the held-out rows. Its files have the same names."""
VERSION_DIGITS: Final = 8
REMOVED: Final = "removed.json"
"""An object next to the claim of a version. It shows that the files were removed on purpose."""

FORECAST: Final = "forecast.parquet"
FORECAST_TEXT: Final = "forecast.csv"
BACKTEST: Final = "backtest.parquet"
PREDICTIONS: Final = frozenset({FORECAST, FORECAST_TEXT, BACKTEST})
"""Files of a run with predictions. For many series they are large, and a server does not need them."""


@dataclass(frozen=True)
class ModelKeys:
    """Keys of the runs and versions of one model of one namespace."""

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
        """Return the key that claims a number when it is created."""
        return f"{self.versions}/{number:0{VERSION_DIGITS}d}/version.json"

    def reservation(self, number: int) -> str:
        """Return the key that reserves a number for one job when it is created, before there is a run."""
        return f"{self.versions}/{number:0{VERSION_DIGITS}d}/reserved.json"

    def removed(self, number: int) -> str:
        """Return the key that marks the run of a version as removed. The number stays claimed."""
        return f"{self.versions}/{number:0{VERSION_DIGITS}d}/{REMOVED}"

    def compared(self, number: int) -> str:
        """Return the key of a later comparison of a version with the champion, if there was one."""
        return f"{self.versions}/{number:0{VERSION_DIGITS}d}/comparison.json"

    @property
    def jobs(self) -> str:
        """The folder with one folder for the runs of each TrainingJob."""
        return f"{self.base}/runs"

    def runs(self, uid: str) -> str:
        """Return the folder of all runs of one TrainingJob."""
        return f"{self.jobs}/{uid}"

    def run(self, uid: str, folder: str) -> str:
        """Return the folder of one run."""
        return f"{self.runs(uid)}/{folder}"

    def checkpoints(self, uid: str) -> str:
        """Return the folder of the checkpoints of one TrainingJob. It is next to its runs."""
        return self.run(uid, CHECKPOINTS)

    def logs(self, uid: str) -> str:
        """Return the folder of the logs of one TrainingJob's pods."""
        return f"{self.base}/logs/{uid}"

    def intent(self, uid: str, ordinal: int) -> str:
        """Return the key of a job's n-th intent for a number: ``by-run/<uid>.json``, then ``by-run/<uid>.2.json``."""
        suffix = "" if ordinal == 1 else f".{ordinal}"
        return f"{self.base}/by-run/{uid}{suffix}.json"
