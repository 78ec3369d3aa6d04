"""Numbered JSON log lines, including messages of libraries."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from itertools import count
from typing import Final, TextIO

from trainyard_trainer.progress.redact import redact

LOGGER = logging.getLogger("trainyard")

_LINE: Final = "trainyard_line"
"""Attribute of a record with its formatted line and its formatter."""


class JsonLines(logging.Formatter):
    """``{"seq":1,"time":...,"level":"info","stage":"load","message":...}``; an exception adds ``exception``.

    The tracker sets ``stage`` when a stage starts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stage = "start"
        self._numbers = count(1)

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, without secrets. All handlers with this formatter get the same line of a record."""
        formatter, text = record.__dict__.get(_LINE, (None, ""))
        if formatter is not self:
            text = self._line(record)
            record.__dict__[_LINE] = (self, text)
        return str(text)

    def _line(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "seq": next(self._numbers),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "stage": self.stage,
            "message": redact(record.getMessage()),
        }
        if not record.name.startswith(LOGGER.name):
            line["logger"] = record.name
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = redact("".join(traceback.format_exception(*record.exc_info)))
        return json.dumps(line, ensure_ascii=False)


def log_as_json(stream: TextIO = sys.stdout) -> JsonLines:
    """Write every log record of the process to ``stream`` as JSON lines. Libraries log warnings and above."""
    formatter = JsonLines()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOGGER.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    return formatter
