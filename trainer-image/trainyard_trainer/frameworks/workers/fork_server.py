"""The clean process that workers are forked from; light to import, so that it can be started early.

It imports once what all workers need, and they share that memory. This takes it a second or more, as long as the
trainer needs for its own imports and for the data: so both do it side by side.
"""

import multiprocessing
import signal
from multiprocessing import forkserver

_loaded: set[str] = set()


def start(*modules: str) -> None:
    """Start the process with these modules in its memory, unless it runs and has them; one that lacks some is replaced.

    What it had before, the new one has too. Without this each worker would import a module, and hold it, for itself.
    """
    if _loaded and not _loaded.issuperset(modules):
        forkserver._forkserver._stop()  # type: ignore[attr-defined] # noqa: SLF001 - there is no public way
    _loaded.update(modules)
    multiprocessing.get_context("forkserver").set_forkserver_preload(sorted(_loaded))
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is the trainer's to answer
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, previous)
