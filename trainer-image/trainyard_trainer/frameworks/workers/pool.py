"""Fit many series with few processes: with bounded memory, in order, and with a stop between series.

Workers are forked from a clean server process and not from the trainer, because a fork after LightGBM's threads have
run can hang. With one worker, everything runs in this process. Workers are not replaced after a number of tasks:
``max_tasks_per_child`` can deadlock up to Python 3.13 (cpython issue 115634), and the memory of a worker does not grow
over hundreds of fits.
"""

import gc
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Final, TypeVar

from trainyard_trainer.errors import Interrupted

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")
Stop = Callable[[], bool]

_AHEAD: Final = 4
"""Number of pending or running tasks per worker: enough to keep all busy, and few enough to limit memory."""

_STOP_CHECK_SECONDS: Final = 0.5

_STOP_FILE: Final = "stop"
"""File in the work folder that exists after a request to stop. A worker checks it between two fits of a search."""


def fit_all(
    fit: Callable[[Task, Stop], Outcome], tasks: Iterable[Task], workers: int, stop: Stop, folder: Path
) -> Iterator[Outcome]:
    """Fit the series and yield their outcomes in the order of the tasks.

    Parameters
    ----------
    fit
        A function of a module. It should end early when its second argument returns true.
    folder
        Folder of the stop file.

    Raises
    ------
    Interrupted
        When ``stop`` returns true. Running fits are finished and yielded first, except searches, which end at once.
    RuntimeError
        If a worker process was killed, most likely for its memory. Finished outcomes are yielded first.
    """
    if workers == 1:
        for task in tasks:
            _raise_if(stop)
            yield fit(task, stop)
        return
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("forkserver"), initializer=prepare_worker
    )
    pending: deque[Future[Outcome]] = deque()
    stop_file = folder / _STOP_FILE
    try:
        submitted = (pool.submit(_fit, fit, task, stop_file) for task in tasks)
        yield from _in_order(submitted, pending, workers * _AHEAD, stop)
    except Interrupted:
        stop_file.touch()
        yield from _finished(pool, pending)
        raise
    except BrokenProcessPool as error:
        yield from _finished(pool, pending)
        raise RuntimeError(
            "a worker process was killed, most likely out of memory; raise spec.resources.limits.memory or set fewer "
            "spec.workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        stop_file.unlink(missing_ok=True)


def _in_order(
    submitted: Iterable[Future[Outcome]],
    pending: deque[Future[Outcome]],
    ahead: int,
    stop: Stop,
) -> Iterator[Outcome]:
    for future in submitted:
        pending.append(future)
        if len(pending) >= ahead:
            yield _result(pending, stop)
    while pending:
        yield _result(pending, stop)


def _fit(fit: Callable[[Task, Stop], Outcome], task: Task, stop_file: Path) -> Outcome:
    return fit(task, stop_file.exists)


def _result(pending: deque[Future[Outcome]], stop: Stop) -> Outcome:
    """Return the oldest result. It stays pending until it is available."""
    while True:
        _raise_if(stop)
        try:
            outcome = pending[0].result(timeout=_STOP_CHECK_SECONDS)
        except FutureTimeoutError:
            continue
        pending.popleft()
        return outcome


def _finished(pool: ProcessPoolExecutor, pending: Iterable[Future[Outcome]]) -> Iterator[Outcome]:
    """Wait for the running tasks, and yield their results."""
    pool.shutdown(wait=True, cancel_futures=True)
    for future in pending:
        if not future.cancelled() and future.exception() is None:
            yield future.result()


def _raise_if(stop: Stop) -> None:
    if stop():
        raise Interrupted("stopped between two series; the next attempt continues with the unfinished series")


def prepare_worker() -> None:
    """Configure a new worker process: share the memory of the server, and leave signals to the trainer."""
    # Otherwise the first garbage collection touches every object of the libraries, and copies 60 MB of shared pages.
    gc.freeze()
    # Only the trainer handles signals. A worker that dies from a signal would break the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
