"""Addresses of data: their names in messages, and the files that an address with ``*`` matches."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainyard_trainer.errors import ConfigError, InputMissing

WILDCARD: Final = "*"
"""Matches any characters within one folder.

``?`` and ``[`` are literal, because keys of an object store can have them.
"""

MAX_FILES: Final = 10_000
_IGNORED: Final = (".", "_")
"""Prefixes of marker files that other programs write next to data, such as ``_SUCCESS``."""


@dataclass(frozen=True)
class Address:
    """An address, and the field of the specification that contains it."""

    uri: str
    field: str = "data.uri"

    def __str__(self) -> str:
        return f"{self.field} {self.uri}"

    @property
    def is_pattern(self) -> bool:
        """Whether the address is a pattern for several files."""
        return WILDCARD in self.uri

    def check_pattern(self) -> None:
        """Raise ConfigError for ``**``."""
        if WILDCARD * 2 in self.uri:
            raise ConfigError(f"{self} contains '**', but a '*' matches within one folder; write one '*' per folder")

    def only_some(self, names: Iterable[str]) -> list[str]:
        """Return the sorted names that match a pattern, without marker files of other programs.

        Raises
        ------
        InputMissing
            If none is left.
        ConfigError
            If there are too many.
        """
        found = sorted(name for name in names if not name.rpartition("/")[2].startswith(_IGNORED))
        if not found:
            raise InputMissing(f"{self}: no file matches the pattern; check the folder and the pattern")
        if len(found) > MAX_FILES:
            raise ConfigError(f"{self} matches {len(found)} files, but the limit is {MAX_FILES}; join files")
        return found


def folder_of(pattern: str) -> str:
    """Return the part of a pattern up to the last ``/`` before its first wildcard."""
    return pattern.partition(WILDCARD)[0].rpartition("/")[0]


def matching_keys(keys: Iterable[str], pattern: str) -> list[str]:
    """Return the keys of an object store that match. Keys that end with ``/`` are not files."""
    parts = (re.escape(part) for part in pattern.split(WILDCARD))
    matches = re.compile("[^/]*".join(parts)).fullmatch
    return [key for key in keys if matches(key) and not key.endswith("/")]


def matching_paths(pattern: Path) -> list[Path]:
    """Return the files on disk that match."""
    folder = Path(folder_of(str(pattern)) or "/")
    rest = str(pattern.relative_to(folder))
    return [path for path in folder.glob(re.sub(r"([?\[])", r"[\1]", rest)) if path.is_file()]
