"""The interface of a storage. Keys are relative to the address of the storage and use ``/``.

Objects of a run or a version are never overwritten. ``replace`` is for checkpoints and logs. Only ``prune`` removes
runs, after a check that they are not used.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol


@dataclass(frozen=True)
class Stored:
    """An object in a listing: its key, its size in bytes, and the time of its last write, by the clock of the store."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Naming:
    """How messages name a storage: what it is for, and the field of the specification with its address."""

    name: str
    field: str


MODEL_STORAGE: Final = Naming("the model storage", "storage.uri")
OUTPUT_STORAGE: Final = Naming("the output", "output.files.uri")


class Addresses(Protocol):
    """Maps keys to the addresses that others use."""

    def address(self, key: str) -> str:
        """Return the full URI of a key."""
        ...


class ArtifactStore(Addresses, Protocol):
    """A bucket or a folder.

    All methods raise TrainerError if the storage is missing, rejects the request, or is unavailable.
    """

    def put_file(self, key: str, source: Path) -> None:
        """Copy a local file to a key without other writers. Large files are copied in parts."""
        ...

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """Create a small object atomically. Of several writers, exactly one gets True."""
        ...

    def replace(self, key: str, body: bytes) -> None:
        """Write a small object atomically, also if it exists."""
        ...

    def remove(self, keys: Sequence[str]) -> None:
        """Remove small objects. Missing objects count as removed."""
        ...

    def get(self, key: str) -> bytes | None:
        """Return a small object, or ``None`` if it does not exist."""
        ...

    def download(self, key: str, target: Path) -> None:
        """Copy an object into a local file. Raises InputMissing if it does not exist."""
        ...

    def size(self, key: str) -> int | None:
        """Return the size of an object in bytes, or ``None`` if it does not exist."""
        ...

    def children(self, prefix: str) -> list[str]:
        """Return the sorted names of folders and objects directly below ``prefix/``."""
        ...

    def walk(self, prefix: str) -> Iterator[Stored]:
        """Yield every object below ``prefix/``, at any depth, in any order."""
        ...
