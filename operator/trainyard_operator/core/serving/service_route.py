"""Traffic through a Service. Its selector selects the pods of one version, which get all requests."""

from trainyard_api.modeldeployment import ModelDeploymentSpec
from trainyard_operator.core.plan import Action, Apply, Create
from trainyard_operator.core.serving import render
from trainyard_operator.core.serving.drift import is_edited
from trainyard_operator.core.serving.state import ServingState
from trainyard_operator.core.serving.traffic import Traffic


class ServiceRoute:
    """The route of a ModelDeployment whose versions have pods of their own."""

    def current(self, state: ServingState) -> Traffic:
        """Return the current traffic: the version that the Service selects."""
        service = state.service
        if service is None or service.deleting:
            return Traffic()
        active = state.deployment.status.active_version
        numbers = {child.version for child in state.children} | ({active} if active is not None else set())
        selected = (n for n in sorted(numbers) if dict(service.selector) == render.selector(state.deployment, n))
        return Traffic.of(next(selected, None))

    def shift(self, state: ServingState, spec: ModelDeploymentSpec, traffic: Traffic) -> tuple[Action, ...]:
        """Return the actions that route requests as ``traffic`` says.

        The result is empty if nothing changes, or while the Service is being deleted.

        Raises
        ------
        ValueError
            If several versions share the traffic, because a Service has no weights.
        """
        number = traffic.only
        if number is None:
            raise ValueError(f"a Service routes all requests to one version, not to {traffic}")
        body = render.service(state.deployment, spec, number, config=state.config)
        service = state.service
        if service is None:
            return (Create("Service", body),)
        as_wanted = service.applied == render.hash_of(body) and not is_edited(service.spec, body)
        if service.deleting or (as_wanted and self.current(state).only == number):
            return ()
        return (Apply("Service", body),)
