"""Answers of a saved bundle on several processes: some ten milliseconds per series, of thousands of series."""

import multiprocessing
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Final

import pandas as pd

from trainyard_trainer.frameworks.prophet.bundle import Bundle
from trainyard_trainer.frameworks.prophet.framework import ProphetFramework
from trainyard_trainer.frameworks.prophet.server import start
from trainyard_trainer.frameworks.workers.pool import prepare_worker

_AHEAD: Final = 2
"""Tables per worker that wait or are answered."""

_bundle: Bundle | None = None
"""Of a worker process, read once."""


def predict_on_processes(bundle: Bundle, tables: Iterable[pd.DataFrame], workers: int) -> Generator[pd.DataFrame]:
    """Yield the answers of ``ProphetFramework.predict`` to each table, in their order.

    Who stops asking ends the workers after the tables that they have.

    Raises
    ------
    RuntimeError
        If a worker process was killed, most likely for its memory.
    """
    start(search=False)
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("forkserver"), initializer=_prepare, initargs=(bundle.folder,)
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
            "a worker process was killed while it forecast, most likely out of memory; raise "
            "spec.resources.limits.memory or set fewer spec.workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare(folder: Path) -> None:
    global _bundle  # noqa: PLW0603 - one process, one bundle
    prepare_worker()
    _bundle = Bundle.load(folder)


def _predict(table: pd.DataFrame) -> pd.DataFrame:
    if _bundle is None:
        raise AssertionError("the initializer has read it")
    return ProphetFramework().predict(_bundle, table)
