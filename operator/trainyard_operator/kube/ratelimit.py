"""Token buckets for requests to the API server, and for requests of other clients to the operator."""

import asyncio
import time
from collections.abc import Callable


class TokenBucket:
    """Allow ``rate`` uses per second on average and ``burst`` at once.

    Waiting callers are served in their order, because each reserves its token in advance.
    """

    def __init__(self, rate: float, burst: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._at = clock()

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now

    def reserve(self) -> float:
        """Take a token in any case, and return the seconds to wait before its use."""
        self._refill()
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate)

    def refuse(self) -> float:
        """Take a token if one is available and return 0, else return the seconds until one is available."""
        self._refill()
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate

    def give_back(self) -> None:
        """Return a token that was not needed."""
        self._tokens = min(self._burst, self._tokens + 1)

    async def take(self) -> None:
        """Wait for a token."""
        if wait := self.reserve():
            await asyncio.sleep(wait)
