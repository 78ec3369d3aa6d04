"""Shares of a model's requests by version, as a value that strategies and routes use.

A strategy (:mod:`strategy`) decides the desired traffic. A route (:mod:`service_route`) applies it and reports the
current traffic. Therefore neither the planner nor the status assumes that one version gets all requests.
"""

from dataclasses import dataclass
from typing import Final

from trainyard_api.modeldeployment import TrafficRole, TrafficShare

ALL: Final = 100
"""Percent."""
MOST_SHARES: Final = 32
"""Maximum length of ``status.traffic``."""


@dataclass(frozen=True)
class Share:
    """Share of one version.

    Attributes
    ----------
    weight
        Percent of the requests.
    role
        ``Live`` for a version that gets requests, ``Warm`` for one whose pods exist and get none.
    """

    version: int
    weight: int
    role: TrafficRole


@dataclass(frozen=True)
class Traffic:
    """Shares of all versions that have or need pods. Each version occurs once, the most important first.

    Raises
    ------
    ValueError
        If the weights of the live versions do not add up to 100, a live weight is not positive, or a version occurs
        twice. Having no live version is allowed, because nothing serves yet.
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
        """Return the traffic that gives one version everything and keeps others warm. ``None`` is left out."""
        first = () if live is None else (Share(live, ALL, "Live"),)
        others = dict.fromkeys(number for number in warm if number is not None and number != live)
        return cls((*first, *(Share(number, 0, "Warm") for number in others)))

    @property
    def versions(self) -> tuple[int, ...]:
        """All versions with a share, including those without requests."""
        return tuple(share.version for share in self.shares)

    @property
    def live(self) -> "Traffic":
        """The live shares, without the warm ones."""
        return Traffic(tuple(share for share in self.shares if share.role == "Live"))

    @property
    def only(self) -> int | None:
        """The version that gets everything, ``None`` if none or several get requests."""
        live = self.live.shares
        return live[0].version if len(live) == 1 else None

    def wire(self) -> list[TrafficShare] | None:
        """Return the value for the status, ``None`` if there are no shares."""
        shares = [TrafficShare(version=s.version, weight=s.weight, role=s.role) for s in self.shares]
        return shares[:MOST_SHARES] or None
