"""Whether the watches still deliver.

kopf tells its handlers of changes only, so a quiet cluster and a dead watch look alike. But the server ends each watch
after a few minutes and kopf opens the next: a watch that was not opened for longer than that is broken.
"""

import time
from collections.abc import Callable
from types import SimpleNamespace

import aiohttp

from trainyard_operator.kube.watched import WATCHED

SILENT_SECONDS = 300.0


class Freshness:
    """When each watch was last opened, read from the requests of kopf's session."""

    def __init__(self, namespaces: tuple[str, ...], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        within = [f"/namespaces/{namespace}" for namespace in namespaces] or [""]
        self._opened = {
            f"{watched.resource.base}{where}/{watched.resource.plural}": clock()
            for watched in WATCHED.values()
            for where in within
        }
        self._waiting = set(self._opened)

    @property
    def complete(self) -> bool:
        """Every watch was opened at least once."""
        return not self._waiting

    def opened(self, path: str) -> None:
        """Note that the API server answered a watch on ``path``."""
        if path in self._opened:
            self._opened[path] = self._clock()
            self._waiting.discard(path)

    def health(self) -> str | None:
        """Return a sentence when a watch is silent, ``None`` when all are well."""
        for path, at in self._opened.items():
            if (age := self._clock() - at) > SILENT_SECONDS:
                return f"the watch on {path} was last opened {age:.0f} s ago"
        return None

    def trace(self) -> aiohttp.TraceConfig:
        """Return what an aiohttp session needs to report its watches here."""

        async def ended(_: aiohttp.ClientSession, __: SimpleNamespace, end: aiohttp.TraceRequestEndParams) -> None:
            if "watch" in end.url.query and end.response.ok:
                self.opened(end.url.path)

        config = aiohttp.TraceConfig()
        config.on_request_end.append(ended)
        return config
