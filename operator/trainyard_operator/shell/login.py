"""Login handler for kopf. It uses the operator's credentials and TLS context in a session of its own."""

import asyncio
import logging
import time
from collections.abc import Callable
from types import SimpleNamespace

import aiohttp
import kopf

from trainyard_operator.kube.credentials import Credentials, CredentialsError
from trainyard_operator.shell.freshness import Freshness

MAX_LOGINS = 3
LOGIN_SECONDS = 60.0
"""More than ``MAX_LOGINS`` logins in this time mean that the API server does not accept the credentials."""

log = logging.getLogger(__name__)


class Login:
    """Login handler for kopf. kopf calls it again after every 401, when a rotated token has been read."""

    def __init__(
        self,
        credentials: Credentials,
        freshness: Freshness,
        *,
        refused: asyncio.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the handler.

        ``refused`` is set if the API server keeps refusing the credentials; the process must end then.
        """
        self._credentials = credentials
        self._freshness = freshness
        self._clock = clock
        self._recent: list[float] = []
        self._refused = refused

    def session(self) -> kopf.AiohttpSession | None:
        """Return a new session, ``None`` if the credentials are refused. Call it inside the event loop."""
        now = self._clock()
        self._recent = [at for at in self._recent if now - at < LOGIN_SECONDS]
        if len(self._recent) >= MAX_LOGINS:
            self._refused.set()
            return None
        self._recent.append(now)
        tls = self._credentials.tls
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls if tls is not None else True),
            trace_configs=[self._signing(), self._freshness.trace()],
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return kopf.AiohttpSession(server=self._credentials.server, aiohttp_session=session)

    def _signing(self) -> aiohttp.TraceConfig:
        """Return a trace configuration that signs each request with the current token.

        A session lives longer than a token.
        """

        async def started(
            _: aiohttp.ClientSession, __: SimpleNamespace, start: aiohttp.TraceRequestStartParams
        ) -> None:
            try:
                token = self._credentials.token.current()
            except CredentialsError as error:
                log.error("%s", error)  # noqa: TRY400 - the message contains the cause
                return
            if token:
                start.headers["Authorization"] = f"Bearer {token}"

        config = aiohttp.TraceConfig()
        config.on_request_start.append(started)
        return config
