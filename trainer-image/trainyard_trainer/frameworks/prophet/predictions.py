"""Predict with a saved bundle in several processes. There can be thousands of series, with about 10 ms each."""

import multiprocessing
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final

import pandas as pd

from trainyard_trainer.frameworks.prophet.bundle import Bundle
from trainyard_trainer.frameworks.prophet.framework import ProphetFramework
from trainyard_trainer.frameworks.prophet.server import start
from trainyard_trainer.frameworks.workers.pool import prepare_worker

_AHEAD: Final = 2
"""Number of pending or running tables per worker."""

_bundle: Bundle | None = None
"""The bundle of a worker process. It comes from the trainer, because a refreshed one is not on disk."""


def predict_on_processes(bundle: Bundle, tables: Iterable[pd.DataFrame], workers: int) -> Generator[pd.DataFrame]:
    """Yield the predictions of ``ProphetFramework.predict`` for each table, in order.

    If the caller closes the generator, the workers end after their current tables.

    Raises
    ------
    RuntimeError
        If a worker process was killed, most likely for its memory.
    """
    start(search=False)
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("forkserver"), initializer=_prepare, initargs=(bundle,)
    )
    pending: deque[Future[pd.DataFrame]] = deque()
    try:
        for table in tables:
            pending.append(pool.submit(_predict, table))
            if len(pending) > workers * _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a worker process was killed during a forecast, most likely out of memory; raise "
            "spec.resources.limits.memory or set fewer spec.workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare(bundle: Bundle) -> None:
    global _bundle  # noqa: PLW0603 - one process, one bundle
    prepare_worker()
    _bundle = bundle


def _predict(table: pd.DataFrame) -> pd.DataFrame:
    if _bundle is None:
        raise AssertionError("the initializer has set it")
    return ProphetFramework().predict(_bundle, table)
