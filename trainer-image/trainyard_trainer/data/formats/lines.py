"""A text stream for Arrow. Each block is read once, into reused memory, and is counted and hashed."""

import hashlib
import io
from collections.abc import Callable
from typing import IO, Final, cast

import numpy as np
import pyarrow as pa

_FEED: Final = ord("\n")
_END: Final = 1 << 12
"""A line feed is usually within this many last bytes of a block."""


def memory_pool() -> pa.MemoryPool:
    """Return a memory pool that reuses freed memory. Without jemalloc, it is the default pool, which clears it anew."""
    return pa.jemalloc_memory_pool() if "jemalloc" in pa.supported_memory_backends() else pa.default_memory_pool()


class Lines(io.RawIOBase):
    """A stream that counts the lines read from it, and the quotation marks in the last line.

    Parameters
    ----------
    go_on
        Called before each block. If it raises an error, reading ends.
    """

    def __init__(self, content: IO[bytes], pool: pa.MemoryPool, go_on: Callable[[], None]) -> None:
        self._content = cast("io.BufferedIOBase", content)  # all file streams have ``readinto``
        self._pool, self._go_on = pool, go_on
        self._hash = hashlib.sha256()
        self._feeds = 0
        self._has_rest = False
        self.quotes_in_last = 0

    @property
    def count(self) -> int:
        """Number of lines so far. The last one can be incomplete."""
        return self._feeds + self._has_rest

    @property
    def sha256(self) -> str:
        """The digest of the bytes read so far."""
        return self._hash.hexdigest()

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes."""
        return bytes(self.read_buffer(size))

    def read_buffer(self, size: int) -> pa.Buffer:
        """Return at most ``size`` bytes in memory of Arrow. Arrow prefers this method to ``read`` if it exists."""
        self._go_on()
        buffer = pa.allocate_buffer(size, memory_pool=self._pool)
        block = memoryview(buffer)[: self._content.readinto(buffer)]
        if block:
            self._hash.update(block)
            # bytes.count takes five times as long.
            self._feeds += int(np.count_nonzero(np.frombuffer(block, dtype=np.uint8) == _FEED))
            end = block[-_END:].tobytes()
            if b"\n" not in end:
                end = block.tobytes()
            rest = end.rfind(b"\n") + 1
            self._has_rest = rest < len(end)
            self.quotes_in_last = end.count(b'"', rest) + (0 if rest else self.quotes_in_last)
        return buffer.slice(0, len(block))
