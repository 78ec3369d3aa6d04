"""The clean process from which workers are forked. This module is fast to import, so that the process can start early.

The process imports the modules of all workers once, and they share the memory. This takes a second or more, about as
long as the trainer's own imports and loading of data. So both run in parallel.
"""

import multiprocessing
import signal
from multiprocessing import forkserver

_loaded: set[str] = set()


def start(*modules: str) -> None:
    """Start the process with these modules in memory, unless it is running and has them.

    If it lacks some, it is replaced by one that also has the earlier modules. Otherwise each worker would import a
    module separately, with its own memory.
    """
    if _loaded and not _loaded.issuperset(modules):
        forkserver._forkserver._stop()  # type: ignore[attr-defined] # noqa: SLF001 - there is no public way
    _loaded.update(modules)
    multiprocessing.get_context("forkserver").set_forkserver_preload(sorted(_loaded))
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: only the trainer handles Ctrl-C
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, previous)
