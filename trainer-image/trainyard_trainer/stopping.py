"""How the process ends: the first SIGTERM or SIGINT asks, the second ends at once; so does a process that is done."""

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
    """Install handlers and return the question ``stop()``: was the process asked to end?

    A process 1 has no default action for SIGTERM, so the second one exits by itself. Workers forked later inherit the
    handlers; they have nothing to save and end at the first signal.
    """
    asked = threading.Event()
    owner = os.getpid()

    def handle(number: int, _: FrameType | None) -> None:
        if os.getpid() != owner:
            os._exit(128 + number)
        if asked.is_set():
            os._exit(ExitCode.INTERRUPTED)
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return asked.is_set


def end_process(code: int) -> NoReturn:
    """End the process with an exit code, without a shutdown of the interpreter.

    The threads with which Arrow has read a Parquet file may still be there, and abort a process that shuts down
    (exit code 134, https://github.com/apache/arrow/issues/34314): a training that is registered would count as failed.
    Besides, the shutdown looks for garbage in all libraries, 0.1 s and more. What asked to run at the end does run;
    threads are not waited for.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public way
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed before the start
            with suppress(BrokenPipeError):  # as with `| head`: who has read enough is no failure
                stream.flush()
    os._exit(code)
