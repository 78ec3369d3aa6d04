"""Many series on few processes: bounded, in order, and stoppable between series.

Workers are forked from a clean server process (never from the trainer: a fork after LightGBM's threads have run can
hang), which has imported Prophet once. With one worker everything runs in this process. Workers are not replaced after
a number of tasks: ``max_tasks_per_child`` can deadlock up to Python 3.13 (cpython issue 115634), and the memory of a
worker stays flat over hundreds of fits.
"""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from typing import Final

from trainyard_trainer.errors import Interrupted
from trainyard_trainer.frameworks.prophet_series import Outcome, Task, fit_series

_AHEAD: Final = 4
"""Tasks per worker that wait or run: enough that none idles, few enough that memory stays flat."""

_STOP_CHECK_SECONDS: Final = 0.5


def fit_all(tasks: Iterable[Task], workers: int, stop: Callable[[], bool]) -> Iterator[Outcome]:
    """Fit the series and yield their outcomes in the order of the tasks.

    Raises
    ------
    Interrupted
        When ``stop`` turns true; fits that run are finished and thrown away.
    RuntimeError
        If a worker process was killed, most likely for its memory.
    """
    if workers == 1:
        for task in tasks:
            _raise_if(stop)
            yield fit_series(task)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trainyard_trainer.frameworks.prophet_preload"])
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker)
    try:
        yield from _in_order(pool, iter(tasks), workers * _AHEAD, stop)
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a worker process was killed, most likely out of memory; raise spec.resources.limits.memory or set fewer "
            "spec.workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, tasks: Iterator[Task], ahead: int, stop: Callable[[], bool]
) -> Iterator[Outcome]:
    pending: deque[Future[Outcome]] = deque()
    for task in tasks:
        pending.append(pool.submit(fit_series, task))
        if len(pending) >= ahead:
            yield _result(pending.popleft(), stop)
    while pending:
        yield _result(pending.popleft(), stop)


def _result(future: Future[Outcome], stop: Callable[[], bool]) -> Outcome:
    while True:
        _raise_if(stop)
        try:
            return future.result(timeout=_STOP_CHECK_SECONDS)
        except FutureTimeoutError:
            continue


def _raise_if(stop: Callable[[], bool]) -> None:
    if stop():
        raise Interrupted("stopped between two series; the next attempt starts again")


def _prepare_worker() -> None:
    # The trainer alone answers signals; a worker that died of them would break the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
