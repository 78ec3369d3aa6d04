"""A Lease: who holds it, until when that is certain, and when somebody else may take it.

No clock of another machine counts. A holder is sure of its Lease for a while after it *began* the last renewal that
succeeded. Everybody else waits until the Lease has not changed for its whole duration by their own clock. The first
span is shorter than the second, so the holder has stopped before another begins.
"""

from dataclasses import dataclass, replace
from typing import Self

NEVER = float("-inf")


@dataclass(frozen=True)
class Timing:
    """The spans of a Lease, in seconds.

    Attributes
    ----------
    duration
        How long a Lease must not have changed before others may take it.
    deadline
        How long its holder acts on it after the start of a renewal; less than ``duration``.
    renew
        The pause between two renewals.
    poll
        The pause between two looks of somebody who waits.
    """

    duration: float
    deadline: float
    renew: float
    poll: float

    @classmethod
    def of_leader(cls, seconds: float) -> Self:
        """Return the spans of a Lease that elects a leader: a killed one is replaced after ``seconds`` and a poll."""
        return cls(seconds, 0.7 * seconds, 0.2 * seconds, min(1.0, 0.1 * seconds))

    @classmethod
    def of_claim(cls, seconds: float) -> Self:
        """Return the spans of a claim: a release keeps it when its leader changes, so it may last longer."""
        return cls(6 * seconds, 4 * seconds, 2 * seconds, min(5.0, seconds))


@dataclass(frozen=True)
class Record:
    """What a Lease says.

    Attributes
    ----------
    holder
        Who holds it; empty once it was released.
    duration
        The seconds that its holder asks others to wait.
    renewed, acquired
        RFC 3339 times of its holder's clock: for people, and to tell one renewal from the next.
    address
        Where the holder takes progress reports; empty where it takes none.
    version
        The resourceVersion: a write names the one it replaces.
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
        The Lease as it was read or written last; kept when it is deleted, because its holder may not know yet.
    since
        When it was first seen like this.
    gone
        It was deleted.
    certain
        Until when it is certainly ours.
    """

    identity: str
    timing: Timing
    seen: Record | None = None
    since: float = NEVER
    gone: bool = False
    certain: float = NEVER

    def holds(self, now: float) -> bool:
        """Tell whether the Lease is certainly ours."""
        return now < self.certain

    @property
    def other(self) -> str | None:
        """Who else holds the Lease, as far as is known."""
        return self.seen.holder if self.seen is not None and self.seen.holder not in ("", self.identity) else None

    def observed(self, found: Record | None, now: float) -> "Standing":
        """Take in what was read; ``None``: there is no Lease.

        One that was deleted is waited for as if it had been renewed just now: its holder may not know yet.
        """
        if found is None:
            return self if self.gone else replace(self, gone=True, since=now)
        if found == self.seen and not self.gone:
            return self
        certain = self.certain if found.holder == self.identity else NEVER
        return replace(self, seen=found, since=now, gone=False, certain=certain)

    def free_in(self, now: float) -> float:
        """Return the seconds after which we may write the Lease; 0: now.

        One that was deleted may have had another holder than the one that was seen last.
        """
        if self.seen is None or self.holds(now) or (self.other is None and not self.gone):
            return 0.0
        return max(0.0, self.since + self.seen.duration - now)

    def wanted(self, *, time: str, address: str = "") -> Record:
        """Return the Lease as we would write it now: taken, or renewed."""
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
        """Take in that the API server stored our Lease; ``sent`` is when the request was started."""
        certain = sent + self.timing.deadline if stored.holder == self.identity else NEVER
        return replace(self, seen=stored, since=sent, gone=False, certain=certain)

    def released(self, *, time: str) -> Record | None:
        """Return the Lease as we would give it back, ``None`` where it is not ours."""
        if self.seen is None or self.gone or self.seen.holder != self.identity:
            return None
        return replace(self.seen, holder="", renewed=time, address="")
