"""A small asynchronous Kubernetes client with the requests of a node. Objects are plain dictionaries.

One event loop and one connection pool serve a watch and many status updates without threads.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Self

import aiohttp

from cluster.process_node.settings import NodeSettings

Json = dict[str, Any]

_log = logging.getLogger(__name__)

_REQUEST_SECONDS = 30
_WATCH_SECONDS = 300
_RETRY_SECONDS = 1.0
_LINE_BYTES = 8 * 2**20
"""More than the largest object of the API server: a watch sends each object as one line."""


class ApiError(Exception):
    """The API server refused a request, or did not respond (status 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def retry(what: str, call: Callable[[], Awaitable[object]]) -> None:
    """Repeat a request until the API server accepts it. A refused request is logged and not repeated."""
    while True:
        try:
            await call()
        except ApiError as error:
            _log.warning("%s failed with status %d: %s", what, error.status, error)
            if 400 <= error.status < 500 and error.status != HTTPStatus.TOO_MANY_REQUESTS:
                return
        else:
            return
        await asyncio.sleep(_RETRY_SECONDS)


class ApiClient:
    """Requests to one API server. Use it as an asynchronous context manager."""

    def __init__(self, settings: NodeSettings) -> None:
        context = ssl.create_default_context(cafile=str(settings.ca))
        context.load_cert_chain(settings.certificate, settings.key)
        self._session = aiohttp.ClientSession(
            base_url=settings.server,
            connector=aiohttp.TCPConnector(ssl=context),
            timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
            read_bufsize=_LINE_BYTES,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, path: str) -> Json:
        """Read one object or list. Raises :class:`ApiError`, like all requests."""
        return await self._request("GET", path)

    async def create(self, path: str, body: Json) -> Json:
        """Create an object in a collection, or call a subresource such as `token`."""
        return await self._request("POST", path, body)

    async def patch(self, path: str, body: Json) -> Json:
        """Change a part of an object."""
        return await self._request("PATCH", path, body, "application/strategic-merge-patch+json")

    async def delete(self, path: str, options: Json) -> None:
        """Delete an object."""
        await self._request("DELETE", path, options)

    async def _request(self, method: str, path: str, body: Json | None = None, kind: str = "application/json") -> Json:
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": kind}
        with _as_api_error(path):
            async with self._session.request(method, path, data=data, headers=headers) as response:
                content = await response.text()
                if not response.ok:
                    raise ApiError(response.status, _message(content))
                return dict(json.loads(content))

    async def watch(self, path: str, query: str, version: str) -> AsyncIterator[tuple[str, Json]]:
        """Yield the kind (such as DELETED) and the object of each change since a version, for some minutes."""
        options = f"watch=true&timeoutSeconds={_WATCH_SECONDS}&resourceVersion={version}"
        timeout = aiohttp.ClientTimeout(total=_WATCH_SECONDS + _REQUEST_SECONDS)
        with _as_api_error(path):
            async with self._session.get(f"{path}?{query}&{options}", timeout=timeout) as response:
                if not response.ok:
                    raise ApiError(response.status, _message(await response.text()))
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiError(event["object"].get("code", 0), event["object"].get("message", "it ended"))
                    yield event["type"], event["object"]


@contextmanager
def _as_api_error(path: str) -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ApiError(0, f"the API server did not respond to {path}: {error or type(error).__name__}") from error


def _message(content: str) -> str:
    try:
        return str(json.loads(content).get("message", content))
    except ValueError:
        return content[:500]
