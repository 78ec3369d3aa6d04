"""A load driver: create objects over several connections, and watch for the objects that result.

One event loop, HTTP/1.1 over TLS, and watches of metadata only. A latency is the time from the response to the POST
until the first matching object appears in the watch.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from trainyard_operator.kube.credentials import load_credentials

METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

NameOf = Callable[[dict[str, Any]], str | None]
"""Maps the metadata of a watched object to the name of the posted object."""


@dataclass
class Measured:
    """Times on one clock, by the name of the posted object."""

    began: float = 0.0
    posted: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)

    def latencies(self) -> list[float]:
        """Return the seconds from the response to the POST until the object was seen, sorted."""
        return sorted(max(0.0, self.seen[name] - at) for name, at in self.posted.items())

    @property
    def per_second(self) -> float:
        """Return the number of seen objects per second, from the first POST to the last seen object."""
        return len(self.seen) / (max(self.seen.values()) - self.began)


class Load:
    """The connections of one run. ``connections`` of them post, one more watches."""

    def __init__(self, kubeconfig: Path, connections: int) -> None:
        credentials = load_credentials({"KUBECONFIG": str(kubeconfig)})
        tls = credentials.tls if credentials.tls is not None else True
        unlimited = aiohttp.ClientTimeout(total=None, sock_connect=10)
        self._server = credentials.server
        self._connections = connections
        self._posts = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=connections))
        self._watches = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=0), timeout=unlimited, read_bufsize=2**20
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._posts.close()
        await self._watches.close()

    async def run(
        self, bodies: list[dict[str, Any]], post_to: str, watch: str, name_of: NameOf, *, rate: float, seconds: float
    ) -> Measured:
        """Post all bodies, ``rate`` per second (0: as fast as possible), and wait until all have been seen.

        Raises
        ------
        TimeoutError
            If some objects were not seen ``seconds`` after the last POST. The message has their number.
        ConnectionError
            If the API server ends the watch before. It does so with watchers that are too slow.
        """
        measured = Measured()
        stream = await asyncio.wait_for(self._open(watch), 30)
        watcher = asyncio.create_task(self._follow(stream, name_of, measured, len(bodies)))
        try:
            measured.began = time.perf_counter()
            waiting = deque(enumerate(bodies))
            posters = (self._post(waiting, post_to, rate, measured) for _ in range(self._connections))
            await asyncio.gather(*posters)
            await asyncio.wait_for(watcher, seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{len(measured.seen)} of {len(bodies)} objects were seen on {watch}") from error
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])
        return measured

    async def _post(
        self, waiting: deque[tuple[int, dict[str, Any]]], path: str, rate: float, measured: Measured
    ) -> None:
        while waiting:
            number, body = waiting.popleft()
            if rate:
                await asyncio.sleep(max(0.0, measured.began + number / rate - time.perf_counter()))
            async with self._posts.post(self._server + path, json=body) as response:
                text = await response.text()
                if response.status != 201:
                    raise RuntimeError(f"POST {path}: {response.status} {text[:300]}")
            measured.posted[body["metadata"]["name"]] = time.perf_counter()

    async def _open(self, path: str) -> aiohttp.ClientResponse:
        """Open a watch from the present resourceVersion on."""
        url = self._server + path
        async with self._watches.get(url, headers={"Accept": METADATA_LIST}, params={"limit": "1"}) as listed:
            version = (await listed.json())["metadata"]["resourceVersion"]
        query = {"watch": "1", "resourceVersion": version}
        return await self._watches.get(url, headers={"Accept": METADATA}, params=query, raise_for_status=True)

    async def _follow(self, stream: aiohttp.ClientResponse, name_of: NameOf, measured: Measured, expected: int) -> None:
        async with stream:
            async for line in stream.content:
                now = time.perf_counter()
                name = name_of(json.loads(line)["object"]["metadata"])
                if name is not None:
                    measured.seen.setdefault(name, now)
                if len(measured.seen) == expected:
                    return
        raise ConnectionError(f"the API server ended the watch after {len(measured.seen)} of {expected} objects")


def percentile(values: list[float], percent: int) -> float:
    """Return the smallest of the sorted values for which at least ``percent`` per cent of the values are not larger."""
    return values[max(0, -(-len(values) * percent // 100) - 1)]
