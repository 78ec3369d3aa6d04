"""One job in one process, and the steps that it takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Dataset, Table
from trainyard_trainer.environment import Environment
from trainyard_trainer.frameworks.base import Framework
from trainyard_trainer.progress.kept import KeptLog
from trainyard_trainer.progress.port import Progress
from trainyard_trainer.progress.tracker import Tracker


class Load(Protocol):
    """Read the table of a job: see :func:`trainyard_trainer.data.loading.load`."""

    def __call__(
        self,
        config: TrainerConfig,
        env: Environment,
        progress: Progress,
        stop: Callable[[], bool],
        also: Sequence[str] = (),
        /,
    ) -> Table:
        """Return the table. ``also`` are additional columns to those of the specification."""
        ...


@dataclass(frozen=True)
class Steps:
    """The steps that all kinds of jobs share. Tests replace them."""

    load: "Load"
    preprocess: Callable[[Table, TrainerConfig], Dataset]
    framework_for: Callable[[TrainerConfig], Framework]

    @classmethod
    def real(cls) -> Self:
        """Return the steps of the trainer."""
        from trainyard_trainer.data.loading import load
        from trainyard_trainer.data.preprocessing import preprocess
        from trainyard_trainer.frameworks.registry import framework_for

        return cls(load, preprocess, framework_for)


@dataclass(frozen=True)
class Job:
    """One training in one process."""

    config: TrainerConfig
    env: Environment
    tracker: Tracker
    stop: Callable[[], bool]
    steps: Steps
    log: KeptLog | None = None
    """The log to keep. It gets its address when the storage is open."""
