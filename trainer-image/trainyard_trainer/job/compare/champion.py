"""The champion's artifact: found, verified, and loaded; or the reason why it cannot answer."""

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
"""A model takes so many times what it was measured to take, before it is refused: measurements differ by machine."""


class PredictionError(Exception):
    """The champion cannot answer: the reason that its gates get, and a message."""

    def __init__(self, reason: ComparisonReason, message: str) -> None:
        super().__init__(message)
        self.reason: ComparisonReason = reason


@dataclass(frozen=True)
class Champion:
    """A registered version, its manifest read and verified; its files are fetched when it is to answer.

    It is the one that serves, or, where a model is compared again, the one that is judged.
    """

    ref: ChampionRef
    run: StoredRun

    @property
    def manifest(self) -> Manifest:
        """Everything that is known of it."""
        return self.run.manifest

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table that it reads, and those that say which rows it has learned."""
        signature, split = self.manifest.signature, self.manifest.split
        names = [column.name for column in signature.inputs] if signature is not None else []
        names += self.manifest.golden.inputs.columns
        return tuple(dict.fromkeys([*names, *(split.columns if split is not None else ())]))

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns whose values told rows apart in its split; nothing where another rule held rows out."""
        split = self.manifest.split
        return tuple(split.columns) if split is not None and split.strategy in {"Random", "Stratified"} else ()

    @property
    def framework(self) -> Framework:
        """What loads it and lets it answer. Raises CannotAnswer where this image cannot."""
        try:
            return framework_named(cast("Any", self.manifest.framework), forecast=self.manifest.task == "Forecast")
        except (TrainerError, ImportError) as error:
            raise PredictionError("ChampionNotServable", f"this image cannot ask it: {error}") from error

    def load(self, which: Which, work: Path) -> Any:
        """Fetch one of its two models, verify every file, and read it.

        Raises
        ------
        CannotAnswer
            If a file is gone or not the one that was registered, the storage does not answer, or memory would not do.
        """
        prefix = f"{JUDGED}/" if which == "Judged" else ""
        entries = [entry for entry in self.manifest.files if entry.path.startswith(f"{JUDGED}/") == (which == "Judged")]
        if not entries:
            raise PredictionError(
                "ChampionKnowsRows",
                "it was trained by a release that kept no model without the rows held out; train again, and the next "
                "comparison has one",
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
                f"it takes {needed // 2**20} MiB of memory and the pod has {left // 2**20} MiB left; raise "
                "spec.resources.limits.memory",
            )


def find_champion(config: TrainerConfig, env: Environment) -> Champion:
    """Read and verify the manifest of the version that serves.

    Parameters
    ----------
    config
        With a champion and a storage.

    Raises
    ------
    CannotAnswer
        If it is gone, changed, out of reach, of another task, or made by user code that only itself can run.
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
            f"it was made by framework {manifest.framework}, and only its own code can ask it",
        )
    if manifest.task != spec.task:
        raise PredictionError("ChampionIncompatible", f"its task is {manifest.task}, that of the job is {spec.task}")


def _as_reason(error: TrainerError) -> PredictionError:
    gone = isinstance(error, DataError | InputMissing)
    return PredictionError("ChampionUnreadable" if gone else "ChampionUnavailable", str(error))
