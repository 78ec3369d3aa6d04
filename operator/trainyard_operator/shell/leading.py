"""One life of a replica as follower and then leader: the Lease, the claims, and the fence that every write passes."""

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
"""How long turns may take to end before their calls are cut off."""

log = logging.getLogger(__name__)


def identity_of(env: Mapping[str, str]) -> str:
    """Return who this process is in the Lease: its pod. Outside of a cluster two processes may share a host's name."""
    return env.get(POD_NAME_ENV) or f"{socket.gethostname()}_{secrets.token_hex(4)}"


class Leading:
    """Follow, lead when it is our turn, and end when the lead is lost."""

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
        """Let a write pass. Raises :class:`NotHeldError` while it is not certain that nobody else may write there."""
        if self._elector is None or not self._elector.holds():
            raise NotHeldError(f"{self._identity} is not the leader")
        if not self.claims.covers(namespace):
            raise NotHeldError(f"namespace {namespace} is not held by the release {self._config.release}")

    @property
    def leads(self) -> bool:
        """Decisions are made here, and reports are kept."""
        return self._runtime is not None and self._runtime.leads and self._elector is not None and self._elector.holds()

    async def forward(self, request: web.Request, body: bytes) -> web.Response:
        """Let the leader answer a report."""
        if self._forwarder is None or self._elector is None:
            raise no_leader()
        return await self._forwarder.send(self._elector.leader_address, request, body)

    def describe(self) -> str:
        """Return what this replica is, for people who ask its readiness."""
        if self._elector is None:
            return "ok"
        if not self.leads:
            return f"ok: follows {self._elector.leader or 'nobody yet'}"
        waiting = self.claims.waiting
        return f"ok: {self._identity} leads" + (f"; {waiting}" if waiting else "")

    def health(self) -> str | None:
        """Return which task has ended although the lead was not lost, ``None`` when all is well."""
        if self._elector is None or self._elector.lost.is_set():
            return None
        return next((f"task {task.get_name()} has ended" for task in self._tasks if task.done()), None)

    async def check(self) -> None:
        """Read the Lease. Raises :class:`ApiError` where that is not allowed."""
        await self._leases.read(self._lease)

    def start(
        self,
        runtime: Runtime,
        forwarder: Forwarder,
        address: str,
        until_done: Callable[[str, Callable[[], Awaitable[None]]], Awaitable[None]],
    ) -> asyncio.Task[None]:
        """Stand for election; return the task that ends when the lead is lost, or fails where we may not lead.

        Call it before kopf starts: kopf cancels younger tasks when it ends.
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
        """Stop deciding, and then give the Lease back: another replica begins at once.

        A write that was cut off may still happen. The Lease is left to end by itself then, which takes longer.
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
        log.info("%s decides from now on", self._identity)
        await elector.lost.wait()


def progress_address(env: Mapping[str, str], bind: str, port: int) -> str:
    """Return where other replicas reach the progress endpoint of this one; empty where that is not known."""
    host = bind or env.get(POD_IP_ENV, "")
    if not host:
        return ""
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
