"""Service and PodDisruptionBudget of a ModelDeployment."""

from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus
from trainyard_operator.core.plan import Action, Apply, Create, Delete
from trainyard_operator.core.serving import render as render_serving
from trainyard_operator.core.serving.deployments import replicas
from trainyard_operator.core.serving.drift import is_edited
from trainyard_operator.core.serving.rollout import is_rejected
from trainyard_operator.core.serving.route import route_of
from trainyard_operator.core.serving.state import ServingState
from trainyard_operator.core.serving.strategy import live_traffic


def correct_traffic(
    state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus
) -> tuple[Action, ...]:
    """Return the actions that route requests to the active version.

    Requests stay at another version that has ready pods while the active version has none.
    """
    active = status.active_version
    if active is None:
        return ()
    other = route_of(state).current(state).only
    keeps = other not in (None, active) and state.ready_pods(other) > 0 and not is_rejected(status, other)
    if keeps and state.ready_pods(active) == 0:
        return ()
    return route_of(state).shift(state, spec, live_traffic(spec, status))


def correct_budget(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> tuple[Action, ...]:
    """Return the actions for the budget that allows a drain to evict one pod of the active version at a time.

    A single pod gets no budget, because it could never be drained.
    """
    budget, active = state.budget, status.active_version
    if budget is not None and budget.deleting:
        return ()
    if replicas(spec) == 1 or not state.config.serving.pod_disruption_budget:
        return (Delete("PodDisruptionBudget", budget.name, budget.uid),) if budget is not None else ()
    if active is None:
        return ()
    body = render_serving.disruption_budget(state.deployment, spec, active, config=state.config)
    if budget is None:
        return (Create("PodDisruptionBudget", body),)
    as_wanted = budget.applied == render_serving.hash_of(body) and not is_edited(budget.spec, body)
    return () if as_wanted else (Apply("PodDisruptionBudget", body),)
