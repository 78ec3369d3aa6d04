"""HTTPS endpoint for the trainers' reports. A callback for Kubeflow Trainer (KEP-2779) works unchanged.

The cheap checks come first: path, size, the claims in the token, TokenReview, and the pod's owner. The state of the
job, the rate and the body follow. A report changes only memory; the planner decides when it is written.
"""

import asyncio
import logging
import math
import re
import ssl
from collections.abc import Awaitable, Callable
from datetime import datetime

from aiohttp import web
from prometheus_client import Counter
from pydantic import ValidationError

from trainyard_api import meta
from trainyard_api.base import first_problem
from trainyard_api.wire import REPORT_MAX_BYTES, ProgressReport
from trainyard_operator.core.config import ProgressServer
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.port import KubePort
from trainyard_operator.kube.ratelimit import TokenBucket
from trainyard_operator.progress.authentication import Authenticator, Buckets, Target
from trainyard_operator.progress.connections import QuietConnections
from trainyard_operator.progress.forward import Leadership
from trainyard_operator.progress.jobs import JobDirectory, ReportSink
from trainyard_operator.progress.keys import TokenReviewer
from trainyard_operator.progress.listening import site
from trainyard_operator.progress.refused import RefusedError
from trainyard_operator.progress.token import ClaimedToken

REPORTS = Counter("trainyard_progress_reports_total", "Progress reports by HTTP status", ["code"])

BODY_SECONDS = 10.0
"""Maximum time for receiving a body. After that, the report is refused with 408."""
SHUTDOWN_SECONDS = 3.0
LINGER_SECONDS = 2.0
"""How long the rest of a refused body is read and discarded before the connection is closed."""
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
BURST_SHARE = 6
"""A job may send one sixth of its reports per minute at once."""

log = logging.getLogger(__name__)


class ProgressEndpoint:
    """Check reports and store the valid ones."""

    def __init__(
        self,
        port: KubePort,
        directory: JobDirectory,
        reports: ReportSink,
        *,
        reports_per_minute: int,
        clock: Callable[[], datetime],
        leadership: Leadership | None = None,
        tokens: TokenReviewer | None = None,
    ) -> None:
        """Create the endpoint.

        ``leadership`` defines who stores reports, ``None`` means this process; ``tokens`` replaces TokenReview.
        """
        self._leadership = leadership
        self._authenticator = Authenticator(port, directory, tokens)
        self._reports = reports
        burst = max(1.0, reports_per_minute / BURST_SHARE)
        self._rates = Buckets(lambda: TokenBucket(reports_per_minute / 60, burst))
        self._clock = clock

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(middlewares=[_as_status], client_max_size=REPORT_MAX_BYTES)
        app.router.add_post(meta.progress_path("{namespace}", "{name}", plural="{plural}"), self._post)
        return app

    async def _post(self, request: web.Request) -> web.StreamResponse:
        target = Target(**request.match_info)
        if not NAME.fullmatch(target.namespace) or not NAME.fullmatch(target.name):
            raise RefusedError(404, "the path names no object of the API")
        body = await _body(request)
        token = ClaimedToken.from_header(request.headers.get("Authorization"))
        sender = await self._authenticator.sender(token, target, request.remote or "")
        facts = sender.facts
        if self._leadership is not None and not self._leadership.leads:
            return await self._leadership.forward(request, body)
        if facts.terminal:
            raise RefusedError(409, f"{target} has ended")
        if sender.attempt != facts.current_attempt:
            raise RefusedError(409, f"attempt {sender.attempt} is not the current one")
        if wait := self._rates.of(facts.uid).refuse():
            raise RefusedError(429, "this job reports too often", retry_after=wait)
        report = _parse(body)
        if report is None:
            return web.json_response({})
        kept = self._reports.offer(
            Key(target.namespace, target.name, facts.kind),
            facts.uid,
            sender.attempt,
            report.trainer_status,
            after=facts.last_sequence,
            now=self._clock(),
        )
        return web.json_response({"trainerStatus": kept.status.wire()})


async def _body(request: web.Request) -> bytes:
    too_large = RefusedError(413, f"a report has at most {REPORT_MAX_BYTES} bytes")
    if (request.content_length or 0) > REPORT_MAX_BYTES:
        raise too_large
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large from error
    except TimeoutError as error:
        raise RefusedError(408, f"the body did not arrive within {BODY_SECONDS:.0f} s") from error


def _parse(body: bytes) -> ProgressReport | None:
    """Return the parsed report, ``None`` if it is empty. For that, KEP-2779 requires 200 without a write."""
    try:
        report = ProgressReport.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise RefusedError(422, 'the body is not JSON; send {"trainerStatus": {...}}') from error
        if first["type"] == "missing" and first["loc"] == ("trainerStatus",):
            return None
        raise RefusedError(422, first_problem(error, whole="body")) from error
    return report if report.trainer_status.model_fields_set else None


@web.middleware
async def _as_status(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        response = await handler(request)
    except RefusedError as refusal:
        response = _response(refusal)
    except web.HTTPException as error:
        response = _response(RefusedError(error.status, f"{request.method} is not supported here: {error.reason}"))
    except Exception:  # a bug must not stop the endpoint; the logged trace has no token
        log.exception("a progress report could not be processed")
        response = _response(RefusedError(500, "the report could not be processed; see the log of the operator"))
    REPORTS.labels(response.status).inc()
    return response


def _response(refusal: RefusedError) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if refusal.code == web.HTTPUnauthorized.status_code else {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after)))
    return web.json_response(refusal.status(), status=refusal.code, headers=headers)


class ProgressListener:
    """The endpoint on a socket."""

    def __init__(
        self,
        endpoint: ProgressEndpoint,
        config: ProgressServer,
        tls: ssl.SSLContext,
        quiet: QuietConnections | None = None,
    ) -> None:
        self._config = config
        self._tls = tls
        self._quiet = quiet or QuietConnections()
        app = endpoint.application()
        self._quiet.watch(app)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_SECONDS,
            lingering_time=LINGER_SECONDS,
        )

    @property
    def port(self) -> int | None:
        """The port that it listens on, ``None`` while it does not listen."""
        addresses = self._runner.addresses
        return int(addresses[0][1]) if addresses else None

    async def start(self) -> None:
        """Start to listen.

        Raises
        ------
        OSError
            If the port is in use.
        """
        await self._runner.setup()
        await site(self._runner, self._config.bind, self._config.port, self._tls).start()
        self._quiet.start(self._runner)

    async def stop(self) -> None:
        """Close the socket and let running requests complete."""
        self._quiet.stop()
        await self._runner.cleanup()
