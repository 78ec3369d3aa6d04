"""The operator process: it is built from its configuration, started in order, and stopped in order.

When kopf ends, it cancels every task that is younger than itself. Therefore it starts last.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import TypeVar

from trainyard_api.exit_codes import ExitCode
from trainyard_operator.core.config import ClientLimits, OperatorConfig
from trainyard_operator.kube.client import KubeClient
from trainyard_operator.kube.credentials import Credentials
from trainyard_operator.kube.reach import Reach
from trainyard_operator.progress.forward import Forwarder
from trainyard_operator.progress.keys import IssuerKeys
from trainyard_operator.progress.server import ProgressEndpoint, ProgressListener
from trainyard_operator.progress.tls import ServerCertificate, ensure_authority, server_names
from trainyard_operator.runtime.clock import utc_now
from trainyard_operator.runtime.elector import steady
from trainyard_operator.runtime.runtime import Runtime
from trainyard_operator.shell.definitions import report_definitions
from trainyard_operator.shell.freshness import Freshness
from trainyard_operator.shell.leading import Leading, identity_of, progress_address
from trainyard_operator.shell.probes import Probes
from trainyard_operator.shell.start import StartError, StartRetry
from trainyard_operator.shell.watches import EXIT_SECONDS, Watches

STOP_SECONDS = 5.0
"""How long the workers may take to complete their calls."""

LEASE_LIMITS = ClientLimits(qps=50, burst=200, connections=2)
"""Leases have their own client, so that many other requests do not delay a renewal."""

T = TypeVar("T")

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
        start_retry: StartRetry | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Create the operator.

        ``stop`` ends :meth:`run`. ``kopf_ready`` is called each time kopf has started, because kopf takes over the
        signals.

        ``env`` identifies the pod.
        """
        self._config = config
        self._credentials = credentials
        self._stop = stop
        self._kopf_ready = kopf_ready
        self._start_retry = start_retry or StartRetry(credentials.server)
        self._env = env if env is not None else {}
        self._identity = identity_of(self._env)
        self._refused = asyncio.Event()
        self._reach = Reach(credentials.server)
        self._freshness = Freshness(config.namespaces, reach=self._reach)
        self._leading: Leading | None = None
        self._runtime: Runtime | None = None
        self._listener: ProgressListener | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.probes = Probes(config.health, health=self.health, readiness=self.readiness, describe=self.describe)

    @property
    def progress_port(self) -> int | None:
        """The port of the progress endpoint, ``None`` while it does not listen."""
        return self._listener.port if self._listener is not None else None

    def health(self) -> str | None:
        """Return why a restart helps, ``None`` if it does not. Nothing outside the process counts."""
        ended = next((task.get_name() for task in self._tasks if task.done()), None)
        if ended is not None:
            return f"task {ended} has ended"
        if self._leading is not None and (problem := self._leading.health()) is not None:
            return problem
        return self._runtime.health() if self._runtime is not None else None

    def readiness(self) -> str | None:
        """Return what is missing, ``None`` if the lists are complete, the watches deliver, and reports are received."""
        if self._runtime is None or not self._runtime.ready:
            return "the first list is not complete"
        if self.progress_port is None:
            return "the progress endpoint does not listen yet"
        return self._freshness.readiness()

    def describe(self) -> str:
        """Return whether this replica is the leader, and what it waits for."""
        return self._leading.describe() if self._leading is not None else "ok"

    async def run(self) -> None:
        """Run until it is stopped. A process that loses the leadership starts again.

        Raises
        ------
        StartError
            If the API server refuses the credentials, or lacks the CRDs.
        """
        ends = [asyncio.create_task(event.wait()) for event in (self._stop, self._refused)]
        async with AsyncExitStack() as stack:
            stack.callback(_cancel, ends)
            await self.probes.start()
            stack.push_async_callback(self.probes.stop)
            while await self._live(ends):
                log.warning("%s starts again as a follower", self._identity)
        if self._refused.is_set():
            raise StartError(
                ExitCode.NOT_PERMITTED, f"{self._credentials.server} refuses the credentials of the operator"
            )

    async def _live(self, ends: Sequence[asyncio.Task[bool]]) -> bool:
        """Follow, and lead after an election. Return whether the leadership was lost, so that another round begins."""
        async with AsyncExitStack() as stack:  # the last entry stops first
            stack.callback(self._forget)
            start = asyncio.create_task(self._start(stack), name="start")
            await asyncio.wait([*ends, start], return_when=asyncio.FIRST_COMPLETED)
            life = await _result(start)
            if life is None:
                return False
            log.info("running: progress on port %s, probes on port %s", self.progress_port, self.probes.port)
            watches, leading = life
            await asyncio.wait([*ends, watches, leading], return_when=asyncio.FIRST_COMPLETED)
            if leading.done():
                leading.result()
            lost = leading.done() and not any(end.done() for end in ends)
            log.info("stopping")
        return lost

    async def _start(self, stack: AsyncExitStack) -> tuple[asyncio.Task[None], asyncio.Task[None]]:
        """Start everything. Return the task of the watches, which ends with kopf, and the task of the leader."""
        config = self._config
        calls = await stack.enter_async_context(KubeClient(self._credentials, LEASE_LIMITS, reach=self._reach))
        leading = self._leading = Leading(calls, config, self._identity)
        port = await stack.enter_async_context(
            KubeClient(self._credentials, config.client, reach=self._reach, fence=leading.fence)
        )
        authority = await self._start_retry.until_done(
            "the TLS secret",
            lambda: ensure_authority(calls, config.namespace, config.progress.tls_secret, now=utc_now()),
        )
        await self._start_retry.until_done("the Lease", leading.check)
        names = server_names(config.progress.url)
        certificate = ServerCertificate(authority, names, clock=utc_now)
        renewal = asyncio.create_task(certificate.keep_fresh(), name="certificate")
        stack.callback(renewal.cancel)

        runtime = self._runtime = Runtime(
            port,
            config,
            ca=authority.pem,
            instance=self._identity,
            listed=self._freshness.listed,
            scope=leading.claims,
        )
        stack.push_async_callback(self._stop_runtime, runtime)
        await self._start_retry.until_done("the first list", runtime.follow)
        endpoint = ProgressEndpoint(
            port,
            runtime.directory,
            runtime.reports,
            reports_per_minute=config.progress.reports_per_minute,
            clock=utc_now,
            leadership=leading,
            tokens=IssuerKeys(calls, calls, clock=utc_now, steady=steady) if config.progress.tokens == "Keys" else None,
        )
        self._listener = ProgressListener(endpoint, config.progress, certificate.context)
        await self._listener.start()
        stack.push_async_callback(self._listener.stop)
        forwarder = Forwarder(authority.pem, names[0])
        stack.push_async_callback(forwarder.close)
        address = progress_address(self._env, config.progress.bind, self.progress_port or 0)
        reported = asyncio.create_task(report_definitions(calls), name="definitions")
        stack.callback(reported.cancel)
        leader = leading.start(runtime, forwarder, address, self._start_retry.until_done)
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
        stack.push_async_callback(self._resign, leading)
        self._tasks = [renewal, watching]
        return watching, leader

    def _forget(self) -> None:
        """Drop the objects of the last round."""
        self._tasks, self._leading, self._runtime, self._listener = [], None, None, None

    async def _resign(self, leading: Leading) -> None:
        async with asyncio.timeout(2 * STOP_SECONDS):
            await leading.stop()

    async def _stop_runtime(self, runtime: Runtime) -> None:
        async with asyncio.timeout(STOP_SECONDS):
            await runtime.stop()


async def _stop_watches(watches: Watches, task: asyncio.Task[None]) -> None:
    watches.stop()
    async with asyncio.timeout(EXIT_SECONDS):
        await task


async def _result(start: asyncio.Task[T]) -> T | None:
    """Return the result of the start, ``None`` if the process was stopped before the start completed."""
    if start.done():
        return start.result()
    start.cancel()
    with suppress(asyncio.CancelledError):
        return await start
    return None


def _cancel(tasks: Iterable[asyncio.Task[bool]]) -> None:
    for task in tasks:
        task.cancel()
