"""A Lease: who holds it, until when that is certain, and when another process may take it.

Clocks of other machines are ignored. A holder is certain of its Lease for a time after it *began* its last successful
renewal. All others wait until the Lease has not changed for its whole duration by their own clock. The first time is
shorter than the second, so the holder stops before another one begins.
"""

from dataclasses import dataclass, replace
from typing import Self

NEVER = float("-inf")


@dataclass(frozen=True)
class Timing:
    """Times of a Lease, in seconds.

    Attributes
    ----------
    duration
        How long a Lease must not have changed before others may take it.
    deadline
        How long its holder acts on it after the start of a renewal; less than ``duration``.
    renew
        Interval between two renewals.
    poll
        Interval between two checks of a waiting process.
    """

    duration: float
    deadline: float
    renew: float
    poll: float

    @classmethod
    def of_leader(cls, seconds: float) -> Self:
        """Return the times of a leader election. A leader that was killed is replaced after ``seconds`` and a poll."""
        return cls(seconds, 0.7 * seconds, 0.2 * seconds, min(1.0, 0.1 * seconds))

    @classmethod
    def of_claim(cls, seconds: float) -> Self:
        """Return the times of a claim. A release keeps its claim when its leader changes, so it lasts longer."""
        return cls(6 * seconds, 4 * seconds, 2 * seconds, min(5.0, seconds))


@dataclass(frozen=True)
class Record:
    """Content of a Lease.

    Attributes
    ----------
    holder
        The holder; empty after a release.
    duration
        The seconds that the holder asks others to wait.
    renewed, acquired
        RFC 3339 times of the holder's clock. They inform people and distinguish renewals.
    address
        Where the holder receives progress reports; empty if it receives none.
    version
        The resourceVersion. A write names the version that it replaces.
    """

    holder: str
    duration: float
    renewed: str
    acquired: str = ""
    transitions: int = 0
    address: str = ""
    version: str = ""


@dataclass(frozen=True)
class Standing:
    """What one process knows of a Lease.

    Attributes
    ----------
    seen
        The Lease as it was last read or written. It is kept after a deletion, because its holder may not know yet.
    since
        When it was first seen in this state.
    gone
        Whether it was deleted.
    certain
        Until when it is certainly held by this process.
    """

    identity: str
    timing: Timing
    seen: Record | None = None
    since: float = NEVER
    gone: bool = False
    certain: float = NEVER

    def holds(self, now: float) -> bool:
        """Return whether this process certainly holds the Lease."""
        return now < self.certain

    @property
    def other(self) -> str | None:
        """The other holder of the Lease, if known."""
        return self.seen.holder if self.seen is not None and self.seen.holder not in ("", self.identity) else None

    def observed(self, found: Record | None, now: float) -> "Standing":
        """Return the state after a read; ``None`` means that there is no Lease.

        A deleted Lease counts as renewed at that moment, because its holder may not know yet.
        """
        if found is None:
            return self if self.gone else replace(self, gone=True, since=now)
        if found == self.seen and not self.gone:
            return self
        certain = self.certain if found.holder == self.identity else NEVER
        return replace(self, seen=found, since=now, gone=False, certain=certain)

    def free_in(self, now: float) -> float:
        """Return the seconds after which this process may write the Lease; 0 means now.

        A deleted Lease may have had another holder than the last one that was seen.
        """
        if self.seen is None or self.holds(now) or (self.other is None and not self.gone):
            return 0.0
        return max(0.0, self.since + self.seen.duration - now)

    def wanted(self, *, time: str, address: str = "") -> Record:
        """Return the Lease to write now: acquired or renewed."""
        before = self.seen
        ours = before is not None and before.holder == self.identity
        return Record(
            holder=self.identity,
            duration=self.timing.duration,
            renewed=time,
            acquired=before.acquired if before is not None and ours else time,
            transitions=(before.transitions if before is not None else 0) + (0 if ours or before is None else 1),
            address=address,
            version=before.version if before is not None and not self.gone else "",
        )

    def written(self, stored: Record, sent: float) -> "Standing":
        """Return the state after the API server stored the Lease. ``sent`` is the start time of the request."""
        certain = sent + self.timing.deadline if stored.holder == self.identity else NEVER
        return replace(self, seen=stored, since=sent, gone=False, certain=certain)

    def released(self, *, time: str) -> Record | None:
        """Return the Lease to write for a release, ``None`` if this process does not hold it."""
        if self.seen is None or self.gone or self.seen.holder != self.identity:
            return None
        return replace(self.seen, holder="", renewed=time, address="")
