"""Finished series in the checkpoints of a job, in pieces. Another attempt or shard finds them by name.

A piece has one line of JSON per series. Its name is a digest of the names of its series. So several pods can write
pieces at the same time, and the same series result in the same name.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from trainyard_trainer.artifacts.checkpoints import Checkpoints

_SERIES: Final = 50
_SECONDS: Final = 10.0
"""Maximum time between two pieces, if there are fewer series than its limit. A kill loses at most this much work."""


class PieceWriter:
    """Collects finished series and writes pieces.

    ``flush`` writes the rest. ``prefix`` is the prefix of their names.
    """

    def __init__(self, checkpoints: Checkpoints, prefix: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._checkpoints, self._prefix, self._clock = checkpoints, prefix, clock
        self._lines: dict[str, bytes] = {}
        self._since = clock()

    def add(self, series: str, fields: Mapping[str, Any]) -> None:
        """Add one series as plain JSON. A piece is written when it is large or old enough."""
        self._lines[series] = (json.dumps({"name": series, **fields}) + "\n").encode()
        if len(self._lines) >= _SERIES or self._clock() - self._since >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write a piece, if there is anything to write."""
        if self._lines:
            self._checkpoints.put(_name(self._prefix, sorted(self._lines)), b"".join(self._lines.values()))
        self._lines.clear()
        self._since = self._clock()


class Finished:
    """Series that earlier attempts and other shards finished.

    They are on disk, so memory does not grow with their number.

    Parameters
    ----------
    needed
        The required fields of a line. If a line of an older release lacks some, its series is fitted again.
    """

    def __init__(self, checkpoints: Checkpoints, prefix: str, folder: Path, needed: Collection[str]) -> None:
        # A file without a name, which is removed together with this object in any case.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close
        self._positions: dict[str, tuple[int, int]] = {}
        for name in checkpoints.names():
            piece = checkpoints.get(name) if name.startswith(prefix) else None
            for line in (piece or b"").splitlines(keepends=True):
                self._keep(line, needed)

    def _keep(self, line: bytes, needed: Collection[str]) -> None:
        try:
            fields = json.loads(line)
            series = str(fields["name"])
        except (ValueError, KeyError):
            return  # the end of a truncated piece: the series is fitted again
        if not fields.keys() >= set(needed):
            return
        self._positions[series] = (self._file.tell(), len(line))
        self._file.write(line)

    def __contains__(self, series: str) -> bool:
        return series in self._positions

    def __len__(self) -> int:
        return len(self._positions)

    def read(self, series: str) -> dict[str, Any]:
        """Return the fields of a series. Raises KeyError."""
        position, length = self._positions[series]
        self._file.seek(position)
        fields: dict[str, Any] = json.loads(self._file.read(length))
        return fields

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def _name(prefix: str, series: Sequence[str]) -> str:
    return prefix + hashlib.sha256("\0".join(series).encode()).hexdigest()[:32]
