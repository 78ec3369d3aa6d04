"""JSON logs, one object per line."""

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
"""Interval between log lines of a watch that keeps failing."""

_RETRY: Final = re.compile(r"Request attempt #\S+ failed; will retry: (?P<request>[^?]*?)(?:\?\S*)? -> (?P<error>\w+)")
"""kopf's message for each retry of a request."""


class JsonFormatter(logging.Formatter):
    """Write time, level, logger and message, the fields of the object, and the traceback of an exception.

    A line has the fields of an object if it was logged with ``extra={"object": {...}}``.
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
    """Limit kopf's messages about retries, because each watch logs every retry without end.

    An unreachable API server is logged once for all of them (:mod:`trainyard_operator.kube.reach`). Any other problem
    of a watch is logged at its start, and every few minutes.
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
    """Return whether kopf treats an exception with this name as a failed connection."""
    kind = getattr(aiohttp, error, None)
    return error == "TimeoutError" or (isinstance(kind, type) and issubclass(kind, aiohttp.ClientConnectionError))


def configure_logging(stream: TextIO = sys.stderr) -> None:
    """Send all logs to ``stream``. kopf logs a line per event and handler, so only its warnings are written."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(Retries())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)
