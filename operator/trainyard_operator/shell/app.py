"""The operator as one thing: made from its configuration, started in order, stopped in order.

kopf cancels every task that is younger than itself when it ends, so it starts last and stops last.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

import kopf

from trainyard_api.exit_codes import ExitCode
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.kube.client import KubeClient
from trainyard_operator.kube.credentials import Credentials
from trainyard_operator.kube.errors import ApiError, ForbiddenError, NotFoundError, UnauthorizedError
from trainyard_operator.progress.server import ProgressEndpoint, ProgressListener
from trainyard_operator.progress.tls import ServerCertificate, TlsSecretError, ensure_authority, server_names
from trainyard_operator.runtime.clock import utc_now
from trainyard_operator.runtime.runtime import Runtime
from trainyard_operator.shell.freshness import Freshness
from trainyard_operator.shell.login import Login
from trainyard_operator.shell.probes import Probes
from trainyard_operator.shell.settings import configure
from trainyard_operator.shell.wiring import register

START_SECONDS = 60.0
"""How long to wait for an API server, CRDs or RBAC that come up at the same time as we do."""
PAUSE_SECONDS = 1.0
STOP_SECONDS = 5.0
"""How long the workers may take for the calls they are in."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class StartError(Exception):
    """The operator cannot run; one sentence for the user, and the exit code of the process."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Operator:
    """Everything that runs in the operator's process."""

    def __init__(
        self,
        config: OperatorConfig,
        credentials: Credentials,
        *,
        stop: asyncio.Event,
        kopf_ready: Callable[[], None] = lambda: None,
        start_seconds: float = START_SECONDS,
    ) -> None:
        """``stop`` ends :meth:`run`; ``kopf_ready`` is called once kopf runs, which takes the signals for itself."""
        self._config = config
        self._credentials = credentials
        self._stop = stop
        self._kopf_ready = kopf_ready
        self._start_seconds = start_seconds
        self._kopf_stop = asyncio.Event()
        self._freshness = Freshness(config.namespaces)
        self._login = Login(credentials, self._freshness)
        self._kopf: asyncio.Task[None] | None = None
        self._runtime: Runtime | None = None
        self._listener: ProgressListener | None = None
        self.probes = Probes(config.health, health=self.health, readiness=self.readiness)

    @property
    def progress_port(self) -> int | None:
        """Where the progress endpoint listens; ``None`` while it does not."""
        return self._listener.port if self._listener is not None else None

    def health(self) -> str | None:
        """Return why a restart would help, ``None`` if it would not."""
        runtime = self._runtime.health() if self._runtime is not None else None
        return runtime or self._freshness.health()

    def readiness(self) -> str | None:
        """Return what is still missing, ``None`` when all there is was listed and reports are taken."""
        if self._runtime is None or not self._runtime.ready:
            return "the first list is not complete"
        if self.progress_port is None:
            return "the progress endpoint does not listen yet"
        return None if self._freshness.complete else "the watches are not open yet"

    async def run(self) -> None:
        """Run until told to stop.

        Raises
        ------
        StartError
            When the API server is not there, refuses us, or lacks our CRDs.
        """
        async with AsyncExitStack() as stack:  # the last entered stops first
            stack.push_async_callback(self._stop_kopf)
            await self._start(stack)
            log.info("running: progress on port %s, probes on port %s", self.progress_port, self.probes.port)
            await self._wait()
            log.info("stopping")
        if self._login.refused.is_set():
            raise StartError(ExitCode.NOT_PERMITTED, f"{self._credentials.server} refuses our credentials")

    async def _start(self, stack: AsyncExitStack) -> None:
        config = self._config
        await self.probes.start()
        stack.push_async_callback(self.probes.stop)
        port = await stack.enter_async_context(KubeClient(self._credentials, config.client))
        authority = await self._patiently(
            "the TLS secret",
            lambda: ensure_authority(port, config.namespace, config.progress.tls_secret, now=utc_now()),
        )
        certificate = ServerCertificate(authority, server_names(config.progress.url), clock=utc_now)
        renewal = asyncio.create_task(certificate.keep_fresh(), name="certificate")
        stack.callback(renewal.cancel)

        runtime = self._runtime = Runtime(port, config, ca=authority.pem, instance=socket.gethostname())
        stack.push_async_callback(self._stop_runtime, runtime)
        await self._patiently("the first list", runtime.start)
        endpoint = ProgressEndpoint(
            port,
            runtime.directory,
            runtime.reports,
            reports_per_minute=config.progress.reports_per_minute,
            clock=utc_now,
        )
        self._listener = ProgressListener(endpoint, config.progress, certificate.context)
        await self._listener.start()
        stack.push_async_callback(self._listener.stop)
        self._kopf = asyncio.create_task(self._watch(runtime), name="kopf")

    async def _patiently(self, what: str, step: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._start_seconds
        while True:
            try:
                return await step()
            except TlsSecretError as error:
                raise StartError(ExitCode.BAD_CONFIG, str(error)) from error
            except ApiError as error:
                problem = _start_error(self._credentials.server, what, error)
                if isinstance(error, UnauthorizedError) or loop.time() > deadline or self._stop.is_set():
                    raise problem from error
                log.warning("%s; trying again", problem)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _watch(self, runtime: Runtime) -> None:
        registry = kopf.OperatorRegistry()
        register(registry, runtime, self._login)
        settings = kopf.OperatorSettings()
        configure(settings)
        ready = asyncio.Event()
        told = asyncio.create_task(self._tell(ready), name="kopf-ready")
        try:
            await kopf.operator(
                registry=registry,
                settings=settings,
                standalone=True,
                clusterwide=not self._config.namespaces,
                namespaces=self._config.namespaces,
                stop_flag=self._kopf_stop,
                ready_flag=ready,
            )
        finally:
            told.cancel()

    async def _tell(self, ready: asyncio.Event) -> None:
        await ready.wait()
        self._kopf_ready()

    async def _wait(self) -> None:
        """Wait until we are told to stop, the API server refuses us, or kopf ends by itself (it raises then)."""
        events = [asyncio.create_task(event.wait()) for event in (self._stop, self._login.refused)]
        assert self._kopf is not None  # noqa: S101 - _start made it
        await asyncio.wait([*events, self._kopf], return_when=asyncio.FIRST_COMPLETED)
        for event in events:
            event.cancel()

    async def _stop_kopf(self) -> None:
        self._kopf_stop.set()
        if self._kopf is not None:
            await self._kopf

    async def _stop_runtime(self, runtime: Runtime) -> None:
        async with asyncio.timeout(STOP_SECONDS):
            await runtime.stop()


def _start_error(server: str, what: str, error: ApiError) -> StartError:
    match error:
        case UnauthorizedError():
            return StartError(ExitCode.NOT_PERMITTED, f"{server} refuses our credentials at {what}: {error.message}")
        case ForbiddenError():
            return StartError(
                ExitCode.NOT_PERMITTED, f"RBAC forbids {what}: {error.message}; install the chart's roles"
            )
        case NotFoundError():
            return StartError(
                ExitCode.INPUT_MISSING, f"{server} does not know {what}: {error.message}; install the CRDs of the chart"
            )
        case _:
            return StartError(ExitCode.UPSTREAM_UNAVAILABLE, f"{server} does not answer at {what}: {error}")
