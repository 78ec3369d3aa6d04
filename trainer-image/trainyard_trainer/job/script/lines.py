"""The output of a script, split into lines of bounded length. A line is either a progress message or goes to the log.

A script may print without end, without a line break, or in any encoding. The memory used here does not grow with it.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from trainyard_trainer.job.container.outputs import is_metric_name, number_of
from trainyard_trainer.progress.log import LOGGER
from trainyard_trainer.progress.port import Progress

MAX_LINE_BYTES: Final = 8192
"""Number of bytes of a line that are read. The rest is dropped."""
LOGGED_LENGTH: Final = 2000
"""Number of characters of a line that are logged."""
LINES_AT_ONCE: Final = 1000
LINES_PER_SECOND: Final = 100
"""A token bucket: after ``LINES_AT_ONCE`` lines, this many lines per second are logged. The others are counted."""

REPORT_SECONDS: Final = 10
"""Least time between two messages about dropped lines."""

_METRICS: Final = 64


class LineSplitter:
    """Splits one stream of bytes into lines. A carriage return also ends a line, because progress bars use it."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._is_cut = False

    def feed(self, piece: bytes) -> Iterator[str]:
        """Yield each line that ends in this piece."""
        *ended, rest = piece.replace(b"\r", b"\n").split(b"\n")
        for part in ended:
            self._add(part)
            yield from self.end()
        self._add(rest)

    def end(self) -> Iterator[str]:
        """Yield the buffer as a line, unless it is blank."""
        text = self._rest.decode("utf-8", errors="backslashreplace")
        self._rest.clear()
        line = "".join(sign if sign.isprintable() else " " for sign in text).rstrip()
        if line:
            yield f"{line} …" if self._is_cut else line
        self._is_cut = False

    def _add(self, part: bytes) -> None:
        space = MAX_LINE_BYTES - len(self._rest)
        self._rest += part[:space]
        self._is_cut |= len(part) > space


@dataclass(frozen=True)
class ProgressMessage:
    """A progress message: ``{"progress": 0.5, "message": "epoch 3", "metrics": {"mae": 1.5}}``."""

    fraction: float
    message: str
    metrics: dict[str, float]


def progress_in(line: str) -> ProgressMessage | None:
    """Parse a progress message. Return ``None`` for any other line. Invalid metrics are left out."""
    if not line.startswith("{"):
        return None
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    fraction = number_of(found.get("progress")) if isinstance(found, dict) else None
    if fraction is None or not math.isfinite(fraction):
        return None
    message, reported = found.get("message"), found.get("metrics")
    metrics = {
        name: number
        for name, value in (reported.items() if isinstance(reported, dict) else ())
        if is_metric_name(name) and (number := number_of(value)) is not None and math.isfinite(number)
    }
    text = message if isinstance(message, str) and message else f"the script is at {min(1, max(0, fraction)):.0%}"
    return ProgressMessage(fraction, text, dict(list(metrics.items())[:_METRICS]))


@dataclass
class OutputReader:
    """Reads both streams of a script, and keeps its last line. The path of ``folder`` is removed from each line."""

    progress: Progress
    folder: str = ""
    clock: Callable[[], float] = time.monotonic
    last_line: str = ""
    """The last line on standard error, where a traceback ends, or else the last line on standard output."""
    _splitters: dict[bool, LineSplitter] = field(default_factory=lambda: {False: LineSplitter(), True: LineSplitter()})
    _has_error_line: bool = False
    _tokens: float = LINES_AT_ONCE
    _filled: float | None = None
    _left_out: int = 0
    _reported_at: float = -math.inf

    def receive(self, piece: bytes, *, is_error: bool) -> None:
        """Process the next bytes of standard output or standard error."""
        for line in self._splitters[is_error].feed(piece):
            self._take(line, is_error=is_error)

    def close(self) -> None:
        """Process a last line without a line break, and log how many lines were dropped."""
        for is_error, splitter in self._splitters.items():
            for line in splitter.end():
                self._take(line, is_error=is_error)
        self._report_dropped()

    def _take(self, line: str, *, is_error: bool) -> None:
        line = line.replace(f"{self.folder}/", "") if self.folder else line
        reported = None if is_error else progress_in(line)
        if reported is not None:
            self.progress(reported.fraction, reported.message, reported.metrics or None)
            return
        if is_error or not self._has_error_line:
            self.last_line = line
        self._has_error_line |= is_error
        if self._may_log():
            if self._left_out and self.clock() - self._reported_at >= REPORT_SECONDS:
                self._report_dropped()
            LOGGER.log(logging.WARNING if is_error else logging.INFO, "script: %s", _short(line))
        else:
            self._left_out += 1

    def _may_log(self) -> bool:
        now = self.clock()
        since = 0.0 if self._filled is None else now - self._filled
        self._filled = now
        self._tokens = min(LINES_AT_ONCE, self._tokens + since * LINES_PER_SECOND)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _report_dropped(self) -> None:
        if self._left_out:
            LOGGER.warning("script: %d lines were not logged, because the script prints too much", self._left_out)
            self._left_out, self._reported_at = 0, self.clock()


def _short(line: str) -> str:
    return line if len(line) <= LOGGED_LENGTH else f"{line[:LOGGED_LENGTH]} …"
