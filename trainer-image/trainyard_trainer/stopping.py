"""SIGTERM and SIGINT: the first asks, the second ends at once."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

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
