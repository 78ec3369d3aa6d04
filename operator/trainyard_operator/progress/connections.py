"""Connections that say nothing are cut: each costs a file descriptor, and aiohttp waits for a request without limit."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

QUIET_SECONDS = 30.0
"""How long a connection may be open without a request: before its first, or after one was answered."""
CHECK_SECONDS = 5.0


class QuietConnections:
    """Cut the connections of a server on which no request runs for too long."""

    def __init__(self, *, quiet_seconds: float = QUIET_SECONDS, check_seconds: float = CHECK_SECONDS) -> None:
        self._quiet = quiet_seconds
        self._check = check_seconds
        self._busy: set[Any] = set()
        self._since: dict[Any, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, app: web.Application) -> None:
        """Note the requests of an application. Call it before the application runs."""

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
        """Look at the connections from now on. No task: kopf cancels tasks when it ends."""
        self._inspect(runner)

    def stop(self) -> None:
        """Look no further."""
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
