"""Check whether the watches still deliver.

kopf calls its handlers only for changes, so a quiet cluster and a dead watch look the same. However, the server ends
each watch after a few minutes, and kopf opens the next one. A watch that was not opened for longer is silent. A restart
of the process would not help. Therefore a silent watch is reported. It is opened again once the API server responds to
the operator's own lists.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import aiohttp
from prometheus_client import Gauge

from trainyard_operator.core.plan import Kind
from trainyard_operator.kube.reach import SICK, Reach
from trainyard_operator.runtime.registry import KINDS

SILENT_SECONDS = 300.0
GRACE_SECONDS = 60.0
"""kopf retries each watch more often than this.

A watch is stuck if it is silent for this long after a successful list.
"""
REFUSALS = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})

AGE = Gauge(
    "trainyard_watch_age_seconds",
    "Time since the API server last accepted a watch, which it ends after 240 s; namespace is empty for all namespaces",
    ["resource", "namespace"],
)

log = logging.getLogger(__name__)


@dataclass
class Watch:
    """One watch: when it was last opened, and the API server's last response.

    Attributes
    ----------
    refused
        The status (403, 404) with which the API server last refused the watch or its list; ``None`` otherwise.
    answered
        When one of the operator's lists first succeeded while the watch was silent; ``None`` if none did.
    """

    name: str
    opened: float
    waiting: bool = True
    refused: int | None = None
    answered: float | None = None
    reported: bool = False

    def is_silent(self, now: float) -> bool:
        """Return whether the watch was not opened for longer than the API server keeps one open."""
        return now - self.opened > SILENT_SECONDS

    def problem(self, now: float) -> str | None:
        """Return the problem of the watch, ``None`` if there is none."""
        if self.refused is not None:
            return f"the API server refuses the watch on {self.name} with {self.refused}"
        if self.is_silent(now):
            return f"the watch on {self.name} was last opened {now - self.opened:.0f} s ago"
        return None


class Freshness:
    """Times at which each watch was last opened, from the requests of kopf's session."""

    def __init__(
        self,
        namespaces: tuple[str, ...],
        *,
        reach: Reach | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the check. ``reach`` records for each request of kopf whether the API server responded."""
        self._clock = clock
        self._reach = reach if reach is not None else Reach("the API server", clock=clock)
        self._watches: dict[str, Watch] = {}
        for kind, watched in KINDS.items():
            for namespace in namespaces or (None,):
                watch = Watch(watched.resource.plural + (f" in {namespace}" if namespace else ""), clock())
                self._watches[_path(kind, namespace)] = watch
                AGE.labels(watched.resource.plural, namespace or "").set_function(_age(watch, clock))

    def opened(self, path: str) -> None:
        """Record that the API server accepted a watch on ``path``."""
        if (watch := self._watches.get(path)) is not None:
            watch.opened, watch.waiting, watch.refused, watch.answered = self._clock(), False, None, None

    def refused(self, path: str, status: int) -> None:
        """Record that the API server refused a watch on ``path``, or the list before it."""
        if (watch := self._watches.get(path)) is not None:
            watch.refused = status

    def listed(self, kind: Kind, namespace: str | None) -> None:
        """Record that one of the operator's lists of the watched resource succeeded."""
        watch, now = self._watches[_path(kind, namespace)], self._clock()
        if watch.answered is None and watch.is_silent(now):
            watch.answered = now

    def readiness(self) -> str | None:
        """Return why the watches do not deliver, ``None`` if they do.

        A refused watch does not count while others are open, so that one namespace does not stop all the others.
        """
        now = self._clock()
        usable = [watch for watch in self._watches.values() if watch.refused is None]
        if not usable:
            return "the API server refuses every watch; check the chart's roles and CRDs"
        if any(watch.waiting for watch in usable):
            return "the watches are not open yet"
        return _first(watch.problem(now) for watch in usable)

    def report(self) -> None:
        """Log each watch that has failed or recovered since the last call.

        Nothing is logged while the API server is unreachable, and until kopf has had time to retry.
        """
        if self._reach.away_within(GRACE_SECONDS):
            return
        now = self._clock()
        for watch in self._watches.values():
            problem = watch.problem(now)
            if problem is not None and not watch.reported:
                log.warning("%s; changes are only seen with the next list", problem)
            elif problem is None and watch.reported:
                log.info("the watch on %s is open again", watch.name)
            watch.reported = problem is not None

    def stuck(self) -> str | None:
        """Return a problem of a watch that stays silent although the API server responds. To open it again helps."""
        now = self._clock()
        return _first(
            watch.problem(now)
            for watch in self._watches.values()
            if watch.refused is None and watch.answered is not None and now - watch.answered > GRACE_SECONDS
        )

    def reopening(self) -> None:
        """Record that all watches are being opened again. A silent watch is stuck only after the next list."""
        for watch in self._watches.values():
            watch.answered = None

    def trace(self) -> aiohttp.TraceConfig:
        """Return the trace configuration with which an aiohttp session reports its watches here."""

        async def begins(_: aiohttp.ClientSession, request: SimpleNamespace, __: Any) -> None:
            request.started = self._reach.now()

        async def failed(
            _: aiohttp.ClientSession, request: SimpleNamespace, end: aiohttp.TraceRequestExceptionParams
        ) -> None:
            if isinstance(end.exception, aiohttp.ClientError | TimeoutError):
                self._reach.failed(
                    f"{end.method} {end.url.path}: {end.exception or 'no answer in time'}", request.started
                )

        async def ended(_: aiohttp.ClientSession, request: SimpleNamespace, end: aiohttp.TraceRequestEndParams) -> None:
            if end.response.status in SICK:
                self._reach.failed(f"{end.method} {end.url.path}: {end.response.status}", request.started)
                return
            self._reach.answered()
            if end.response.status in REFUSALS:
                self.refused(end.url.path, end.response.status)
            elif "watch" in end.url.query and end.response.ok:
                self.opened(end.url.path)

        config = aiohttp.TraceConfig()
        config.on_request_start.append(begins)
        config.on_request_exception.append(failed)
        config.on_request_end.append(ended)
        return config


def _path(kind: Kind, namespace: str | None) -> str:
    resource = KINDS[kind].resource
    within = f"/namespaces/{namespace}" if namespace is not None else ""
    return f"{resource.base}{within}/{resource.plural}"


def _age(watch: Watch, clock: Callable[[], float]) -> Callable[[], float]:
    return lambda: clock() - watch.opened


def _first(problems: Iterable[str | None]) -> str | None:
    return next((problem for problem in problems if problem is not None), None)
