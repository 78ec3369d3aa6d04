"""What a script prints: cut into lines of bounded length; some of them are progress, the others go to the log.

A script may print without end, without a line break, or in any encoding: nothing here grows with what it prints.
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
"""So much of a line is looked at."""
LOGGED_LENGTH: Final = 2000
"""So many characters of it are logged."""
LINES_AT_ONCE: Final = 1000
LINES_PER_SECOND: Final = 100
"""A bucket of tokens: so many lines are logged at once, and then so many in a second; the others are counted."""

CONFESS_SECONDS: Final = 10
"""How often it is told that lines were left out."""

_METRICS: Final = 64


class Cutter:
    """Cuts one stream of bytes into lines. A carriage return ends one, too: progress bars draw themselves with it."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._is_cut = False

    def feed(self, piece: bytes) -> Iterator[str]:
        """Give each line that ends in this piece."""
        *ended, rest = piece.replace(b"\r", b"\n").split(b"\n")
        for part in ended:
            self._add(part)
            yield from self.end()
        self._add(rest)

    def end(self) -> Iterator[str]:
        """Give what is there as a line, unless it is blank."""
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
    """A line of progress: ``{"progress": 0.5, "message": "epoch 3", "metrics": {"mae": 1.5}}``."""

    fraction: float
    message: str
    metrics: dict[str, float]


def progress_in(line: str) -> ProgressMessage | None:
    """Read a line of progress; ``None`` for every other line. What is wrong in its metrics is left out."""
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
class Ear:
    """Hears both streams of a script, and remembers its last words. The path of its ``folder`` is left out of them."""

    progress: Progress
    folder: str = ""
    clock: Callable[[], float] = time.monotonic
    last_words: str = ""
    """The last line on standard error, where a traceback ends; else the last one at all."""
    _cutters: dict[bool, Cutter] = field(default_factory=lambda: {False: Cutter(), True: Cutter()})
    _spoke_of_error: bool = False
    _tokens: float = LINES_AT_ONCE
    _filled: float | None = None
    _left_out: int = 0
    _confessed: float = -math.inf

    def hear(self, piece: bytes, *, is_error: bool) -> None:
        """Take the next bytes of standard output or standard error."""
        for line in self._cutters[is_error].feed(piece):
            self._take(line, is_error=is_error)

    def close(self) -> None:
        """Take what ended without a line break, and tell how much was not logged."""
        for is_error, cutter in self._cutters.items():
            for line in cutter.end():
                self._take(line, is_error=is_error)
        self._confess()

    def _take(self, line: str, *, is_error: bool) -> None:
        line = line.replace(f"{self.folder}/", "") if self.folder else line
        reported = None if is_error else progress_in(line)
        if reported is not None:
            self.progress(reported.fraction, reported.message, reported.metrics or None)
            return
        if is_error or not self._spoke_of_error:
            self.last_words = line
        self._spoke_of_error |= is_error
        if self._may_log():
            if self._left_out and self.clock() - self._confessed >= CONFESS_SECONDS:
                self._confess()
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

    def _confess(self) -> None:
        if self._left_out:
            LOGGER.warning("script: %d lines were left out of the log: it prints too much", self._left_out)
            self._left_out, self._confessed = 0, self.clock()


def _short(line: str) -> str:
    return line if len(line) <= LOGGED_LENGTH else f"{line[:LOGGED_LENGTH]} …"
