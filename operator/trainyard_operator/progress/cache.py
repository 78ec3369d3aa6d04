"""A bounded cache of answers that cost an API call each."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class TimedCache(Generic[K, V]):
    """Ask once per key and time span, also when many ask at once; forget the oldest beyond ``size``.

    Errors are not kept: they go to those who wait for this very call, and the next one asks again.
    """

    def __init__(self, seconds: float, size: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[K, tuple[float, asyncio.Future[V]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        """Return the kept answer for ``key``, or the one that ``load`` finds."""
        entry = self._entries.get(key)
        if entry is None or self._clock() >= entry[0]:
            # A task of its own: one caller that hangs up must not fail the others who wait for the same answer.
            value: asyncio.Future[V] = asyncio.ensure_future(load())
            self._entries.pop(key, None)
            self._entries[key] = (self._clock() + self._seconds, value)
            value.add_done_callback(lambda done: self._drop_failed(key, done))
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)
        else:
            value = entry[1]
        return await asyncio.shield(value)

    def _drop_failed(self, key: K, done: "asyncio.Future[V]") -> None:
        entry = self._entries.get(key)
        if entry is not None and entry[1] is done and (done.cancelled() or done.exception() is not None):
            del self._entries[key]
