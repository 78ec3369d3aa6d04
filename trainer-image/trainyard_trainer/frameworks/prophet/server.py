"""The clean process that Prophet's workers are forked from; light to import, so that it can be started early.

It imports once what all workers need, and they share that memory. This takes it most of a second, as long as the
trainer needs for its own imports and for the data: so both do it side by side.
"""

import multiprocessing
import signal
from multiprocessing import forkserver
from typing import Final

from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.environment import worker_count

_PROPHET: Final = "trainyard_trainer.frameworks.prophet.preload"
_SEARCH: Final = ("trainyard_trainer.search.study", "optuna")
_INTERMITTENT: Final = "statsforecast.models"


def start_early(spec: TrainingJobSpec) -> None:
    """Start the process for a job that will most likely need it: many series, and more than one processor."""
    if spec.data.series is not None and worker_count(spec.workers) > 1:
        start(search=spec.search is not None)


def start(*, search: bool, intermittent: bool = False) -> None:
    """Start the process, unless it runs.

    One that lacks statsforecast is replaced where a series has ``intermittent`` demand, which only the data tell: else
    each worker would hold 115 MiB of its own.
    """
    modules = [_PROPHET, *(_SEARCH if search else ())]
    if intermittent:
        modules.append(_INTERMITTENT)
        forkserver._forkserver._stop()  # type: ignore[attr-defined] # noqa: SLF001 - there is no public way
    multiprocessing.get_context("forkserver").set_forkserver_preload(modules)
    answer = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is the trainer's to answer
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, answer)
