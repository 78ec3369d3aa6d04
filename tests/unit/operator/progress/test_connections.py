"""Connections without a complete request are closed. Connections with a request stay open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from trainyard_operator.progress.connections import QuietConnections

TIMEOUT_SECONDS = 10.0
HALF = b"POST / HTTP/1.1\r\nHost: a\r\nContent-"


@asynccontextmanager
async def serving(quiet: QuietConnections, release: asyncio.Event) -> AsyncIterator[int]:
    async def respond(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response(text="done")

    app = web.Application()
    app.router.add_get("/", respond)
    quiet.watch(app)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    quiet.start(runner)
    try:
        yield int(runner.addresses[0][1])
    finally:
        quiet.stop()
        await runner.cleanup()


async def is_closed(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        try:
            return await reader.read(1) == b""
        except ConnectionError:
            return True


async def test_incomplete_requests_are_closed_and_slow_responses_are_not() -> None:
    quiet, release = QuietConnections(quiet_seconds=0.05, check_seconds=0.01), asyncio.Event()
    async with serving(quiet, release) as port:
        busy_reader, busy = await asyncio.open_connection("127.0.0.1", port)
        busy.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        half = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        for number, (_, writer) in enumerate(half):
            writer.write(HALF[:number])
        for reader, _ in half:
            assert await is_closed(reader)
        release.set()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert b"done" in await busy_reader.readuntil(b"done")
        assert await is_closed(busy_reader), "it has no further request"
        for _, writer in [*half, (busy_reader, busy)]:
            writer.close()
