"""Forward reports from a follower to the leader, so that the Service may route them to any replica.

A follower authenticates the sender first, so other clients cannot reach the leader through it. It sends the sender's
own token to the leader. It verifies the leader with the certificate authority that all replicas share.
"""

import asyncio
import ssl
from typing import Protocol

import aiohttp
from aiohttp import web

from trainyard_operator.progress.refused import RefusedError

FORWARDED = "Trainyard-Forwarded"
"""Header of a forwarded report. Such a report is not forwarded again."""
FORWARD_SECONDS = 5.0
AGAIN_SECONDS = 5.0
KEPT_HEADERS = ("Retry-After", "WWW-Authenticate")


class Leadership(Protocol):
    """What the endpoint needs to know about the leader."""

    @property
    def leads(self) -> bool:
        """Whether this process stores reports itself."""
        ...

    async def forward(self, request: web.Request, body: bytes) -> web.Response:
        """Return the leader's response.

        Raises
        ------
        RefusedError
            503 if no leader can be reached.
        """
        ...


class Forwarder:
    """Forward reports over TLS. Close it after use."""

    def __init__(self, authority: str, server_name: str) -> None:
        """Create a forwarder.

        ``authority`` (PEM) signs the certificates of all replicas, which are issued to ``server_name``.
        """
        self._tls = ssl.create_default_context(cadata=authority)
        self._name = server_name
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=FORWARD_SECONDS), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(self, address: str, request: web.Request, body: bytes) -> web.Response:
        """Return the response of the leader at ``address`` (``https://host:port``).

        Raises
        ------
        RefusedError
            503 if there is no address, the leader does not respond, or the report was already forwarded.
        """
        if not address or FORWARDED in request.headers:
            raise no_leader()
        headers = {
            "Authorization": request.headers.get("Authorization", ""),
            "Content-Type": request.headers.get("Content-Type", "application/json"),
            FORWARDED: "1",
        }
        try:
            async with self._session.post(
                f"{address}{request.path}", data=body, headers=headers, ssl=self._tls, server_hostname=self._name
            ) as response:
                kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
                return web.Response(
                    body=await response.read(), status=response.status, content_type=response.content_type, headers=kept
                )
        except (aiohttp.ClientError, TimeoutError, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and (
                (task := asyncio.current_task()) is None or task.cancelling()
            ):
                raise
            raise no_leader() from error


def no_leader() -> RefusedError:
    """Return the refusal of a report that no leader can store now."""
    return RefusedError(503, "no leader of the operator can be reached now", retry_after=AGAIN_SECONDS)
