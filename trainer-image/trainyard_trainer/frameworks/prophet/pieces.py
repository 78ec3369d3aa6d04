"""Finished series in the checkpoints of a job, in pieces: an attempt, or another shard, takes them up by their names.

A piece is one line of JSON per series. Its name is a digest of the names in it, so that several pods may leave theirs
at once and the same series lead to the same name.
"""

import base64
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.base import Checkpoints
from trainyard_trainer.frameworks.prophet.choice import Outcome

PREFIX: Final = "prophet-"
_SERIES: Final = 50
_SECONDS: Final = 10.0
"""A piece is left when it has so many series, or so long after the last one: what a kill costs at most."""

_ARRAYS: Final = ("forecast", "golden")
_BYTES: Final = ("record", "judged")


class PieceWriter:
    """Collects what is finished; ``flush`` leaves what is not yet left."""

    def __init__(self, checkpoints: Checkpoints, clock: Callable[[], float] = time.monotonic) -> None:
        self._checkpoints, self._clock = checkpoints, clock
        self._lines: dict[str, bytes] = {}
        self._since = clock()

    def add(self, outcome: Outcome) -> None:
        """Note one series; now and then a piece is left."""
        self._lines[outcome.name] = _line(outcome)
        if len(self._lines) >= _SERIES or self._clock() - self._since >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Leave a piece, if there is anything to leave."""
        if self._lines:
            self._checkpoints.put(_name(sorted(self._lines)), b"".join(self._lines.values()))
        self._lines.clear()
        self._since = self._clock()


class Finished:
    """What earlier attempts and other shards left. It lies on disk: memory does not grow with the number of series."""

    def __init__(self, checkpoints: Checkpoints, folder: Path) -> None:
        # A file without a name: gone with this object, whatever happens.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close
        self._places: dict[str, tuple[int, int]] = {}
        for name in checkpoints.names():
            piece = checkpoints.get(name) if name.startswith(PREFIX) else None
            for line in (piece or b"").splitlines(keepends=True):
                self._keep(line)

    def _keep(self, line: bytes) -> None:
        try:
            fields = json.loads(line)
            series = str(fields["name"])
        except (ValueError, KeyError):
            return  # the end of a piece that was cut off: the series is fitted again
        if not fields.keys() >= set(_BYTES):
            return  # of an older release, which kept no judged model
        self._places[series] = (self._file.tell(), len(line))
        self._file.write(line)

    def __contains__(self, series: str) -> bool:
        return series in self._places

    def __len__(self) -> int:
        return len(self._places)

    def read(self, series: str) -> Outcome:
        """Return the outcome of a series. Raises KeyError."""
        place, length = self._places[series]
        self._file.seek(place)
        return _outcome(self._file.read(length))

    def close(self) -> None:
        """Let the disk go."""
        self._file.close()


def _name(series: Sequence[str]) -> str:
    return PREFIX + hashlib.sha256("\0".join(series).encode()).hexdigest()[:32]


def _line(outcome: Outcome) -> bytes:
    fields = asdict(outcome)
    fields |= {name: fields[name].tolist() for name in _ARRAYS}
    fields |= {name: base64.b64encode(fields[name]).decode() for name in _BYTES}
    return (json.dumps(fields) + "\n").encode()


def _outcome(line: bytes) -> Outcome:
    fields: dict[str, Any] = json.loads(line)
    arrays: dict[str, Floats] = {name: np.array(fields[name], dtype=np.float64) for name in _ARRAYS}
    return Outcome(**{**fields, **arrays, **{name: base64.b64decode(fields[name]) for name in _BYTES}})
