"""The operator as one thing: made from its configuration, started in order, stopped in order.

kopf cancels every task that is younger than itself when it ends, so it starts last and stops last.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress

from trainyard_api.exit_codes import ExitCode
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.kube.client import KubeClient
from trainyard_operator.kube.credentials import Credentials
from trainyard_operator.kube.reach import Reach
from trainyard_operator.progress.server import ProgressEndpoint, ProgressListener
from trainyard_operator.progress.tls import ServerCertificate, ensure_authority, server_names
from trainyard_operator.runtime.clock import utc_now
from trainyard_operator.runtime.runtime import Runtime
from trainyard_operator.shell.freshness import Freshness
from trainyard_operator.shell.probes import Probes
from trainyard_operator.shell.start import Patience, StartError
from trainyard_operator.shell.watches import EXIT_SECONDS, Watches

STOP_SECONDS = 5.0
"""How long the workers may take for the calls they are in."""

log = logging.getLogger(__name__)


class Operator:
    """Everything that runs in the operator's process."""

    def __init__(
        self,
        config: OperatorConfig,
        credentials: Credentials,
        *,
        stop: asyncio.Event,
        kopf_ready: Callable[[], None] = lambda: None,
        patience: Patience | None = None,
    ) -> None:
        """``stop`` ends :meth:`run`; ``kopf_ready`` is called each time kopf has started: it takes the signals."""
        self._config = config
        self._credentials = credentials
        self._stop = stop
        self._kopf_ready = kopf_ready
        self._patience = patience or Patience(credentials.server)
        self._refused = asyncio.Event()
        self._reach = Reach(credentials.server)
        self._freshness = Freshness(config.namespaces, reach=self._reach)
        self._runtime: Runtime | None = None
        self._listener: ProgressListener | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.probes = Probes(config.health, health=self.health, readiness=self.readiness)

    @property
    def progress_port(self) -> int | None:
        """Where the progress endpoint listens; ``None`` while it does not."""
        return self._listener.port if self._listener is not None else None

    def health(self) -> str | None:
        """Return why a restart would help, ``None`` if it would not. Nothing outside the process counts here."""
        ended = next((task.get_name() for task in self._tasks if task.done()), None)
        if ended is not None:
            return f"task {ended} has ended"
        return self._runtime.health() if self._runtime is not None else None

    def readiness(self) -> str | None:
        """Return what is missing, ``None`` when all there is was listed, the watches tell, and reports are taken."""
        if self._runtime is None or not self._runtime.ready:
            return "the first list is not complete"
        if self.progress_port is None:
            return "the progress endpoint does not listen yet"
        return self._freshness.readiness()

    async def run(self) -> None:
        """Run until told to stop.

        Raises
        ------
        StartError
            When the API server refuses us, or lacks our CRDs.
        """
        ends = [asyncio.create_task(event.wait()) for event in (self._stop, self._refused)]
        async with AsyncExitStack() as stack:  # the last entered stops first
            stack.callback(_cancel, ends)
            start = asyncio.create_task(self._start(stack), name="start")
            await asyncio.wait([*ends, start], return_when=asyncio.FIRST_COMPLETED)
            watches = await _result(start)
            if watches is not None:
                log.info("running: progress on port %s, probes on port %s", self.progress_port, self.probes.port)
                await asyncio.wait([*ends, watches], return_when=asyncio.FIRST_COMPLETED)
            log.info("stopping")
        if self._refused.is_set():
            raise StartError(ExitCode.NOT_PERMITTED, f"{self._credentials.server} refuses our credentials")

    async def _start(self, stack: AsyncExitStack) -> asyncio.Task[None]:
        """Start everything, and return the task that watches: it is the last to start and ends when kopf is told to."""
        config = self._config
        await self.probes.start()
        stack.push_async_callback(self.probes.stop)
        port = await stack.enter_async_context(KubeClient(self._credentials, config.client, reach=self._reach))
        authority = await self._patience.until_done(
            "the TLS secret",
            lambda: ensure_authority(port, config.namespace, config.progress.tls_secret, now=utc_now()),
        )
        certificate = ServerCertificate(authority, server_names(config.progress.url), clock=utc_now)
        renewal = asyncio.create_task(certificate.keep_fresh(), name="certificate")
        stack.callback(renewal.cancel)

        runtime = self._runtime = Runtime(
            port, config, ca=authority.pem, instance=socket.gethostname(), listed=self._freshness.listed
        )
        stack.push_async_callback(self._stop_runtime, runtime)
        await self._patience.until_done("the first list", runtime.start)
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
        watches = Watches(
            config.namespaces,
            self._credentials,
            runtime,
            self._freshness,
            refused=self._refused,
            ready=self._kopf_ready,
        )
        watching = asyncio.create_task(watches.run(), name="watches")
        stack.push_async_callback(_stop_watches, watches, watching)
        self._tasks = [renewal, watching]
        return watching

    async def _stop_runtime(self, runtime: Runtime) -> None:
        async with asyncio.timeout(STOP_SECONDS):
            await runtime.stop()


async def _stop_watches(watches: Watches, task: asyncio.Task[None]) -> None:
    watches.stop()
    async with asyncio.timeout(EXIT_SECONDS):
        await task


async def _result(start: asyncio.Task[asyncio.Task[None]]) -> asyncio.Task[None] | None:
    """Return what the start returned; ``None`` when we were told to stop before its end."""
    if start.done():
        return start.result()
    start.cancel()
    with suppress(asyncio.CancelledError):
        return await start
    return None


def _cancel(tasks: Iterable[asyncio.Task[bool]]) -> None:
    for task in tasks:
        task.cancel()
