"""Claims on namespaces, so that only one release works in each namespace.

Each namespace has a Lease whose holder is the release. All releases use the same Lease, and the second release waits. A
release that watches the whole cluster first acquires one more Lease in a fixed namespace. Only the leader of a release
acquires claims. A new leader keeps the claims of its own release.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from prometheus_client import Gauge

from trainyard_api import meta
from trainyard_operator.core.lease import NEVER, Standing, Timing
from trainyard_operator.kube.errors import ApiError, log_level
from trainyard_operator.kube.leases import LeaseName, Leases

HELD = Gauge(
    "trainyard_namespace_claimed",
    "1 while this release works in a namespace, 0 while another one does; namespace is empty for the whole cluster",
    ["namespace"],
)

log = logging.getLogger(__name__)


class Claims:
    """Claims of one release, managed by its leader."""

    def __init__(
        self,
        leases: Leases,
        release: str,
        namespaces: tuple[str, ...],
        timing: Timing,
        *,
        clock: Callable[[], float],
    ) -> None:
        """Create the claims.

        ``namespaces`` are those that the release watches; empty means the whole cluster, with claims where objects
        exist.
        """
        self._leases = leases
        self._release = release
        self._namespaces = namespaces
        self._timing = timing
        self._clock = clock
        self._cluster = LeaseName(meta.CLUSTER_CLAIM_NAMESPACE, meta.CLAIM_LEASE) if not namespaces else None
        self._standings: dict[LeaseName, Standing] = {}
        self._problems: dict[LeaseName, str] = {}
        self._due: dict[LeaseName, float] = {}
        self._wanted = set(namespaces)
        self._more = asyncio.Event()

    def covers(self, namespace: str) -> bool:
        """Return whether this release may work in a namespace now."""
        return self._holds(self._cluster) and self._holds(_lease(namespace))

    def want(self, namespace: str) -> None:
        """Request a namespace soon. A release with a list of namespaces requests only those."""
        if not self._namespaces and namespace not in self._wanted:
            self._wanted.add(namespace)
            self._more.set()

    @property
    def waiting(self) -> str | None:
        """A message that names the namespaces of other releases; ``None`` if all claims are held."""
        problems = [self._problems[lease] for lease in self._ask() if lease in self._problems]
        more = f"; and {len(problems) - 1} more" if len(problems) > 1 else ""
        return f"{problems[0]}{more}" if problems else None

    async def run(self, in_use: Callable[[], Iterable[str]], changed: Callable[[str | None], None]) -> None:
        """Acquire and renew claims while this process is the leader.

        ``in_use`` returns the namespaces with custom resources. ``changed`` is called with a namespace that is covered
        from now on or no longer, and with ``None`` if all namespaces may be affected.
        """
        while True:
            self._more.clear()
            for lease in self._ask():
                if self._clock() < self._due.get(lease, NEVER):
                    continue
                if lease == self._cluster or self._holds(self._cluster):
                    await self._take(lease, changed)
                else:
                    await self._observe(lease)
            try:
                async with asyncio.timeout(self._pause()):
                    await self._more.wait()
            except TimeoutError:
                await self._give_up_unused(in_use())

    def _ask(self) -> list[LeaseName]:
        """Return the claims to acquire, in order."""
        first = [self._cluster] if self._cluster is not None else []
        return [*first, *(_lease(namespace) for namespace in sorted(self._wanted))]

    def _pause(self) -> float:
        soonest = min((self._due[lease] for lease in self._ask() if lease in self._due), default=NEVER)
        return min(max(soonest - self._clock(), self._timing.poll / 10), self._timing.poll)

    def _holds(self, lease: LeaseName | None) -> bool:
        if lease is None:
            return True
        standing = self._standings.get(lease)
        return standing is not None and standing.holds(self._clock())

    async def _take(self, lease: LeaseName, changed: Callable[[str | None], None]) -> None:
        standing, held = self._standings.get(lease, Standing(self._release, self._timing)), self._holds(lease)
        problem, level = None, logging.WARNING
        try:
            async with asyncio.timeout(self._timing.poll):
                standing = await self._leases.step(lease, standing)
        except TimeoutError:
            problem = f"{_what(lease)} cannot be claimed: the API server does not answer in time"
        except ApiError as error:
            problem, level = f"{_what(lease)} cannot be claimed: {error}", log_level(error)
        else:
            if standing.other is not None:
                problem = f"{_what(lease)} is held by the release {standing.other} (Lease {lease}); waiting for it"
        self._standings[lease] = standing
        holds = self._holds(lease)
        self._due[lease] = self._clock() + (self._timing.renew if holds and problem is None else self._timing.poll)
        self._report(lease, problem, level)
        HELD.labels(_label(lease)).set(float(holds))
        if holds != held:
            changed(lease.namespace if lease != self._cluster else None)

    async def _observe(self, lease: LeaseName) -> None:
        """Read a claim that cannot be acquired yet, because another release holds the cluster.

        If that release dies, its claims on namespaces expire with the one on the cluster, or one renewal later.
        """
        standing = self._standings.get(lease, Standing(self._release, self._timing))
        self._due[lease] = self._clock() + self._timing.renew
        try:
            async with asyncio.timeout(self._timing.poll):
                found = await self._leases.read(lease)
        except (ApiError, TimeoutError) as error:
            log.debug("Lease %s could not be read, and is read again: %s", lease, error or "no answer in time")
        else:
            self._standings[lease] = standing.observed(found, self._clock())

    def _report(self, lease: LeaseName, problem: str | None, level: int = logging.WARNING) -> None:
        before = self._problems.get(lease)
        if problem is None:
            self._problems.pop(lease, None)
            if before is not None:
                log.info("%s is held by this release now", _what(lease))
        elif problem != before:
            self._problems[lease] = problem
            log.log(level, "%s", problem)

    async def _give_up_unused(self, in_use: Iterable[str]) -> None:
        """Release the namespaces that contain no custom resources any more."""
        if self._namespaces:
            return
        for namespace in self._wanted - set(in_use):
            lease = _lease(namespace)
            standing = self._standings.pop(lease, None)
            self._wanted.discard(namespace)
            self._problems.pop(lease, None)
            self._due.pop(lease, None)
            if standing is not None:
                HELD.remove(_label(lease))
                try:
                    async with asyncio.timeout(self._timing.poll):
                        await self._leases.release(lease, standing)
                except (ApiError, TimeoutError) as error:
                    log.info("Lease %s could not be released and will expire: %s", lease, error or "no answer")


def _lease(namespace: str) -> LeaseName:
    return LeaseName(namespace, meta.CLAIM_LEASE)


def _label(lease: LeaseName) -> str:
    return "" if lease.namespace == meta.CLUSTER_CLAIM_NAMESPACE else lease.namespace


def _what(lease: LeaseName) -> str:
    return f"namespace {lease.namespace}" if _label(lease) else "the whole cluster"
