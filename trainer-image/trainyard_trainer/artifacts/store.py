"""The port to storage. Keys are relative to the storage's address and use ``/``.

What belongs to a run or a version is never overwritten; ``replace`` is for checkpoints and logs. Only ``prune`` removes
runs, after it has seen that nothing uses them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Stored:
    """An object as a listing tells of it: its key, its size in bytes, and when it was written, by the store's clock."""

    key: str
    size: int
    modified: datetime


class Addresses(Protocol):
    """Knows under which addresses others find what lies in a store."""

    def address(self, key: str) -> str:
        """Return the full URI of a key."""
        ...


class ArtifactStore(Addresses, Protocol):
    """A bucket or a folder. Every method raises TrainerError when the storage is missing, refuses, or is down."""

    def put_file(self, key: str, source: Path) -> None:
        """Copy a local file to a key that nobody else writes; large ones in parts."""
        ...

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """Create a small object, whole or not at all; of several writers exactly one gets True."""
        ...

    def replace(self, key: str, body: bytes) -> None:
        """Write a small object, whole or not at all, whatever was there."""
        ...

    def remove(self, keys: Sequence[str]) -> None:
        """Remove small objects; those that are not there count as removed."""
        ...

    def get(self, key: str) -> bytes | None:
        """Return a small object, or None if there is none."""
        ...

    def download(self, key: str, target: Path) -> None:
        """Copy an object into a local file. Raises InputMissing if there is none."""
        ...

    def size(self, key: str) -> int | None:
        """Return an object's size in bytes, or None if there is none."""
        ...

    def children(self, prefix: str) -> list[str]:
        """Return the names directly below ``prefix/``, sorted, folders and objects alike."""
        ...

    def walk(self, prefix: str) -> Iterator[Stored]:
        """Give every object below ``prefix/``, at any depth, in no order."""
        ...
