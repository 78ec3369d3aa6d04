"""Which versions get which share of a model's requests, as a value: what a strategy wants, and what a route gives.

A strategy (:mod:`strategy`) says which traffic there should be; a route (:mod:`service_route`) carries it out and says
which there is. So neither the planner nor the status assumes that one version has all of it.
"""

from dataclasses import dataclass
from typing import Final

from trainyard_api.modeldeployment import TrafficRole, TrafficShare

ALL: Final = 100
"""Percent."""
MOST_SHARES: Final = 32
"""What ``status.traffic`` holds."""


@dataclass(frozen=True)
class Share:
    """What one version gets.

    Attributes
    ----------
    weight
        Percent of the requests.
    role
        ``Live`` for a version that answers requests; ``Warm`` for one whose pods are there and get none.
    """

    version: int
    weight: int
    role: TrafficRole


@dataclass(frozen=True)
class Traffic:
    """The shares of all versions that have pods, or are to have them; each version once, the most important first.

    Raises
    ------
    ValueError
        If the weights of the live versions are not 100 together, or a version is named twice: such requests would be
        lost, or go nowhere in particular. No live version at all is allowed: nothing serves yet.
    """

    shares: tuple[Share, ...] = ()

    def __post_init__(self) -> None:
        live = [share.weight for share in self.shares if share.role == "Live"]
        if live and (sum(live) != ALL or min(live) <= 0):
            raise ValueError(f"live versions share {ALL} percent of the requests, not {live}")
        if len({share.version for share in self.shares}) != len(self.shares):
            raise ValueError(f"a version has one share: {self.shares}")

    @classmethod
    def of(cls, live: int | None, *warm: int | None) -> "Traffic":
        """Return the traffic that gives one version everything, and keeps others warm. What is ``None`` is left out."""
        first = () if live is None else (Share(live, ALL, "Live"),)
        others = dict.fromkeys(number for number in warm if number is not None and number != live)
        return cls((*first, *(Share(number, 0, "Warm") for number in others)))

    @property
    def versions(self) -> tuple[int, ...]:
        """All versions that have a share, be it none of the requests."""
        return tuple(share.version for share in self.shares)

    @property
    def live(self) -> "Traffic":
        """What answers requests, without what is kept warm."""
        return Traffic(tuple(share for share in self.shares if share.role == "Live"))

    @property
    def only(self) -> int | None:
        """The version that gets everything; ``None`` where none does, or several share."""
        live = self.live.shares
        return live[0].version if len(live) == 1 else None

    def wire(self) -> list[TrafficShare] | None:
        """Return what the status says of it; nothing where there is none."""
        shares = [TrafficShare(version=s.version, weight=s.weight, role=s.role) for s in self.shares]
        return shares[:MOST_SHARES] or None
