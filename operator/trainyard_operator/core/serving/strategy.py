"""How versions follow each other: the port of strategies, and which there are."""

from typing import Final, Protocol

from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus, Rollout, RolloutStrategy
from trainyard_operator.core.serving.traffic import Traffic


class Strategy(Protocol):
    """Says which traffic there should be; it neither looks at the cluster nor carries anything out."""

    def wanted(self, status: ModelDeploymentStatus, *, warm: bool) -> Traffic:
        """Return the traffic as decided so far. ``warm`` says that the version before is to keep its pods."""
        ...

    def promoted(self, number: int) -> Traffic:
        """Return the traffic once a version has taken over, or was gone back to."""
        ...


class BlueGreen:
    """One version has all requests, and another one takes all of them over at once."""

    def wanted(self, status: ModelDeploymentStatus, *, warm: bool) -> Traffic:
        """The active version has all, the candidate none until it takes over."""
        return Traffic.of(status.active_version, status.previous_version if warm else None, status.candidate_version)

    def promoted(self, number: int) -> Traffic:
        """It has all."""
        return Traffic.of(number)


STRATEGIES: Final[dict[RolloutStrategy, Strategy]] = {"BlueGreen": BlueGreen()}


def strategy_of(spec: ModelDeploymentSpec) -> Strategy:
    """Return the strategy that a ModelDeployment asks for."""
    return STRATEGIES[(spec.rollout or Rollout()).strategy]
