"""The artifact of the champion: find, verify and load it, or report why it cannot predict."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from trainyard_api.modelversion import ComparisonReason
from trainyard_api.training import OWN_CODE
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import ChampionRef, TrainerConfig
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.artifacts.manifest import Manifest, fetch_file
from trainyard_trainer.artifacts.stored_run import StoredRun, open_run
from trainyard_trainer.environment import Environment, memory_left
from trainyard_trainer.errors import DataError, InputMissing, TrainerError
from trainyard_trainer.frameworks.base import Framework
from trainyard_trainer.frameworks.registry import framework_named

Which = Literal["Judged", "Final"]

_MARGIN: Final = 1.2
"""Safety factor for the measured memory, because measurements differ between machines."""


class PredictionError(Exception):
    """The champion cannot predict. It has the reason for the gates, and a message."""

    def __init__(self, reason: ComparisonReason, message: str) -> None:
        super().__init__(message)
        self.reason: ComparisonReason = reason


@dataclass(frozen=True)
class Champion:
    """A registered version with a verified manifest. Its files are fetched when it must predict.

    It is the version that is served. In a new comparison of a finished run, it is also the judged version.
    """

    ref: ChampionRef
    run: StoredRun

    @property
    def manifest(self) -> Manifest:
        """The manifest of the version."""
        return self.run.manifest

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table that the model reads, and those that show which rows it was trained on."""
        signature, split = self.manifest.signature, self.manifest.split
        names = [column.name for column in signature.inputs] if signature is not None else []
        names += self.manifest.golden.inputs.columns
        return tuple(dict.fromkeys([*names, *(split.columns if split is not None else ())]))

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that identify a row in its split. Empty if another rule selected the held-out rows."""
        split = self.manifest.split
        return tuple(split.columns) if split is not None and split.strategy in {"Random", "Stratified"} else ()

    @property
    def framework(self) -> Framework:
        """The framework that loads the model and predicts. Raises PredictionError if this image does not have it."""
        try:
            return framework_named(cast("Any", self.manifest.framework), forecast=self.manifest.task == "Forecast")
        except (TrainerError, ImportError) as error:
            raise PredictionError("ChampionNotServable", f"this image cannot load it: {error}") from error

    def load(self, which: Which, work: Path) -> Any:
        """Fetch one of its two models, verify every file, and read it.

        Raises
        ------
        PredictionError
            If a file is missing or changed, the storage is unavailable, or there is not enough memory.
        """
        prefix = f"{JUDGED}/" if which == "Judged" else ""
        entries = [entry for entry in self.manifest.files if entry.path.startswith(f"{JUDGED}/") == (which == "Judged")]
        if not entries:
            raise PredictionError(
                "ChampionKnowsRows",
                "it was trained by a release that does not store the judged model; versions of this release "
                "have one, so later comparisons are possible",
            )
        self._require_memory()
        folder = work / f"version-{self.ref.version}-{which.lower()}"
        try:
            for entry in entries:
                fetch_file(self.run.store, self.run.folder, entry, folder)
            return self.framework.load(folder / prefix)
        except TrainerError as error:
            raise _as_reason(error) from error
        except Exception as error:
            raise PredictionError("ChampionUnreadable", f"its files cannot be read: {error}") from error

    def _require_memory(self) -> None:
        measured = self.manifest.measurements
        needed = None if measured is None else max(measured.memory_bytes or 0, measured.size_bytes)
        left = memory_left()
        if needed is not None and left is not None and needed * _MARGIN > left:
            raise PredictionError(
                "ChampionTooLarge",
                f"it needs {needed // 2**20} MiB of memory and the pod has {left // 2**20} MiB left; raise "
                "spec.resources.limits.memory",
            )


def find_champion(config: TrainerConfig, env: Environment) -> Champion:
    """Read and verify the manifest of the version that is served.

    Parameters
    ----------
    config
        Must have a champion and a storage.

    Raises
    ------
    PredictionError
        If it is missing, changed or unavailable, has another task, or was made by the user's own code.
    """
    ref, storage = config.champion, config.spec.storage
    if ref is None or storage is None:
        raise AssertionError("only a job with a champion and a storage looks for it")
    try:
        run = open_run(ref.artifact, storage, env)
    except TrainerError as error:
        raise _as_reason(error) from error
    _require_same_task(run.manifest, config.spec)
    return Champion(ref, run)


def _require_same_task(manifest: Manifest, spec: TrainingJobSpec) -> None:
    if manifest.framework in OWN_CODE:
        raise PredictionError(
            "ChampionNotServable",
            f"it was trained by framework {manifest.framework}, and only the user's own code can load it",
        )
    if manifest.task != spec.task:
        raise PredictionError(
            "ChampionIncompatible", f"its task is {manifest.task}, but the task of the job is {spec.task}"
        )


def _as_reason(error: TrainerError) -> PredictionError:
    is_damaged = isinstance(error, DataError | InputMissing)
    return PredictionError("ChampionUnreadable" if is_damaged else "ChampionUnavailable", str(error))
