"""Reachability of the API server. One log line reports an outage, one repeats it every few minutes, and one ends it.

During an outage, all requests and watches fail for the same reason. Every sender of a request records the result here.
A failure for that reason alone is then not logged: see :func:`~trainyard_operator.kube.errors.log_level`.
"""

import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

AGAIN_SECONDS: Final = 300.0
"""Interval between log lines during an outage."""
PAUSE_SECONDS: Final = 60.0
"""Minimum time between the reports of two outages, so that an unstable API server does not fill the log."""
SICK: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
"""Responses of a proxy in place of the API server, or of an API server that starts or stops.

A 500 concerns one request.
"""

log = logging.getLogger(__name__)


class Reach:
    """Reachability of one API server."""

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
        """Whether no request got a response since one failed."""
        return self._away_since is not None

    def away_within(self, seconds: float) -> bool:
        """Return whether the API server is unreachable, or was so within the last ``seconds``."""
        return self.away or (self._back is not None and self._clock() - self._back < seconds)

    def now(self) -> float:
        """Return the start time of a request, for :meth:`failed`."""
        return self._clock()

    def answered(self) -> None:
        """Record that a request got a response, whatever it is."""
        self._last_response = now = self._clock()
        if self._away_since is None:
            return
        if self._reported_this:
            log.info("%s answers again after %.0f s", self._server, now - self._away_since)
        self._away_since, self._back, self._reported_this = None, now, False

    def failed(self, why: str, started: float) -> bool:
        """Record that a request got no response. Return whether no request got a response since it ``started``."""
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
