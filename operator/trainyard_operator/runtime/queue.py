"""A keyed work queue: each key at most once in it, at most one worker on a key, nothing lost while one works.

The semantics are controller-runtime's: adding a key that waits changes nothing; adding one that is being worked on runs
it again afterwards; a delayed add keeps the earliest time; failures of a key are spaced out exponentially. On top there
are lanes, so that no kind waits behind thousands of another. New objects have one of their own: who applies 500 jobs
waits for 500 Jobs, not for 500 Jobs and everything that follows from them.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from trainyard_operator.core.plan import Kind
from trainyard_operator.kinds.base import Key

BACKOFF_START = 0.2
BACKOFF_LIMIT = 60.0

NEW: Final = "new"
"""The lane of new objects."""
NEW_SHARE: Final = 32


class Lane:
    """Keys in line, and when the first of them is due on the queue's own clock, which counts turns given."""

    def __init__(self, share: int) -> None:
        self.keys: OrderedDict[Key, None] = OrderedDict()
        self._pace = 1 / share
        self.due = 0.0

    def add(self, key: Key, now: float) -> None:
        """Put a key at the end. A lane that had nothing to do has not saved turns up."""
        if not self.keys:
            self.due = max(self.due, now) + self._pace
        self.keys.setdefault(key)

    def take(self) -> Key:
        """Take the first key."""
        key, _ = self.keys.popitem(last=False)
        if self.keys:
            self.due += self._pace
        return key


class WorkQueue:
    """The queue. Not thread-safe: it belongs to one event loop."""

    def __init__(self, shares: Mapping[Kind, int]) -> None:
        """``shares`` are the turns of each kind in proportion to the others that have something to do.

        Of those that are due at the same time, the first here goes first.
        """
        self._lanes = {name: Lane(share) for name, share in shares.items()}
        self._new = self._lanes[NEW] = Lane(NEW_SHARE)
        self._now = 0.0
        self._active: dict[Key, float] = {}
        self._dirty: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return sum(len(lane.keys) for lane in self._lanes.values())

    @property
    def oldest_active(self) -> float | None:
        """Return the loop time at which the longest-running turn began."""
        return min(self._active.values(), default=None)

    def add(self, key: Key, *, new: bool = False) -> None:
        """Put a key in line; ``new`` puts it into the lane of new objects."""
        if key in self._active:
            self._dirty.add(key)
            return
        if key in self._new.keys:
            return
        lane = self._lanes[key.kind]
        if new:
            lane.keys.pop(key, None)
            lane = self._new
        lane.add(key, self._now)
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
        lane = min((lane for lane in self._lanes.values() if lane.keys), key=lambda lane: lane.due)
        self._now = lane.due
        key = lane.take()
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
