"""Reports that reach a follower go on to the leader, so that the Service may send them to any replica.

A follower has checked by then who sends a report, so strangers do not get through it. It shows the leader the sender's
own token, and trusts the leader by the certificate authority that both serve with.
"""

import asyncio
import ssl
from typing import Protocol

import aiohttp
from aiohttp import web

from trainyard_operator.progress.refused import RefusedError

FORWARDED = "Trainyard-Forwarded"
"""On a report that a follower has sent on: it is not sent on again."""
FORWARD_SECONDS = 5.0
AGAIN_SECONDS = 5.0
KEPT_HEADERS = ("Retry-After", "WWW-Authenticate")


class Leadership(Protocol):
    """What the endpoint asks about the leader."""

    @property
    def leads(self) -> bool:
        """Whether this process keeps reports itself."""
        ...

    async def forward(self, request: web.Request, body: bytes) -> web.Response:
        """Let the leader answer. Raises :class:`RefusedError` (503) where there is none that can be reached."""
        ...


class Forwarder:
    """Send reports on over TLS. Close it after use."""

    def __init__(self, authority: str, server_name: str) -> None:
        """``authority`` (PEM) signs the certificates of all replicas, each of which is made out to ``server_name``."""
        self._tls = ssl.create_default_context(cadata=authority)
        self._name = server_name
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=FORWARD_SECONDS), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(self, address: str, request: web.Request, body: bytes) -> web.Response:
        """Return what the leader at ``address`` (``https://host:port``) answers.

        Raises
        ------
        RefusedError
            503 when there is no address, the leader does not answer, or the report has been sent on once.
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
    """Return the refusal for a report that nobody can keep now."""
    return RefusedError(503, "no leader of the operator can be reached now", retry_after=AGAIN_SECONDS)
