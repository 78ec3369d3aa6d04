"""Liveness, readiness and metrics over plain HTTP."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from trainyard_operator.core.config import HealthServer
from trainyard_operator.progress.connections import QuietConnections
from trainyard_operator.progress.listening import site
from trainyard_operator.runtime import metrics

Check = Callable[[], str | None]
"""Return a message if there is a problem, ``None`` otherwise."""


class Probes:
    """Probe server.

    ``/healthz`` reports whether a restart helps, ``/readyz`` whether this replica can receive reports.
    """

    def __init__(
        self, config: HealthServer, *, health: Check, readiness: Check, describe: Callable[[], str] = lambda: "ok"
    ) -> None:
        """Create the server. ``describe`` returns the response text of a ready pod."""
        self._config = config
        app = web.Application()
        app.router.add_get("/healthz", _handler(health, lambda: "ok"))
        app.router.add_get("/readyz", _handler(readiness, describe))
        app.router.add_get("/metrics", _metrics)
        self._quiet = QuietConnections()
        self._quiet.watch(app)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Start to listen.

        Raises
        ------
        OSError
            If the port is in use.
        """
        await self._runner.setup()
        await site(self._runner, self._config.bind, self._config.port).start()
        self._quiet.start(self._runner)

    async def stop(self) -> None:
        """Close the socket."""
        self._quiet.stop()
        await self._runner.cleanup()


def _handler(check: Check, well: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def respond(_: web.Request) -> web.Response:
        problem = check()
        return web.Response(text=problem or well(), status=200 if problem is None else 503)

    return respond


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=await metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})
