"""The log of a pod beside its model: kept in memory, bounded, and written to the storage now and then.

What a pod prints goes with the pod. What is kept here stays: also of an attempt that failed, was told to stop, or died
without a word, up to the last time that it was written.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from trainyard_trainer.errors import TrainerError
from trainyard_trainer.progress.log import LOGGER, JsonLines

HEAD_BYTES: Final = 256 * 1024
TAIL_BYTES: Final = 768 * 1024
"""How much of the beginning and of the end is kept; what is between is counted."""

INTERVAL_SECONDS: Final = 20.0
"""How often it is written while lines come: so much of a log is lost when a pod is killed."""

Write = Callable[[bytes], None]
"""Replaces what is kept by this whole text. Raises TrainerError if the storage refuses."""


class KeptLog(logging.Handler):
    """Takes every record of the process, as the pod prints it. Best effort: whatever happens, the training goes on.

    Parameters
    ----------
    part
        What this process does of the job: ``train``, ``fetch`` or ``register``.
    interval
        Seconds between two writes.
    """

    def __init__(self, lines: JsonLines, part: str, interval: float = INTERVAL_SECONDS) -> None:
        super().__init__()
        self.setFormatter(lines)
        self.part = part
        self._interval = interval
        self._head: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self._head_size = self._tail_size = self._left_out = 0
        self._is_new = False
        self._write: Write | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:  # noqa: BLE001 - as every handler does: a record that cannot be formatted
            self.handleError(record)
            return
        self._is_new = True
        is_head = not self._tail and not self._left_out
        if is_head and self._head_size + len(line) <= HEAD_BYTES:
            self._head.append(line)
            self._head_size += len(line)
            return
        self._tail.append(line)
        self._tail_size += len(line)
        while self._tail_size > TAIL_BYTES:
            self._tail_size -= len(self._tail.popleft())
            self._left_out += 1

    def begin(self, write: Write) -> None:
        """Write from now on, at intervals. The first call decides."""
        if self._write is None:
            self._write = write
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    @property
    def has_begun(self) -> bool:
        """Tell whether there is a place to write to."""
        return self._write is not None

    @staticmethod
    def give_up(why: str) -> None:
        """Tell that there is no place to write to."""
        LOGGER.info("the log is not kept in the storage: %s", why)

    def finish(self, timeout: float = 20.0) -> None:
        """Write the rest, and wait for it at most ``timeout`` seconds."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def text(self) -> bytes:
        """Return what is kept."""
        with self.lock or threading.Lock():
            gap = [_gap(self._left_out)] if self._left_out else []
            return b"".join([*self._head, *gap, *self._tail])

    def _run(self) -> None:
        is_well = True
        while True:
            is_last = self._closing.wait(self._interval)
            is_well = self._put(is_well=is_well)
            if is_last:
                return

    def _put(self, *, is_well: bool) -> bool:
        """Write what is new; of failures in a row the first is told."""
        if self._write is None or not self._is_new:
            return is_well
        self._is_new = False
        try:
            self._write(self.text())
        except TrainerError as error:
            if is_well:
                LOGGER.warning("the log could not be written to the storage, the training goes on: %s", error)
            self._is_new = True
            return False
        return True


def _gap(lines: int) -> bytes:
    return f'{{"leftOut":{lines}}}\n'.encode()
