"""One round of a replica as follower and leader: the Lease, the claims, and the fence for every write."""

import asyncio
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.lease import Timing
from trainyard_operator.kube.errors import NotHeldError
from trainyard_operator.kube.leases import LeaseCalls, LeaseName, Leases
from trainyard_operator.progress.forward import Forwarder, no_leader
from trainyard_operator.runtime.claims import Claims
from trainyard_operator.runtime.clock import utc_now
from trainyard_operator.runtime.elector import Elector, steady
from trainyard_operator.runtime.runtime import Runtime

POD_NAME_ENV = "POD_NAME"
POD_IP_ENV = "POD_IP"
DRAIN_SECONDS = 3.0
"""How long running reconciles may take to end before they are cancelled."""

log = logging.getLogger(__name__)


def identity_of(env: Mapping[str, str]) -> str:
    """Return the name of this process in the Lease: its pod. Outside a cluster, a random suffix makes it unique."""
    return env.get(POD_NAME_ENV) or f"{socket.gethostname()}_{secrets.token_hex(4)}"


class Leading:
    """Follow, lead after an election, and end when the leadership is lost."""

    def __init__(self, calls: LeaseCalls, config: OperatorConfig, identity: str) -> None:
        seconds = config.leader_election.lease_seconds
        self._config = config
        self._identity = identity
        self._leases = Leases(calls, steady, utc_now)
        self._lease = LeaseName(config.namespace, f"{config.name}-leader")
        self._timing = Timing.of_leader(seconds)
        self.claims = Claims(self._leases, config.release, config.namespaces, Timing.of_claim(seconds), clock=steady)
        self._runtime: Runtime | None = None
        self._elector: Elector | None = None
        self._forwarder: Forwarder | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def fence(self, namespace: str) -> None:
        """Check whether a write is allowed.

        Raises
        ------
        NotHeldError
            If it is not certain that no other process may write in the namespace.
        """
        if self._elector is None or not self._elector.holds():
            raise NotHeldError(f"{self._identity} is not the leader")
        if not self.claims.covers(namespace):
            raise NotHeldError(f"namespace {namespace} is not held by the release {self._config.release}")

    @property
    def leads(self) -> bool:
        """Whether this process makes decisions and stores reports."""
        return self._runtime is not None and self._runtime.leads and self._elector is not None and self._elector.holds()

    async def forward(self, request: web.Request, body: bytes) -> web.Response:
        """Return the leader's response to a report."""
        if self._forwarder is None or self._elector is None:
            raise no_leader()
        return await self._forwarder.send(self._elector.leader_address, request, body)

    def describe(self) -> str:
        """Return a description of this replica for its readiness endpoint."""
        if self._elector is None:
            return "ok"
        if not self.leads:
            return f"ok: follows {self._elector.leader or 'no leader yet'}"
        waiting = self.claims.waiting
        return f"ok: {self._identity} leads" + (f"; {waiting}" if waiting else "")

    def health(self) -> str | None:
        """Return which task has ended although the leadership was not lost, ``None`` if none has."""
        if self._elector is None or self._elector.lost.is_set():
            return None
        return next((f"task {task.get_name()} has ended" for task in self._tasks if task.done()), None)

    async def check(self) -> None:
        """Read the Lease.

        Raises
        ------
        ApiError
            If that is not allowed, or the API server does not respond.
        """
        await self._leases.read(self._lease)

    def start(
        self,
        runtime: Runtime,
        forwarder: Forwarder,
        address: str,
        until_done: Callable[[str, Callable[[], Awaitable[None]]], Awaitable[None]],
    ) -> asyncio.Task[None]:
        """Take part in the election. Return the task that ends when the leadership is lost, and fails if leading fails.

        Call it before kopf starts, because kopf cancels younger tasks when it ends.
        """
        elector = Elector(self._leases, self._lease, self._identity, self._timing, address=address)
        self._runtime, self._forwarder, self._elector = runtime, forwarder, elector
        self._tasks = [
            asyncio.create_task(elector.run(), name="lease"),
            asyncio.create_task(self._claim(elector, runtime), name="claims"),
            asyncio.create_task(self._lead(elector, runtime, until_done), name="leader"),
        ]
        return self._tasks[-1]

    async def stop(self) -> None:
        """Stop deciding, then release the Lease, so that another replica starts at once.

        If a write was cancelled, it may still happen. The Lease is then not released and expires, which takes longer.
        """
        drained = False
        if self._runtime is not None:
            if self._elector is not None and self._elector.holds():
                drained = await self._runtime.drain(DRAIN_SECONDS)
            await self._runtime.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._elector is not None:
            await self._elector.end(release=drained)

    async def _claim(self, elector: Elector, runtime: Runtime) -> None:
        await elector.elected.wait()
        await self.claims.run(runtime.namespaces, runtime.scope_changed)

    async def _lead(
        self,
        elector: Elector,
        runtime: Runtime,
        until_done: Callable[[str, Callable[[], Awaitable[None]]], Awaitable[None]],
    ) -> None:
        await elector.elected.wait()
        await until_done("the list of the new leader", runtime.lead)
        log.info("%s makes decisions from now on", self._identity)
        await elector.lost.wait()


def progress_address(env: Mapping[str, str], bind: str, port: int) -> str:
    """Return the address of this process's progress endpoint for other replicas, or an empty string if unknown."""
    host = bind or env.get(POD_IP_ENV, "")
    if not host:
        return ""
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
