"""How requests reach the versions: the port of routes, and which route a ModelDeployment has."""

from typing import Final, Protocol

from trainyard_api.modeldeployment import ModelDeploymentSpec
from trainyard_operator.core.plan import Action
from trainyard_operator.core.serving.service_route import ServiceRoute
from trainyard_operator.core.serving.state import ServingState
from trainyard_operator.core.serving.traffic import Traffic


class Route(Protocol):
    """Reports the current traffic, and changes it."""

    def current(self, state: ServingState) -> Traffic:
        """Return the current traffic, without what is kept warm."""
        ...

    def shift(self, state: ServingState, spec: ModelDeploymentSpec, traffic: Traffic) -> tuple[Action, ...]:
        """Return the actions that lead to a traffic. No actions: it is the current one, or a deletion is under way.

        Raises
        ------
        ValueError
            If the route cannot carry such a traffic.
        """
        ...


SERVICE: Final = ServiceRoute()


def route_of(state: ServingState) -> Route:  # noqa: ARG001 - every ModelDeployment has a Service today
    """Return the route of a ModelDeployment."""
    return SERVICE
