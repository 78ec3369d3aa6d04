"""A small asynchronous Kubernetes client with the requests of a node. Objects are plain dictionaries.

One event loop and one connection pool serve a watch and many status updates without threads.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import aiohttp

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

    @property
    def refused(self) -> bool:
        """Whether the same request would be refused again."""
        return 400 <= self.status < 500 and self.status != HTTPStatus.TOO_MANY_REQUESTS


@dataclass(frozen=True)
class Access:
    """The address of the API server, and the client certificate of the node."""

    server: str
    ca: Path
    certificate: Path
    key: Path


class Change(NamedTuple):
    """One change of a watched collection."""

    kind: Literal["SET", "DELETED"]
    item: Json


async def retry(what: str, call: Callable[[], Awaitable[object]]) -> None:
    """Repeat a request until the API server accepts it. A refused request is logged and not repeated."""
    while True:
        try:
            await call()
        except ApiError as error:
            _log.warning("%s failed with status %d: %s", what, error.status, error)
            if error.refused:
                return
        else:
            return
        await asyncio.sleep(_RETRY_SECONDS)


class ApiClient:
    """Requests to one API server. Use it as an asynchronous context manager."""

    def __init__(self, access: Access) -> None:
        context = ssl.create_default_context(cafile=str(access.ca))
        context.load_cert_chain(access.certificate, access.key)
        self._session = aiohttp.ClientSession(
            base_url=access.server,
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

    async def follow(self, path: str, query: str) -> AsyncIterator[Change]:
        """List a collection and watch it, without end.

        When a watch ends, all objects are listed again. Objects that were deleted meanwhile are reported as deleted.
        """
        known: dict[str, Json] = {}
        while True:
            try:
                listed = await self.get(f"{path}?{query}")
                present = {item["metadata"]["uid"]: item for item in listed["items"]}
                for uid in known.keys() - present.keys():
                    yield Change("DELETED", known.pop(uid))
                for uid, item in present.items():
                    known[uid] = item
                    yield Change("SET", item)
                async for change in self._watch(path, query, listed["metadata"]["resourceVersion"]):
                    uid = change.item["metadata"]["uid"]
                    if change.kind == "DELETED":
                        known.pop(uid, None)
                    else:
                        known[uid] = change.item
                    yield change
            except ApiError as error:
                _log.warning("the watch of %s failed: %s", path, error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _watch(self, path: str, query: str, version: str) -> AsyncIterator[Change]:
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
                    yield Change("DELETED" if event["type"] == "DELETED" else "SET", event["object"])


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
