"""Status of a ModelDeployment: phase, conditions and counts, computed from the facts each time.

``Ready`` describes the active version. ``Reconciling`` and ``Stalled`` exist only while they are true, and never
together. ``RolledBack`` shows that the last change was a rollback or a rejection; the next promotion removes it.
``NewerVersionRejected`` shows that the gates rejected the newest version, so the active version becomes outdated.
"""

from collections.abc import Iterable
from typing import Final

from trainyard_api.conditions import Condition
from trainyard_api.modeldeployment import DeploymentPhase, ModelDeploymentSpec, ModelDeploymentStatus, Rollout
from trainyard_operator.core.conditions import stamped
from trainyard_operator.core.serving.choice import choose
from trainyard_operator.core.serving.deployments import desired, is_ready, is_same_model, replicas
from trainyard_operator.core.serving.health import Problem, cause_of
from trainyard_operator.core.serving.readiness import candidate_unready_seconds, deadline, unready_since
from trainyard_operator.core.serving.render import selector_text
from trainyard_operator.core.serving.requested_action import is_pinned
from trainyard_operator.core.serving.rollout import last_setback
from trainyard_operator.core.serving.route import route_of
from trainyard_operator.core.serving.state import ServingState
from trainyard_operator.core.serving.traffic import Traffic
from trainyard_operator.core.times import to_rfc3339

AWAITING_PROMOTION: Final = "AwaitingPromotion"
_LONGEST: Final = 1024


