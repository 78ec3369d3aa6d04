"""Rollout strategies and their interface."""

from typing import Final, Protocol

from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus, Rollout, RolloutStrategy
from trainyard_operator.core.serving.traffic import Traffic


class Strategy(Protocol):
    """Interface that decides the traffic. It does not read or change the cluster."""

    def wanted(self, status: ModelDeploymentStatus, *, warm: bool) -> Traffic:
        """Return the traffic as decided so far. With ``warm``, the previous version keeps its pods."""
        ...


class BlueGreen:
    """One version gets all requests, and another version takes over all of them at once."""

    def wanted(self, status: ModelDeploymentStatus, *, warm: bool) -> Traffic:
        """Return the traffic: all to the active version, none to the candidate until it takes over."""
        return Traffic.of(status.active_version, status.previous_version if warm else None, status.candidate_version)


STRATEGIES: Final[dict[RolloutStrategy, Strategy]] = {"BlueGreen": BlueGreen()}


def strategy_of(spec: ModelDeploymentSpec) -> Strategy:
    """Return the strategy that a ModelDeployment requests."""
    return STRATEGIES[(spec.rollout or Rollout()).strategy]


def live_traffic(spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> Traffic:
    """Return who gets requests by the decisions in a status, without what is kept warm."""
    return strategy_of(spec).wanted(status, warm=False).live
