"""Work queue with keys. Each key is queued once at most, and one worker at most processes it.

The semantics are those of controller-runtime. To add a queued key changes nothing. To add a key that is being processed
runs it again afterwards. A delayed add keeps the earliest time. Repeated failures of a key have an exponential
back-off. In addition, there is a lane for each kind, so that no kind waits behind thousands of others. New objects have
their own lane: a user who applies 500 jobs waits for 500 Jobs, and not for their later reconciles.
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
    """Queued keys, and the time of the first one on the queue's own clock. This clock counts reconciles."""

    def __init__(self, share: int) -> None:
        self.keys: OrderedDict[Key, None] = OrderedDict()
        self._pace = 1 / share
        self.due = 0.0

    def add(self, key: Key, now: float) -> None:
        """Add a key at the end. An empty lane does not accumulate credit."""
        if not self.keys:
            self.due = max(self.due, now) + self._pace
        self.keys.setdefault(key)

    def take(self) -> Key:
        """Remove and return the first key."""
        key, _ = self.keys.popitem(last=False)
        if self.keys:
            self.due += self._pace
        return key


class WorkQueue:
    """The work queue. It is not thread-safe and belongs to one event loop."""

    def __init__(self, shares: Mapping[Kind, int]) -> None:
        """Create the queue. ``shares`` are the relative shares of the kinds that have queued keys.

        If several kinds are due at the same time, the first one in the mapping goes first.
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
        """The loop time at which the longest-running reconcile began."""
        return min(self._active.values(), default=None)

    def add(self, key: Key, *, new: bool = False) -> None:
        """Queue a key. With ``new``, it is added to the lane of new objects."""
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
        """Queue a key after a delay. An earlier time that is already set is kept."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    async def get(self) -> Key:
        """Wait for a key and return it. The caller must return it with :meth:`done`."""
        while not len(self):
            self._filled.clear()
            await self._filled.wait()
        lane = min((lane for lane in self._lanes.values() if lane.keys), key=lambda lane: lane.due)
        self._now = lane.due
        key = lane.take()
        self._active[key] = asyncio.get_running_loop().time()
        return key

    def done(self, key: Key) -> None:
        """Mark a key as processed, and queue it again if it was added meanwhile."""
        del self._active[key]
        if key in self._dirty:
            self._dirty.discard(key)
            self.add(key)

    def succeeded(self, key: Key) -> None:
        """Reset the failures of a key."""
        self._failures.pop(key, None)

    def failed(self, key: Key, *, at_least: float = 0.0) -> float:
        """Queue a key after a delay that doubles with each failure. Return the delay in seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        pause = max(at_least, min(BACKOFF_START * 2.0**count, BACKOFF_LIMIT))
        self.add_after(key, pause)
        return pause

    def forget(self, key: Key) -> None:
        """Remove timers and failures of an object that does not exist any more."""
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