def describe(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """Return the complete status with the fields that follow from the facts."""
    active = status.active_version
    stalled = _stalled(state, spec, status)
    reconciling = None if stalled is not None else _reconciling(state, spec, status)
    child = state.child(active)
    counted = status.model_copy(
        update={
            "replicas": child.pods if child is not None else 0,
            "ready_replicas": state.ready_pods(active),
            "traffic": _traffic(state).wire(),
            "selector": None if active is None else selector_text(state.deployment, active),
        }
    )
    phase = _phase(state, spec, status, failed=stalled is not None)
    return _complete(state, counted, phase, stalled, reconciling)


def _traffic(state: ServingState) -> Traffic:
    """Return the current traffic, and the other versions that have pods."""
    live = route_of(state).current(state)
    return Traffic.of(live.only, *sorted((c.version for c in state.children if not c.deleting), reverse=True))


def describe_blocked(state: ServingState, status: ModelDeploymentStatus, trouble: Problem) -> ModelDeploymentStatus:
    """Return the complete status of a ModelDeployment for which nothing can be decided. What serves stays unchanged."""
    phase: DeploymentPhase = "Failed" if status.active_version is None else (status.phase or "Failed")
    return _complete(state, status, phase, trouble, None)


# ---- parts -----------------------------------------------------------------------------------------------------------


def _complete(
    state: ServingState,
    status: ModelDeploymentStatus,
    phase: DeploymentPhase,
    stalled: Problem | None,
    reconciling: Problem | None,
) -> ModelDeploymentStatus:
    md, active = state.deployment, status.active_version
    serving = active is not None and state.ready_pods(active) > 0 and route_of(state).current(state).only == active
    ready = Problem("Serving", _serving(state, status))
    if not serving:
        why = stalled or reconciling or _nothing(status)
        ready = Problem(why.reason, "; ".join(filter(None, (why.message, _elsewhere(state, active)))))
    setback = last_setback(status)
    statements = {
        "Ready": ("True" if serving else "False", ready),
        "Reconciling": ("True", reconciling),
        "Stalled": ("True", stalled),
        "RolledBack": (
            "True",
            Problem(setback.reason, _setback(setback.version, setback.message)) if setback else None,
        ),
        "NewerVersionRejected": ("True", _newer_rejected(state, active)),
    }
    conditions: list[Condition] = []
    for kind, (value, statement) in statements.items():
        if statement is not None:
            conditions += _condition(state, kind, value, statement)
    return status.model_copy(
        update={
            "observed_generation": md.generation,
            "phase": phase,
            "conditions": conditions,
            "active_trained_time": _trained(state, status),
            "url": None if active is None else f"http://{md.name}.{md.namespace}.svc/v2/models/{md.model}",
        }
    )


def _condition(state: ServingState, kind: str, value: str, statement: Problem) -> Iterable[Condition]:
    md = state.deployment
    return stamped(
        {kind: value},
        statement.reason,
        statement.message[:_LONGEST],
        generation=md.generation,
        now=state.now,
        before=md.status.conditions or (),
    )


def _phase(
    state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus, *, failed: bool
) -> DeploymentPhase:
    if status.candidate_version is not None:
        if status.candidate_reason == "Rollback":
            return "RollingBack"
        if not approved(spec, status) and is_ready(state, spec, status):
            return "AwaitingPromotion"
        return "Failed" if failed and state.ready_pods(status.active_version) == 0 else "Progressing"
    if status.active_version is None:
        return "Failed" if failed else "Pending"
    if state.ready_pods(status.active_version) == 0:
        return "Failed" if failed else "Progressing"
    return "Held" if status.hold is not None else "Serving"


def approved(spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> bool:
    """Return whether the candidate takes over as soon as it is ready. The first version needs no approval."""
    automatic = (spec.rollout or Rollout()).auto_promote
    return automatic or status.active_version is None or status.candidate_reason in ("Promoted", "Rollback")


def _stalled(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> Problem | None:
    """Return a problem that only the user can solve."""
    trouble = desired(state, spec, status).trouble or choose(state, spec, status).problem
    if trouble is not None:
        return trouble
    if state.refused is not None and state.refused.permanent:
        return Problem("InvalidSpec", state.refused.message)
    if status.candidate_version is not None:
        return _blocked(state, spec, status, status.candidate_version)
    if status.active_version is None:
        return _no_version_serves(status)
    return _unavailable(state, spec, status, status.active_version)


def _blocked(
    state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus, number: int
) -> Problem | None:
    """Return why a candidate is late through no fault of its own. It stays the candidate and starts when it can."""
    waited = candidate_unready_seconds(state, spec, status)
    if waited is None or waited < deadline(spec):
        return None
    late = f"version {number} is not ready after {deadline(spec)} s (spec.rollout.progressDeadlineSeconds)"
    serving = "" if status.active_version is None else f"version {status.active_version} keeps serving; "
    message = (
        f"{late}: {_pods(state, spec, number)}; {serving}version {number} itself is not the cause, and takes over when "
        "its pods are ready; to drop it, use the action abort/<token>"
    )
    return Problem("CandidateBlocked", message)


def _no_version_serves(status: ModelDeploymentStatus) -> Problem | None:
    setback = last_setback(status)
    if setback is None:
        return None
    lift = f"train a new version, or try it again with the action retry/{setback.version}/<token>"
    return Problem("NoVersionServes", f"{_setback(setback.version, setback.message)}; {lift}")


def _unavailable(
    state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus, active: int
) -> Problem | None:
    """Return why the active version does not serve, once waiting does not help."""
    since = unready_since(state.deployment.status)
    if since is None or state.ready_pods(active) > 0:
        return None
    child = state.child(active)
    if (child is None or child.deleting) and _gone(state, status):
        message = f"version {active} cannot be started again: {_active_pods(state, spec, status, active)}"
        return Problem("ModelVersionGone", message)
    if (state.now - since).total_seconds() < deadline(spec):
        return None
    pods = _active_pods(state, spec, status, active)
    return Problem("Unavailable", f"version {active} does not serve, and no previous version is ready: {pods}")


def _reconciling(  # noqa: PLR0911 - a list of questions
    state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus
) -> Problem | None:
    """Return progress that needs no user action."""
    candidate, active = status.candidate_version, status.active_version
    if state.refused is not None:
        return Problem("ChildRefused", state.refused.message)
    if candidate is not None:
        pods = _pods(state, spec, candidate)
        if status.candidate_reason == "Rollback":
            return Problem("RollingBack", f"rolling back to version {candidate}: {pods}")
        if not approved(spec, status) and is_ready(state, spec, status):
            return Problem(AWAITING_PROMOTION, f"version {candidate} is ready and waits for the action promote/<token>")
        return Problem("Progressing", f"rolling out version {candidate}: {pods}")
    if active is None:
        waiting = choose(state, spec, status).waiting
        return Problem("WaitingForVersion", waiting or _no_version(state))
    child = state.child(active)
    if child is None or not child.settled or child.ready < replicas(spec) or child.updated < replicas(spec):
        return Problem("Progressing", _active_pods(state, spec, status, active))
    if route_of(state).current(state).only != active:
        return Problem("Progressing", f"the Service {state.deployment.name} does not point to version {active} yet")
    return None


def _no_version(state: ServingState) -> str:
    message = f"model {state.deployment.model} has no validated version yet: the next validated version will serve"
    quarantined = max((v.version for v in state.known if v.status.phase == "Quarantined"), default=None)
    if quarantined is None:
        return message
    return (
        f"{message}; version {quarantined} is quarantined: to try it again, use the action retry/{quarantined}/<token>"
    )


def _pods(state: ServingState, spec: ModelDeploymentSpec, number: int) -> str:
    count = f"{state.ready_pods(number)} of {replicas(spec)} pods of version {number} are ready"
    return "; ".join(filter(None, (count, cause_of(state.child(number), state.pods_of(number)))))


def _active_pods(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus, active: int) -> str:
    """Return the state of the active version's pods.

    If they cannot be created again, include the cause and the next step.
    """
    pods, gone = _pods(state, spec, active), _gone(state, status)
    if not gone:
        return pods
    cure = "train a new version"
    if is_pinned(spec):
        cure = "pin another version (spec.version.pin)"
    elif state.version(status.previous_version) is not None:
        cure = f"roll back to version {status.previous_version} with the action rollback/previous/<token>"
    return f"{gone}; {pods}; {cure}"


def _gone(state: ServingState, status: ModelDeploymentStatus) -> str:
    """Return why no new Deployment of the active version can be rendered, or an empty string."""
    version = state.version(status.active_version)
    if version is None:
        return "its ModelVersion no longer exists"
    if not is_same_model(status, version):
        return "the ModelVersion with this number is now another model"
    return ""


def _elsewhere(state: ServingState, active: int | None) -> str:
    """Return which version gets the requests if it is not the active one, for example after an edit of the Service."""
    other = route_of(state).current(state).only
    return f"the Service points to version {other}" if active is not None and other not in (None, active) else ""


def _serving(state: ServingState, status: ModelDeploymentStatus) -> str:
    parts = [f"version {status.active_version} serves"]
    if state.may_update is False:
        parts.append(
            "its pods wait for an update, after those of other versions (server.maxConcurrentUpdates of the chart)"
        )
    if gone := _gone(state, status):
        parts.append(f"{gone}: its pods keep running, but cannot be created again with other settings")
    if status.hold is not None:
        above = (
            f"a version above {status.hold.above}" if status.hold.above is not None else "the action release/<token>"
        )
        parts.append(f"held ({status.hold.reason}) until {above}")
    return "; ".join(parts)


def _newer_rejected(state: ServingState, active: int | None) -> Problem | None:
    """Return the rejection of the newest judged version, unless the active version is newer."""
    judged = [v for v in state.known if not v.is_pending and not v.unreadable and v.version > (active or 0)]
    newest = max(judged, key=lambda v: v.version, default=None)
    if newest is None or newest.status.phase != "Rejected":
        return None
    ready = next((c for c in newest.status.conditions or () if c.type == "Ready"), None)
    why = f": {ready.message}" if ready is not None else ""
    serving = "no version serves" if active is None else f"version {active} keeps serving"
    message = f"version {newest.version} was rejected, {serving}{why}"
    return Problem(ready.reason if ready is not None else "Rejected", message)


def _trained(state: ServingState, status: ModelDeploymentStatus) -> str | None:
    """Return the creation time of the active version. The known time stays when its ModelVersion is gone."""
    version, before = state.version(status.active_version), state.deployment.status
    if version is not None and is_same_model(status, version):
        return to_rfc3339(version.created)
    return before.active_trained_time if status.active_version == before.active_version else None


def _setback(number: int, message: str) -> str:
    return f"version {number} was withdrawn: {message}"


def _nothing(status: ModelDeploymentStatus) -> Problem:
    return Problem("Unready", f"version {status.active_version} does not serve")
