"""Leader election among the replicas of a release, with one Lease."""

import asyncio
import logging
import time
from collections.abc import Callable

from prometheus_client import Counter, Gauge

from trainyard_operator.core.lease import Standing, Timing
from trainyard_operator.kube.errors import ApiError, log_level
from trainyard_operator.kube.leases import LeaseName, Leases

LEADER = Gauge("trainyard_leader", "1 while this process is the leader of its release, 0 while it follows")
CHANGES = Counter(
    "trainyard_leader_changes_total", "Number of times this process became the leader or lost the leadership"
)

RELEASE_SECONDS = 2.0

log = logging.getLogger(__name__)


def steady() -> float:
    """Return seconds of a clock that continues while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Elector:
    """Acquire and renew the Lease, and report at once when it is no longer certainly held.

    A lost Lease is never regained.
    """

    def __init__(
        self,
        leases: Leases,
        lease: LeaseName,
        identity: str,
        timing: Timing,
        *,
        address: str = "",
        clock: Callable[[], float] = steady,
    ) -> None:
        """Create the elector.

        ``address`` is where this process receives progress reports; other replicas read it from the Lease.
        """
        self._leases = leases
        self._lease = lease
        self._address = address
        self._clock = clock
        self._standing = Standing(identity, timing)
        self._reported: str | None = None
        self.elected = asyncio.Event()
        self.lost = asyncio.Event()
        LEADER.set_function(lambda: float(self.holds()))

    @property
    def identity(self) -> str:
        """The name of this process in the Lease."""
        return self._standing.identity

    @property
    def leader(self) -> str | None:
        """The holder of the Lease, if known, including this process."""
        return self.identity if self.holds() else self._standing.other

    @property
    def leader_address(self) -> str:
        """The address for progress reports of another holder of the Lease; empty if unknown."""
        seen = self._standing.seen
        return seen.address if seen is not None and self._standing.other is not None else ""

    def holds(self) -> bool:
        """Return whether this process certainly holds the Lease now."""
        return self._standing.holds(self._clock()) and not self.lost.is_set()

    async def run(self) -> None:
        """Wait for the Lease, then renew it until it is lost."""
        while not self.lost.is_set():
            await self._step()
            self._note()
            await asyncio.sleep(self._pause())

    async def end(self, *, release: bool) -> None:
        """Stop holding the Lease. With ``release``, release it so that another process can acquire it at once."""
        standing, was = self._standing, self.holds()
        self.lost.set()
        if not was or not release:
            return
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._leases.release(self._lease, standing)
            log.info("%s released Lease %s", self.identity, self._lease)
        except (ApiError, TimeoutError) as error:
            log.warning("Lease %s could not be released and will expire: %s", self._lease, error or "no answer")

    async def _step(self) -> None:
        timing, now = self._standing.timing, self._clock()
        left = self._standing.certain - now if self._standing.holds(now) else timing.deadline
        try:
            async with asyncio.timeout(max(0.0, min(left, timing.deadline / 2))):
                self._standing = await self._leases.step(self._lease, self._standing, address=self._address)
        except TimeoutError:
            self._report(f"Lease {self._lease}: no answer in time")
        except ApiError as error:
            self._report(f"Lease {self._lease}: {error}", log_level(error))
        else:
            self._reported = None

    def _note(self) -> None:
        """Report changes of the leadership."""
        if self.elected.is_set():
            if not self._standing.holds(self._clock()):
                self.lost.set()
                CHANGES.inc()
                log.warning("%s is not the leader any more: %s", self.identity, self._standing.other or "not renewed")
        elif self.holds():
            self.elected.set()
            CHANGES.inc()
            log.info("%s is the leader (Lease %s)", self.identity, self._lease)
        elif (other := self._standing.other) is not None:
            self._report(f"{self.identity} follows {other} (Lease {self._lease})", logging.INFO)

    def _pause(self) -> float:
        """Return the delay before the next step. It never exceeds the time of the next change."""
        timing, now = self._standing.timing, self._clock()
        if self.elected.is_set():
            return max(0.0, min(timing.renew, self._standing.certain - now))
        return min(timing.poll, self._standing.free_in(now) or timing.poll)

    def _report(self, what: str, level: int = logging.WARNING) -> None:
        if what != self._reported:
            self._reported = what
            log.log(level, "%s", what)
