"""The children of a ModelDeployment: which there should be, and which of their pods may get requests."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from trainyard_api import meta
from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus, Rollout, Serving
from trainyard_operator.core.objects import DeploymentView, DisruptionBudgetView, ModelVersionView, ServiceView
from trainyard_operator.core.plan import Action, Apply, Create, Delete
from trainyard_operator.core.resolve import InvalidSpecError
from trainyard_operator.core.serving import render as render_serving
from trainyard_operator.core.serving.choice import plain_digest
from trainyard_operator.core.serving.drift import difference
from trainyard_operator.core.serving.health import Failure
from trainyard_operator.core.serving.observed import Observed
from trainyard_operator.core.serving.rollout import is_rejected, was_live
from trainyard_operator.core.times import from_rfc3339

Body = dict[str, Any]

DRAIN_SECONDS: Final = 10
"""Pods that requests went to stay at least so long after the switch: every node must have heard of it first."""


@dataclass(frozen=True)
class Equipment:
    """What the children should look like, as far as it can be said.

    Attributes
    ----------
    bodies
        Deployments by version: the active one, then the one before, then the candidate.
    trouble
        Why the Deployment of one of them cannot be written.
    """

    bodies: dict[int, Body]
    trouble: Failure | None = None


def replicas(spec: ModelDeploymentSpec) -> int:
    """Return how many pods each version has."""
    return (spec.serving or Serving()).replicas


def is_warm(observed: Observed, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> bool:
    """Tell whether the previous version's pods are still to be kept: for a time, and as long as nothing else serves."""
    return observed.ready_pods(status.active_version) == 0 or warm_seconds_left(observed, spec, status) > 0


