"""Cache with limits for results that need an API call."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class TimedCache(Generic[K, V]):
    """Load each key once per time span, also for concurrent callers. Beyond ``size``, the oldest entries are dropped.

    Errors are not cached. They are raised in all callers of the same load, and the next call loads again.
    """

    def __init__(self, seconds: float, size: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[K, tuple[float, asyncio.Future[V]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        """Return the cached value of ``key``, or the result of ``load``."""
        entry = self._entries.get(key)
        if entry is None or self._clock() >= entry[0]:
            # A separate task: if one caller disconnects, the others still get the result.
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
