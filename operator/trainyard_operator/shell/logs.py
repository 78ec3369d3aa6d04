"""Logs as JSON, one object per line, for whatever collects them."""

import json
import logging
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TextIO

import aiohttp

AGAIN_SECONDS: Final = 300.0
"""How often a watch that is refused again and again is told."""

_RETRY: Final = re.compile(r"Request attempt #\S+ failed; will retry: (?P<request>[^?]*?)(?:\?\S*)? -> (?P<error>\w+)")
"""kopf's sentence for each try of a request that it goes on with."""


class JsonFormatter(logging.Formatter):
    """Write time, level, logger and message, the object that a line is about, and the traceback of an exception.

    A line is about an object where it was logged with ``extra={"object": {...}}``; its fields stand beside the others.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update(getattr(record, "object", {}))
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class Retries(logging.Filter):
    """Bound what kopf says of requests that it tries again: each watch says it at each try, without end.

    That nobody answers is told once for all of them (:mod:`trainyard_operator.kube.reach`). Any other trouble of a
    watch is told when it begins, and each few minutes.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._reported: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written."""
        found = _RETRY.match(record.getMessage()) if record.name.startswith("kopf.") else None
        if found is None:
            return True
        if _is_timeout(found["error"]):
            return False
        now, what = self._clock(), (found["request"], found["error"])
        if now - self._reported.get(what, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return False
        self._reported[what] = now
        return True


def _is_timeout(error: str) -> bool:
    """Tell whether the name of an exception is one of those that kopf takes for a connection that failed."""
    kind = getattr(aiohttp, error, None)
    return error == "TimeoutError" or (isinstance(kind, type) and issubclass(kind, aiohttp.ClientConnectionError))


def configure_logging(stream: TextIO = sys.stderr) -> None:
    """Send all logs to ``stream``. kopf says a line per event and handler, which nobody reads: warnings only."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(Retries())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)
