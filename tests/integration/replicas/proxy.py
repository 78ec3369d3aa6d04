"""A proxy between one operator and the API server, whose connections a test can cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import yaml


class Proxy:
    """Forwards bytes between a local port and the API server. It does not decrypt TLS."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open: set[asyncio.StreamWriter] = set()
        self._cut = False
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def to(cls, kubeconfig: Path) -> AsyncIterator[Self]:
        """Run a proxy to the API server of a kubeconfig."""
        proxy = cls(*_address(kubeconfig))
        server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            await proxy.cut()
            server.close()
            await server.wait_closed()

    async def cut(self) -> None:
        """Close every connection, and accept none until :meth:`restore`."""
        self._cut = True
        for writer in list(self._open):
            writer.transport.abort()

    def restore(self) -> None:
        self._cut = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        self._open |= {writer, up_writer}
        ways = [asyncio.create_task(_pump(reader, up_writer)), asyncio.create_task(_pump(up_reader, writer))]
        await asyncio.wait(ways)
        self._open -= {writer, up_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def _address(kubeconfig: Path) -> tuple[str, int]:
    url = urlsplit(yaml.safe_load(kubeconfig.read_text("utf-8"))["clusters"][0]["cluster"]["server"])
    return url.hostname or "127.0.0.1", url.port or 443


def through(proxy: Proxy, kubeconfig: Path, folder: Path) -> Path:
    """Write a kubeconfig whose server is the proxy."""
    content = yaml.safe_load(kubeconfig.read_text("utf-8"))
    content["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{proxy.port}"
    path = folder / "through-the-proxy.kubeconfig"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
