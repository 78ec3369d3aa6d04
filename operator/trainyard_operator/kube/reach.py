"""Whether the API server answers at all: one line in the log when it stops, one each few minutes, one when it is back.

While it is away everything fails, each object and each watch for the same reason. Whoever sends a request notes here
how it went. What fails for that reason alone is no news then: see :func:`~trainyard_operator.kube.errors.log_level`.
"""

import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

AGAIN_SECONDS: Final = 300.0
"""How often it is told again while it lasts."""
PAUSE_SECONDS: Final = 60.0
"""So long after an outage was told another one is not: an API server that comes and goes must not fill the log."""
SICK: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
"""What a proxy answers in its place, or it itself while it starts and ends. A 500 is about one request."""

log = logging.getLogger(__name__)


class Reach:
    """What is known of one API server."""

    def __init__(self, server: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._last_response = clock()
        self._away_since: float | None = None
        self._back: float | None = None
        self._reported: float | None = None
        self._reported_this = False

    @property
    def away(self) -> bool:
        """It has answered nobody since a request failed."""
        return self._away_since is not None

    def away_within(self, seconds: float) -> bool:
        """Tell whether it is away, or was so short a time ago."""
        return self.away or (self._back is not None and self._clock() - self._back < seconds)

    def now(self) -> float:
        """Return the time at which a request begins, for :meth:`failed`."""
        return self._clock()

    def answered(self) -> None:
        """Note that a request was answered, whatever the answer."""
        self._last_response = now = self._clock()
        if self._away_since is None:
            return
        if self._reported_this:
            log.info("%s answers again after %.0f s", self._server, now - self._away_since)
        self._away_since, self._back, self._reported_this = None, now, False

    def failed(self, why: str, started: float) -> bool:
        """Note that a request was not answered. Return whether nobody was answered since it ``started``."""
        now = self._clock()
        if self._last_response > started:
            return False
        if self._away_since is None:
            self._away_since = now
        pause = AGAIN_SECONDS if self._reported_this else PAUSE_SECONDS
        if self._reported is None or now - self._reported >= pause:
            since = f" for {now - self._away_since:.0f} s" if self._reported_this else ""
            log.warning("%s does not answer%s: %s; all work waits for it", self._server, since, why)
            self._reported, self._reported_this = now, True
        return True
