"""A keyed work queue: each key at most once in it, at most one worker on a key, nothing lost while one works.

The semantics are controller-runtime's: adding a key that waits changes nothing; adding one that is being worked on runs
it again afterwards; a delayed add keeps the earliest time; failures of a key are spaced out exponentially. On top, new
objects overtake: who applies 500 jobs waits for 500 Jobs, not for 500 Jobs and everything that follows from them.
"""

import asyncio
from collections import OrderedDict

from trainyard_operator.runtime.keys import Key

BACKOFF_START = 0.2
BACKOFF_LIMIT = 60.0
FAIR_SHARE = 32
"""Of so many turns one goes to the ordinary lane although new objects wait."""


class WorkQueue:
    """The queue. Not thread-safe: it belongs to one event loop."""

    def __init__(self) -> None:
        self._lanes: tuple[OrderedDict[Key, None], OrderedDict[Key, None]] = (OrderedDict(), OrderedDict())
        self._active: dict[Key, float] = {}
        self._dirty: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._turn = 0
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes)

    @property
    def oldest_active(self) -> float | None:
        """Return the loop time at which the longest-running turn began."""
        return min(self._active.values(), default=None)

    def add(self, key: Key, *, new: bool = False) -> None:
        """Put a key in line; ``new`` puts it into the lane that goes first."""
        if key in self._active:
            self._dirty.add(key)
            return
        first, rest = self._lanes
        if key in first:
            return
        if new:
            rest.pop(key, None)
            first[key] = None
        else:
            rest.setdefault(key)
        self._filled.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Put a key in line after a while; an earlier time that is already set stays."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    async def get(self) -> Key:
        """Wait for a key and take it; the caller must give it back with :meth:`done`."""
        while not len(self):
            self._filled.clear()
            await self._filled.wait()
        self._turn += 1
        first, rest = self._lanes
        lane = rest if rest and (not first or self._turn % FAIR_SHARE == 0) else first
        key, _ = lane.popitem(last=False)
        self._active[key] = asyncio.get_running_loop().time()
        return key

    def done(self, key: Key) -> None:
        """Give a key back after a turn; runs it again if it was added meanwhile."""
        del self._active[key]
        if key in self._dirty:
            self._dirty.discard(key)
            self.add(key)

    def succeeded(self, key: Key) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    def failed(self, key: Key, *, at_least: float = 0.0) -> float:
        """Put a key in line again after a pause that doubles with each failure; return the pause in seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        pause = max(at_least, min(BACKOFF_START * 2.0**count, BACKOFF_LIMIT))
        self.add_after(key, pause)
        return pause

    def forget(self, key: Key) -> None:
        """Drop timers and failures of an object that is gone."""
        self._failures.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Cancel every timer."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)
