"""Close idle connections. Each one needs a file descriptor, and aiohttp waits for a request without a limit."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

QUIET_SECONDS = 30.0
"""Maximum time without a request, before the first one or after the last one."""
CHECK_SECONDS = 5.0


class QuietConnections:
    """Close the connections of a server that have no request for too long."""

    def __init__(self, *, quiet_seconds: float = QUIET_SECONDS, check_seconds: float = CHECK_SECONDS) -> None:
        self._quiet = quiet_seconds
        self._check = check_seconds
        self._busy: set[Any] = set()
        self._since: dict[Any, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, app: web.Application) -> None:
        """Record the requests of an application. Call it before the application runs."""

        @web.middleware
        async def note(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            connection = request.protocol
            self._busy.add(connection)
            try:
                return await handler(request)
            finally:
                self._busy.discard(connection)
                self._since.pop(connection, None)

        app.middlewares.append(note)

    def start(self, runner: web.AppRunner) -> None:
        """Start to check the connections. It uses no task, because kopf cancels tasks when it ends."""
        self._inspect(runner)

    def stop(self) -> None:
        """Stop the checks."""
        if self._timer is not None:
            self._timer.cancel()

    def _inspect(self, runner: web.AppRunner) -> None:
        loop = asyncio.get_running_loop()
        now, server = loop.time(), runner.server
        connections = server.connections if server is not None else []
        self._since = {each: self._since.get(each, now) for each in connections if each not in self._busy}
        for connection, since in self._since.items():
            if now - since > self._quiet:
                connection.force_close()
        self._timer = loop.call_later(self._check, self._inspect, runner)
