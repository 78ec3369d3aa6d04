"""An HTTP API server with scripted responses. It records all requests."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from trainyard_operator.kube.credentials import Credentials, FixedToken


@dataclass(frozen=True)
class RecordedRequest:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class ScriptedResponse:
    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


BROKEN = ScriptedResponse(status=0)
"""The connection is closed without a response."""


def failure(status: int, reason: str, message: str = "no", **headers: str) -> ScriptedResponse:
    return ScriptedResponse({"kind": "Status", "reason": reason, "message": message}, status, headers)


class ScriptedApi:
    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.responses: list[ScriptedResponse] = []
        self.rule: Callable[[RecordedRequest], ScriptedResponse] = lambda _: ScriptedResponse()
        self.hold: asyncio.Event | None = None
        self.open = self.most_open = 0
        self.arrived = asyncio.Semaphore(0)
        """Released once per request, so that a test can wait for a number of them."""
        self.url = ""

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.url, None, FixedToken("secret-token"))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        recorded = RecordedRequest(
            request.method, request.path, dict(request.query), dict(request.headers), json.loads(raw) if raw else None
        )
        self.requests.append(recorded)
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        self.arrived.release()
        try:
            if self.hold is not None:
                await self.hold.wait()
        finally:
            self.open -= 1
        response = self.responses.pop(0) if self.responses else self.rule(recorded)
        if response is BROKEN:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if response.raw is not None:
            return web.Response(body=response.raw, status=response.status, headers=response.headers)
        return web.json_response(response.body, status=response.status, headers=response.headers)


@asynccontextmanager
async def scripted_api() -> AsyncIterator[ScriptedApi]:
    api = ScriptedApi()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", api.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.url = "http://{}:{}".format(*runner.addresses[0])
    try:
        yield api
    finally:
        if api.hold is not None:
            api.hold.set()
        await runner.cleanup()
