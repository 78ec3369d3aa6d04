"""Stopping the process. The first SIGTERM or SIGINT requests a stop, the second one ends the process immediately."""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from trainyard_api.exit_codes import ExitCode


def stop_on_signals() -> Callable[[], bool]:
    """Install signal handlers. Return a function ``stop()`` that returns whether a stop was requested.

    Process 1 has no default action for SIGTERM, so the handler of the second signal exits. Workers that are forked
    later inherit the handlers. They have nothing to save and end at the first signal.
    """
    requested = threading.Event()
    owner = os.getpid()

    def handle(number: int, _: FrameType | None) -> None:
        if os.getpid() != owner:
            os._exit(128 + number)
        if requested.is_set():
            os._exit(ExitCode.INTERRUPTED)
        requested.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return requested.is_set


def end_process(code: int) -> NoReturn:
    """End the process with an exit code, without a shutdown of the interpreter.

    Threads of Arrow's Parquet reader may still exist, and abort a process that shuts down (exit code 134,
    https://github.com/apache/arrow/issues/34314). Then a registered training would count as failed. The shutdown also
    collects garbage of all libraries, which takes 0.1 s or more. Exit handlers run; threads are not joined.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public way
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # None if it was closed before the start
            with suppress(BrokenPipeError):  # the reader of a pipe, such as ``head``, can close it early
                stream.flush()
    os._exit(code)
