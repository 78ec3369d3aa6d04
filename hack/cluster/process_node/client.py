"""A small asynchronous Kubernetes client: the calls that a node makes, with plain objects in and out.

A node watches one list and writes many small statuses at once; one event loop and one connection pool do that without
threads.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Self

import aiohttp

from cluster.process_node.podspec import Json

_log = logging.getLogger(__name__)

STRATEGIC_MERGE = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"

_REQUEST_SECONDS = 30
_WATCH_SECONDS = 300
_RETRY_SECONDS = 1.0
_TOO_MANY_REQUESTS = 429
_GONE = 410


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Access:
    """Where the API server is and who we are to it."""

    server: str
    ca: Path
    certificate: Path
    key: Path


async def insist(what: str, call: Callable[[], Awaitable[object]]) -> None:
    """Repeat a call until the API server has answered; one that it refuses for good is logged and given up."""
    while True:
        try:
            await call()
        except ApiError as error:
            _log.warning("%s: refused with %d: %s", what, error.status, error)
            if error.status < 500 and error.status != _TOO_MANY_REQUESTS:
                return
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.warning("%s: no answer: %s", what, error or type(error).__name__)
        else:
            return
        await asyncio.sleep(_RETRY_SECONDS)


class Change(NamedTuple):
    """One change of a watched collection."""

    kind: Literal["SET", "DELETED"]
    item: Json


class ApiClient:
    """Requests to one API server. Use as an asynchronous context manager."""

    def __init__(self, access: Access) -> None:
        self._access = access
        context = ssl.create_default_context(cafile=str(access.ca))
        context.load_cert_chain(access.certificate, access.key)
        self._session = aiohttp.ClientSession(
            base_url=access.server,
            connector=aiohttp.TCPConnector(ssl=context, limit=64),
            timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    @property
    def access(self) -> Access:
        """Where the API server is and who we are to it."""
        return self._access

    async def get(self, path: str) -> Json:
        """Read one object or list."""
        return await self._request("GET", path)

    async def find(self, path: str) -> Json | None:
        """Read one object; None when it does not exist."""
        try:
            return await self._request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def create(self, path: str, body: Json) -> Json:
        """Create an object in a collection, or call a subresource such as `token`."""
        return await self._request("POST", path, body)

    async def patch(self, path: str, body: Json, kind: str = STRATEGIC_MERGE) -> Json:
        """Change part of an object."""
        return await self._request("PATCH", path, body, kind)

    async def delete(self, path: str, body: Json | None = None) -> None:
        """Delete an object; one that is gone, or has been replaced by another of that name, is fine."""
        try:
            await self._request("DELETE", path, body)
        except ApiError as error:
            if error.status not in {404, 409}:
                raise

    async def _request(self, method: str, path: str, body: Json | None = None, kind: str = "application/json") -> Json:
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, path, data=data, headers={"Content-Type": kind}) as response:
            content = await response.text()
            if response.status >= 400:
                raise ApiError(response.status, _message(content))
            return dict(json.loads(content))

    async def follow(self, path: str, query: str = "") -> AsyncIterator[Change]:
        """List a collection and then watch it, for ever.

        After a break every object is told again, and those that went meanwhile are told as deleted.
        """
        known: dict[str, Json] = {}
        while True:
            try:
                listed = await self.get(f"{path}?{query}")
                present = {item["metadata"]["uid"]: item for item in listed.get("items", [])}
                for uid in set(known) - set(present):
                    yield Change("DELETED", known.pop(uid))
                for uid, item in present.items():
                    known[uid] = item
                    yield Change("SET", item)
                version = listed["metadata"]["resourceVersion"]
                async for change in self._watch(path, query, version):
                    uid = change.item["metadata"]["uid"]
                    if change.kind == "DELETED":
                        known.pop(uid, None)
                    else:
                        known[uid] = change.item
                    yield change
            except (aiohttp.ClientError, TimeoutError, ApiError) as error:
                _log.warning("watch of %s broke: %s", path, error or type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _watch(self, path: str, query: str, version: str) -> AsyncIterator[Change]:
        """Watch until the API server says that our place in history is gone; a closed stream is taken up again."""
        while True:
            options = f"watch=true&allowWatchBookmarks=true&timeoutSeconds={_WATCH_SECONDS}&resourceVersion={version}"
            timeout = aiohttp.ClientTimeout(total=None, sock_read=_WATCH_SECONDS + _REQUEST_SECONDS)
            async with self._session.get(f"{path}?{query}&{options}", timeout=timeout) as response:
                if response.status >= 400:
                    raise ApiError(response.status, _message(await response.text()))
                async for line in _lines(response.content):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        if event["object"].get("code") == _GONE:
                            _log.info("watch of %s: too old, listed again", path)
                            return
                        raise ApiError(event["object"].get("code", 500), event["object"].get("message", "watch failed"))
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        yield Change("DELETED" if event["type"] == "DELETED" else "SET", event["object"])


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Split a stream into lines of any length; aiohttp's own reader refuses long ones."""
    rest = b""
    async for chunk in stream.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line


def _message(content: str) -> str:
    try:
        return str(json.loads(content).get("message", content))
    except ValueError:
        return content[:500]