def warm_seconds_left(observed: Observed, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> float:
    """Return for how long the previous version's pods stay."""
    return _left(observed, status, max((spec.rollout or Rollout()).keep_warm_seconds, DRAIN_SECONDS))


def drain_seconds_left(observed: Observed, status: ModelDeploymentStatus) -> float:
    """Return for how long pods may still get requests that a switch has taken from them."""
    return _left(observed, status, DRAIN_SECONDS)


def _left(observed: Observed, status: ModelDeploymentStatus, seconds: float) -> float:
    """Return what is left of some time since the last switch; never more than all of it, whatever the clock does."""
    if status.promoted_time is None:
        return 0.0
    end = from_rfc3339(status.promoted_time) + timedelta(seconds=seconds)
    return min(max((end - observed.now).total_seconds(), 0.0), seconds)


def equipment(observed: Observed, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> Equipment:
    """Return the Deployments there should be, with their templates as of now.

    A version whose ModelVersion is gone, or is another model by now, keeps the Deployment it has.
    """
    numbers = [status.active_version]
    if observed.child(status.previous_version) is not None and is_warm(observed, spec, status):
        numbers.append(status.previous_version)
    numbers.append(status.candidate_version)
    bodies: dict[int, Body] = {}
    trouble = None
    for number in numbers:
        version = observed.version(number)
        if number is None or version is None or not is_same_model(status, version):
            continue
        try:
            bodies[number] = render_serving.deployment(observed.deployment, spec, version, config=observed.config)
        except InvalidSpecError as error:
            if number != status.previous_version:
                trouble = trouble or Failure("InvalidSpec", str(error))
    return Equipment(bodies, trouble)


def is_same_model(status: ModelDeploymentStatus, version: ModelVersionView) -> bool:
    """Tell whether a version is, byte for byte, the one that served under its number."""
    known = status.active_digest
    if version.version != status.active_version:
        entry = was_live(status, version.version)
        known = entry.digest if entry is not None else None
    return known in (None, plain_digest(version))


def missing_or_changed(
    observed: Observed, status: ModelDeploymentStatus, wanted: Equipment, *, update: bool
) -> tuple[Action, ...]:
    """Return what brings the Deployments to what they should be, in size too: who scales one to 0 blames no version.

    ``update`` lets those change that serve and that only the operator renders anew.
    """
    actions: list[Action] = []
    for number, body in wanted.bodies.items():
        child = observed.child(number)
        if child is None:
            actions.append(Create("Deployment", body))
        elif is_outdated(status, child, body):
            actions += [Apply("Deployment", body)] if update and number == status.active_version else []
        elif not child.deleting and (child.applied != hash_of(body) or is_edited(child, body)):
            actions.append(Apply("Deployment", body))
    return tuple(actions)


def is_edited(child: DeploymentView | ServiceView | DisruptionBudgetView, body: Body) -> bool:
    """Tell whether somebody has edited what we applied; of a child whose spec is not known nothing can be said."""
    return bool(child.spec) and bool(difference(body["spec"], child.spec))


def is_asked_anew(observed: Observed, wanted: Equipment, number: int) -> bool:
    """Tell whether the user asks for other pods of a version than there are; their number aside."""
    child, body = observed.child(number), wanted.bodies.get(number)
    if child is None or body is None:
        return True
    return child.asked != str(body["metadata"]["annotations"][meta.ASKED_ANNOTATION])


def update_is_due(observed: Observed, status: ModelDeploymentStatus, wanted: Equipment) -> bool:
    """Tell whether the pods that serve are to be exchanged for no reason but the operator's own: in turn, then."""
    child, body = observed.child(status.active_version), wanted.bodies.get(status.active_version or 0)
    return child is not None and body is not None and is_outdated(status, child, body)


def is_outdated(status: ModelDeploymentStatus, child: DeploymentView, body: Body) -> bool:
    """Tell whether a Deployment is what its user asked for, from an operator of another release or configuration.

    A candidate does not serve yet, so it is never that. One that is kept to go back to stays as it served.
    """
    if child.version == status.candidate_version or child.deleting or child.applied == hash_of(body):
        return False
    asked = body["metadata"]["annotations"][meta.ASKED_ANNOTATION]
    return child.asked in ("", asked) and child.replicas == body["spec"]["replicas"]


def is_ready(observed: Observed, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> bool:
    """Tell whether all requests may go to the candidate now.

    All of its pods are ready, which means that they have read the right version with the right digest. A version that
    is gone back to need not run with the newest template: it shall help now.
    """
    child = observed.child(status.candidate_version)
    if child is None or child.deleting or child.ready < replicas(spec):
        return False
    if status.candidate_reason == "Rollback":
        return True
    body = equipment(observed, spec, status).bodies.get(child.version)
    return body is not None and child.applied == hash_of(body) and child.settled and child.updated >= replicas(spec)


def is_current(observed: Observed, spec: ModelDeploymentSpec, status: ModelDeploymentStatus, number: int) -> bool:
    """Tell whether a version has pods of the template that it should have: those from before an edit prove nothing."""
    child, body = observed.child(number), equipment(observed, spec, status).bodies.get(number)
    made = child is not None and body is not None and child.applied == hash_of(body)
    return made and child is not None and child.settled and child.updated > 0


# ---- the Service -----------------------------------------------------------------------------------------------------


def served(observed: Observed) -> int | None:
    """Return the version that gets the requests: the one that the Service selects, and nothing beside it."""
    service = observed.service
    if service is None or service.deleting:
        return None
    numbers = {child.version for child in observed.children} | {
        number for number in (observed.deployment.status.active_version,) if number is not None
    }
    return next(
        (n for n in sorted(numbers) if dict(service.selector) == render_serving.selector(observed.deployment, n)), None
    )


def point_to(observed: Observed, spec: ModelDeploymentSpec, number: int) -> tuple[Action, ...]:
    """Return what gives a version all requests; nothing where that is so, or has to wait for a deletion."""
    body = render_serving.service(observed.deployment, spec, number, config=observed.config)
    service = observed.service
    if service is None:
        return (Create("Service", body),)
    as_wanted = service.applied == hash_of(body) and not is_edited(service, body)
    if service.deleting or (as_wanted and served(observed) == number):
        return ()
    return (Apply("Service", body),)


def correct_service(observed: Observed, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> tuple[Action, ...]:
    """Return what gives the active version all requests, unless that took them from pods that answer."""
    active = status.active_version
    if active is None:
        return ()
    other = served(observed)
    keeps = other not in (None, active) and observed.ready_pods(other) > 0 and not is_rejected(status, other)
    if keeps and observed.ready_pods(active) == 0:
        return ()
    return point_to(observed, spec, active)


# ---- the PodDisruptionBudget -----------------------------------------------------------------------------------------


def correct_budget(observed: Observed, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> tuple[Action, ...]:
    """Return what lets a drain take one pod of the active version at a time.

    A single pod has no budget: it could never be drained.
    """
    budget, active = observed.budget, status.active_version
    if budget is not None and budget.deleting:
        return ()
    if replicas(spec) == 1 or not observed.config.serving.pod_disruption_budget:
        return (Delete("PodDisruptionBudget", budget.name, budget.uid),) if budget is not None else ()
    if active is None:
        return ()
    body = render_serving.disruption_budget(observed.deployment, spec, active, config=observed.config)
    if budget is None:
        return (Create("PodDisruptionBudget", body),)
    as_wanted = budget.applied == hash_of(body) and not is_edited(budget, body)
    return () if as_wanted else (Apply("PodDisruptionBudget", body),)


def superfluous(
    observed: Observed, spec: ModelDeploymentSpec, status: ModelDeploymentStatus
) -> tuple[DeploymentView, ...]:
    """Return the Deployments that no decision needs any more."""
    needed = {status.active_version, status.candidate_version}
    if not is_rejected(status, other := served(observed)):
        needed.add(other)
    if is_warm(observed, spec, status):
        needed.add(status.previous_version)
    return tuple(child for child in observed.children if child.version not in needed and not child.deleting)


def deletions(children: tuple[DeploymentView, ...]) -> tuple[Action, ...]:
    """Return the deletion of some Deployments."""
    return tuple(Delete("Deployment", child.name, child.uid) for child in children)


def hash_of(body: Body) -> str:
    """Return what a child was rendered from, as its annotation tells."""
    return str(body["metadata"]["annotations"][meta.APPLIED_ANNOTATION])
