"""A copy of a pod's log next to its model: in memory with a size limit, and written to the storage at intervals.

The output of a pod is lost with the pod. This copy is kept, also if an attempt failed, was stopped, or crashed. Then it
contains the lines up to the last write.
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
"""Size of the start and of the end that are kept. Bytes in between are only counted."""

INTERVAL_SECONDS: Final = 20.0
"""Interval of writes. If a pod is killed, the lines of at most this time are lost."""

Write = Callable[[bytes], None]
"""Replaces the stored text by this one. Raises TrainerError if the storage fails."""


class KeptLog(logging.Handler):
    """A handler that keeps every record of the process, as the pod prints it. Its errors do not stop the training.

    Parameters
    ----------
    part
        The part of the job in this process: ``train``, ``fetch`` or ``register``.
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
        """Start to write at intervals. Only the first call has an effect."""
        if self._write is None:
            self._write = write
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    @property
    def has_begun(self) -> bool:
        """Return whether writing has started."""
        return self._write is not None

    @staticmethod
    def give_up(why: str) -> None:
        """Log that the log cannot be stored."""
        LOGGER.info("the log is not stored: %s", why)

    def finish(self, timeout: float = 20.0) -> None:
        """Write the rest. Wait at most ``timeout`` seconds."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def text(self) -> bytes:
        """Return the kept text."""
        with self.lock or threading.Lock():
            gap = [_gap(self._left_out)] if self._left_out else []
            return b"".join([*self._head, *gap, *self._tail])

    def _run(self) -> None:
        succeeded = True
        while True:
            is_last = self._closing.wait(self._interval)
            succeeded = self._put(succeeded=succeeded)
            if is_last:
                return

    def _put(self, *, succeeded: bool) -> bool:
        """Write if there is new text. Of consecutive failures, only the first is logged."""
        if self._write is None or not self._is_new:
            return succeeded
        self._is_new = False
        try:
            self._write(self.text())
        except TrainerError as error:
            if succeeded:
                LOGGER.warning("the log could not be written to the storage, the training continues: %s", error)
            self._is_new = True
            return False
        return True


def _gap(lines: int) -> bytes:
    return f'{{"leftOut":{lines}}}\n'.encode()
