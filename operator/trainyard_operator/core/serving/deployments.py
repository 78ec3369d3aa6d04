"""The Deployments of a ModelDeployment: which there should be, with which pods, and when these are ready."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from trainyard_api import meta
from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus, Rollout, Serving
from trainyard_operator.core.objects import DeploymentView, ModelVersionView
from trainyard_operator.core.plan import Action, Apply, Body, Create, Delete
from trainyard_operator.core.resolve import InvalidSpecError
from trainyard_operator.core.serving import render as render_serving
from trainyard_operator.core.serving import service_route
from trainyard_operator.core.serving.choice import plain_digest
from trainyard_operator.core.serving.drift import is_edited
from trainyard_operator.core.serving.health import Failure
from trainyard_operator.core.serving.rollout import is_rejected, was_live
from trainyard_operator.core.serving.state import ServingState
from trainyard_operator.core.serving.strategy import strategy_of
from trainyard_operator.core.serving.traffic import Traffic
from trainyard_operator.core.times import from_rfc3339

DRAIN_SECONDS: Final = 10
"""Pods that requests went to stay at least so long after the switch: every node must have heard of it first."""


@dataclass(frozen=True)
class Desired:
    """What the Deployments should look like, as far as it can be said.

    Attributes
    ----------
    bodies
        By version, the most important first: what has requests, then what is kept warm.
    trouble
        Why one of them cannot be written.
    """

    bodies: dict[int, Body]
    trouble: Failure | None = None


def replicas(spec: ModelDeploymentSpec) -> int:
    """Return how many pods each version has."""
    return (spec.serving or Serving()).replicas


def wanted_traffic(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> Traffic:
    """Return the traffic that the strategy asks for: with it go the pods that there should be."""
    return strategy_of(spec).wanted(status, warm=is_warm(state, spec, status))


def is_warm(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> bool:
    """Tell whether the previous version's pods are still to be kept: for a time, and as long as nothing else serves."""
    return state.ready_pods(status.active_version) == 0 or warm_seconds_left(state, spec, status) > 0


def warm_seconds_left(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> float:
    """Return for how long the previous version's pods stay."""
    return _left(state, status, max((spec.rollout or Rollout()).keep_warm_seconds, DRAIN_SECONDS))


def drain_seconds_left(state: ServingState, status: ModelDeploymentStatus) -> float:
    """Return for how long pods may still get requests that a switch has taken from them."""
    return _left(state, status, DRAIN_SECONDS)


def _left(state: ServingState, status: ModelDeploymentStatus, seconds: float) -> float:
    """Return what is left of some time since the last switch; never more than all of it, whatever the clock does."""
    if status.promoted_time is None:
        return 0.0
    end = from_rfc3339(status.promoted_time) + timedelta(seconds=seconds)
    return min(max((end - state.now).total_seconds(), 0.0), seconds)


def desired(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> Desired:
    """Return the Deployments there should be, with their templates as of now.

    A version whose ModelVersion is gone, or is another model by now, keeps the Deployment it has.
    """
    bodies: dict[int, Body] = {}
    trouble = None
    for number in wanted_traffic(state, spec, status).versions:
        version = state.version(number)
        if version is None or not is_same_model(status, version):
            continue
        is_kept = number == status.previous_version != status.candidate_version
        if is_kept and state.child(number) is None:  # it is kept, and not made again
            continue
        try:
            bodies[number] = render_serving.deployment(state.deployment, spec, version, config=state.config)
        except InvalidSpecError as error:
            if number != status.previous_version:
                trouble = trouble or Failure("InvalidSpec", str(error))
    return Desired(bodies, trouble)


def is_same_model(status: ModelDeploymentStatus, version: ModelVersionView) -> bool:
    """Tell whether a version is, byte for byte, the one that served under its number."""
    known = status.active_digest
    if version.version != status.active_version:
        entry = was_live(status, version.version)
        known = entry.digest if entry is not None else None
    return known in (None, plain_digest(version))


def missing_or_changed(
    state: ServingState, status: ModelDeploymentStatus, wanted: Desired, *, update: bool
) -> tuple[Action, ...]:
    """Return what brings the Deployments to what they should be, in size too: who scales one to 0 blames no version.

    ``update`` lets those change that serve and that only the operator renders anew.
    """
    actions: list[Action] = []
    for number, body in wanted.bodies.items():
        child = state.child(number)
        if child is None:
            actions.append(Create("Deployment", body))
        elif is_outdated(status, child, body):
            actions += [Apply("Deployment", body)] if update and number == status.active_version else []
        elif not child.deleting and (child.applied != render_serving.hash_of(body) or is_edited(child.spec, body)):
            actions.append(Apply("Deployment", body))
    return tuple(actions)


def is_asked_anew(state: ServingState, wanted: Desired, number: int) -> bool:
    """Tell whether the user asks for other pods of a version than there are; their number aside."""
    child, body = state.child(number), wanted.bodies.get(number)
    if child is None or body is None:
        return True
    return child.asked != str(body["metadata"]["annotations"][meta.ASKED_ANNOTATION])


def update_is_due(state: ServingState, status: ModelDeploymentStatus, wanted: Desired) -> bool:
    """Tell whether the pods that serve are to be exchanged for no reason but the operator's own: in turn, then."""
    child, body = state.child(status.active_version), wanted.bodies.get(status.active_version or 0)
    return child is not None and body is not None and is_outdated(status, child, body)


def is_outdated(status: ModelDeploymentStatus, child: DeploymentView, body: Body) -> bool:
    """Tell whether a Deployment is what its user asked for, from an operator of another release or configuration.

    A candidate does not serve yet, so it is never that. One that is kept to go back to stays as it served.
    """
    if child.version == status.candidate_version or child.deleting or child.applied == render_serving.hash_of(body):
        return False
    asked = body["metadata"]["annotations"][meta.ASKED_ANNOTATION]
    return child.asked in ("", asked) and child.replicas == body["spec"]["replicas"]


def is_ready(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> bool:
    """Tell whether all requests may go to the candidate now.

    All of its pods are ready, which means that they have read the right version with the right digest. A version that
    is gone back to need not run with the newest template: it shall help now.
    """
    child = state.child(status.candidate_version)
    if child is None or child.deleting or child.ready < replicas(spec):
        return False
    if status.candidate_reason == "Rollback":
        return True
    body = desired(state, spec, status).bodies.get(child.version)
    return (
        body is not None
        and child.applied == render_serving.hash_of(body)
        and child.settled
        and child.updated >= replicas(spec)
    )


def is_current(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus, number: int) -> bool:
    """Tell whether a version has pods of the template that it should have: those from before an edit prove nothing."""
    child, body = state.child(number), desired(state, spec, status).bodies.get(number)
    made = child is not None and body is not None and child.applied == render_serving.hash_of(body)
    return made and child is not None and child.settled and child.updated > 0


def obsolete(
    state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus
) -> tuple[DeploymentView, ...]:
    """Return the Deployments that no decision needs any more."""
    needed = set(wanted_traffic(state, spec, status).versions)
    needed |= {number for number in service_route.current(state).versions if not is_rejected(status, number)}
    return tuple(child for child in state.children if child.version not in needed and not child.deleting)


def deletions(children: tuple[DeploymentView, ...]) -> tuple[Action, ...]:
    """Return the deletion of some Deployments."""
    return tuple(Delete("Deployment", child.name, child.uid) for child in children)
