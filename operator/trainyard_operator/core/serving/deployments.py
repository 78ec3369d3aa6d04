"""Deployments of a ModelDeployment: which must exist, with which pods, and when they are ready."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from trainyard_api import meta
from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus, Rollout, Serving
from trainyard_operator.core.objects import DeploymentView, ModelVersionView
from trainyard_operator.core.plan import Action, Apply, Body, Create, Delete
from trainyard_operator.core.resolve import InvalidSpecError
from trainyard_operator.core.serving import render as render_serving
from trainyard_operator.core.serving.choice import plain_digest
from trainyard_operator.core.serving.drift import is_edited
from trainyard_operator.core.serving.health import Problem
from trainyard_operator.core.serving.rollout import is_rejected, was_live
from trainyard_operator.core.serving.route import route_of
from trainyard_operator.core.serving.state import ServingState
from trainyard_operator.core.serving.strategy import strategy_of
from trainyard_operator.core.serving.traffic import Traffic
from trainyard_operator.core.times import from_rfc3339

DRAIN_SECONDS: Final = 10
"""Minimum time that pods stay after a switch of the Service. Every node must receive the change first."""


@dataclass(frozen=True)
class Desired:
    """Desired Deployments.

    Attributes
    ----------
    bodies
        By version, the most important first: live versions, then warm versions.
    trouble
        Why one of them cannot be rendered.
    """

    bodies: dict[int, Body]
    trouble: Problem | None = None


def replicas(spec: ModelDeploymentSpec) -> int:
    """Return the number of pods of each version."""
    return (spec.serving or Serving()).replicas


def wanted_traffic(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> Traffic:
    """Return the traffic that the strategy requests. It defines which versions have pods."""
    return strategy_of(spec).wanted(status, warm=is_warm(state, spec, status))


def is_warm(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> bool:
    """Return whether the previous version keeps its pods: for a time, and while the active version has no ready pod."""
    return state.ready_pods(status.active_version) == 0 or warm_seconds_left(state, spec, status) > 0


def warm_seconds_left(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> float:
    """Return the seconds for which the previous version keeps its pods."""
    return _left(state, status, max((spec.rollout or Rollout()).keep_warm_seconds, DRAIN_SECONDS))


def drain_seconds_left(state: ServingState, status: ModelDeploymentStatus) -> float:
    """Return the seconds for which pods may still receive requests after a switch."""
    return _left(state, status, DRAIN_SECONDS)


def _left(state: ServingState, status: ModelDeploymentStatus, seconds: float) -> float:
    """Return the remaining part of ``seconds`` since the last switch. Clock changes never make it longer."""
    if status.promoted_time is None:
        return 0.0
    end = from_rfc3339(status.promoted_time) + timedelta(seconds=seconds)
    return min(max((end - state.now).total_seconds(), 0.0), seconds)


def desired(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> Desired:
    """Return the desired Deployments with their current templates.

    If a ModelVersion is gone or is now another model, its existing Deployment stays unchanged.
    """
    bodies: dict[int, Body] = {}
    trouble = None
    for number in wanted_traffic(state, spec, status).versions:
        version = state.version(number)
        if version is None or not is_same_model(status, version):
            continue
        is_kept = number == status.previous_version != status.candidate_version
        if is_kept and state.child(number) is None:  # an existing one is kept, but it is not created again
            continue
        try:
            bodies[number] = render_serving.deployment(state.deployment, spec, version, config=state.config)
        except InvalidSpecError as error:
            if number != status.previous_version:
                trouble = trouble or Problem("InvalidSpec", str(error))
    return Desired(bodies, trouble)


def is_same_model(status: ModelDeploymentStatus, version: ModelVersionView) -> bool:
    """Return whether a version has the digest of the version that served under its number."""
    known = status.active_digest
    if version.version != status.active_version:
        entry = was_live(status, version.version)
        known = entry.digest if entry is not None else None
    return known in (None, plain_digest(version))


def missing_or_changed(
    state: ServingState, status: ModelDeploymentStatus, wanted: Desired, *, update: bool
) -> tuple[Action, ...]:
    """Return the actions that create or correct the Deployments, including their replicas.

    Therefore a Deployment that somebody scales to 0 does not count against its version. ``update`` allows changes to
    the active Deployment that come only from the operator.
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
    """Return whether the user requests other pods of a version than exist, ignoring the number of replicas."""
    child, body = state.child(number), wanted.bodies.get(number)
    if child is None or body is None:
        return True
    return child.asked != str(body["metadata"]["annotations"][meta.ASKED_ANNOTATION])


def update_is_due(state: ServingState, status: ModelDeploymentStatus, wanted: Desired) -> bool:
    """Return whether the active pods must be replaced only because of the operator. Such updates are limited."""
    child, body = state.child(status.active_version), wanted.bodies.get(status.active_version or 0)
    return child is not None and body is not None and is_outdated(status, child, body)


def is_outdated(status: ModelDeploymentStatus, child: DeploymentView, body: Body) -> bool:
    """Return whether a Deployment matches the user's spec but comes from another operator release or configuration.

    A candidate is never outdated, because it does not serve yet.
    """
    if child.version == status.candidate_version or child.deleting or child.applied == render_serving.hash_of(body):
        return False
    asked = body["metadata"]["annotations"][meta.ASKED_ANNOTATION]
    return child.asked in ("", asked) and child.replicas == body["spec"]["replicas"]


def is_ready(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> bool:
    """Return whether all requests may go to the candidate now.

    All its pods are ready, so they have loaded the right version with the right digest. A rollback does not wait for
    the newest template, because it must take effect at once.
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
    """Return whether a version has pods of the desired template. Pods from before an edit are ignored."""
    child, body = state.child(number), desired(state, spec, status).bodies.get(number)
    made = child is not None and body is not None and child.applied == render_serving.hash_of(body)
    return made and child is not None and child.settled and child.updated > 0


def obsolete(
    state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus
) -> tuple[DeploymentView, ...]:
    """Return the Deployments that are no longer needed."""
    needed = set(wanted_traffic(state, spec, status).versions)
    needed |= {number for number in route_of(state).current(state).versions if not is_rejected(status, number)}
    return tuple(child for child in state.children if child.version not in needed and not child.deleting)


def deletions(children: tuple[DeploymentView, ...]) -> tuple[Action, ...]:
    """Return the deletions of Deployments."""
    return tuple(Delete("Deployment", child.name, child.uid) for child in children)
