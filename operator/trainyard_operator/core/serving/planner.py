"""Lifecycle planner of a ModelDeployment, in the order of the table in docs/modeldeployment.md.

:func:`plan` is total and deterministic. Status follows from facts: the Service is switched first, and the version that
it selects is then reported as active. After a crash between the two, the next reconcile completes or reverts the
switch.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal

from pydantic import ValidationError

from trainyard_api.base import first_problem
from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus
from trainyard_api.modeldeployment import Rollback as RollbackPolicy
from trainyard_operator.core import actions
from trainyard_operator.core.actions import RefusedError
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.naming import serving_name
from trainyard_operator.core.objects import ServingPodView
from trainyard_operator.core.plan import NOTHING, EventNote, Plan
from trainyard_operator.core.resolve import InvalidSpecError
from trainyard_operator.core.saved import restored
from trainyard_operator.core.serving import access, deployments, requested_action, rollout
from trainyard_operator.core.serving.choice import Choice, choose, plain_digest
from trainyard_operator.core.serving.health import Problem, are_at_fault, cause_of, failure_of, waiting_for
from trainyard_operator.core.serving.readiness import (
    FIRST_CHECK_SECONDS,
    RESCHEDULED_SECONDS,
    UNREADY_SECONDS,
    active_unready_seconds,
    candidate_unready_seconds,
    deadline,
    next_check,
    short_seconds,
    unready_since,
)
from trainyard_operator.core.serving.rollout import Cause
from trainyard_operator.core.serving.route import route_of
from trainyard_operator.core.serving.state import ServingState
from trainyard_operator.core.serving.status import AWAITING_PROMOTION, approved, describe, describe_blocked
from trainyard_operator.core.serving.strategy import live_traffic
from trainyard_operator.core.times import from_rfc3339, to_rfc3339
from trainyard_operator.core.unreadable import leave_unchanged

Question = Callable[[ServingState, ModelDeploymentSpec], Plan | None]


def plan(state: ServingState) -> Plan:  # noqa: PLR0911 - a list of questions
    """Return the next step for one ModelDeployment."""
    if state.deployment.deleting:
        return NOTHING
    if state.deployment.unreadable:
        return leave_unchanged(state.deployment)
    try:
        spec = parse_spec(state)
    except InvalidSpecError as error:
        return _blocked(state, Problem("InvalidSpec", str(error)))
    older = _older_namesake(state)
    if older is not None:
        message = (
            f"ModelDeployment {older} already serves model {state.deployment.model}: delete one of the two, or "
            "serve another model"
        )
        return _blocked(state, Problem("ModelTaken", message))
    if state.deployment.recalled_from:
        return _restored(state, spec)
    for question in _QUESTIONS:
        step = question(state, spec)
        if step is not None:
            return step
    report = _report(state, spec, state.deployment.status)
    return report if report.status is not None else _tidy(state, spec) or report


def parse_spec(state: ServingState) -> ModelDeploymentSpec:
    """Return the parsed spec. Fields of a newer release are ignored.

    Raises
    ------
    InvalidSpecError
        If the spec is invalid.
    """
    try:
        return ModelDeploymentSpec.model_validate(state.deployment.spec, extra="ignore")
    except ValidationError as error:
        raise InvalidSpecError(first_problem(error, "spec")) from error


def _restored(state: ServingState, spec: ModelDeploymentSpec) -> Plan:
    """Store the saved status before any decision. A candidate gets its full deadline again."""
    status = state.deployment.status
    if status.candidate_version is not None:
        status = status.model_copy(update={"candidate_since": to_rfc3339(state.now)})
    return _report(state, spec, status, events=(restored(),))


# ---- steps, in order -------------------------------------------------------------------------------------------------


def _read_pods(state: ServingState, spec: ModelDeploymentSpec) -> Plan | None:
    """Read the pods of versions that have not been ready for a while, to find the cause."""
    status, names = state.deployment.status, []
    for number, waited in (
        (status.candidate_version, candidate_unready_seconds(state, spec, status)),
        (status.active_version, active_unready_seconds(state)),
        (status.active_version, short_seconds(state, spec)),
    ):
        if number is not None and waited is not None and waited >= FIRST_CHECK_SECONDS:
            name = serving_name(state.deployment, number)
            if name not in state.serving_pods:
                names.append(name)
    return Plan(needs=tuple(Need(Fact.SERVING_PODS, name) for name in names)) if names else None


def _notice_edit(state: ServingState, spec: ModelDeploymentSpec) -> Plan | None:
    """Give a candidate its full deadline again if its pod template changes, because the edit may fix it.

    A change of the replicas does not count: it fixes nothing, and an autoscaler may repeat it.
    """
    md = state.deployment
    if md.status.candidate_version is None or md.status.observed_generation == md.generation:
        return None
    wanted = deployments.desired(state, spec, md.status)
    if not deployments.is_asked_anew(state, wanted, md.status.candidate_version):
        return None
    again = md.status.model_copy(update={"candidate_since": to_rfc3339(state.now)})
    return _report(state, spec, again)


def _perform(state: ServingState, spec: ModelDeploymentSpec) -> Plan | None:
    """Perform the action in the annotation, or report once why it is refused. Either way, it is handled only once."""
    text = actions.pending(state.deployment)
    if text is None:
        return None
    try:
        status, message = requested_action.perform(state, spec, text)
    except RefusedError as error:
        refused, events = _refused(state, text, str(error))
        return _report(state, spec, refused, events=events)
    event = EventNote("Normal", "ActionTaken", f"{actions.echo(text)}: {message}", f"action/{actions.echo(text)}")
    return _report(state, spec, requested_action.echoed(status, text, message), events=(event,))


def _choose(state: ServingState, spec: ModelDeploymentSpec) -> Plan | None:
    """Set the version that the spec requests as candidate, and drop a candidate that is no longer requested."""
    status, current = state.deployment.status, state.deployment.status.candidate_version
    choice = choose(state, spec, status)
    wanted = choice.version.version if choice.version is not None else None
    if wanted == status.active_version:
        wanted = None
    if wanted == current or (current is not None and _stands(state, spec, status, choice)):
        return None
    if wanted is None:
        event = _event(state, "Normal", "CandidateDropped", f"version {current} is no longer selected")
        return _report(state, spec, rollout.drop(status), events=(event,))
    by = "pin" if choice.reason == "Pin" else "policy"
    event = _event(state, "Normal", "RolloutStarted", f"version {wanted} is the candidate, selected by {by}")
    return _report(state, spec, rollout.take(status, wanted, choice.reason, by, state.now), events=(event,))


def _judge(state: ServingState, spec: ModelDeploymentSpec) -> Plan | None:
    """Reject a candidate that cannot load, crashes repeatedly, or runs but is not ready in time.

    A candidate that cannot start for an external reason stays: no capacity, no image, a refusal, or an unavailable
    storage.
    """
    status = state.deployment.status
    number, waited = status.candidate_version, candidate_unready_seconds(state, spec, status)
    if waited is None or number is None:
        return None
    if status.phase == AWAITING_PROMOTION:  # it was ready before, so it gets its full deadline again
        again = status.model_copy(update={"candidate_since": to_rfc3339(state.now)})
        return _report(state, spec, again)
    pods = state.pods_of(number) if deployments.is_current(state, spec, status, number) else ()
    failure = failure_of(pods)
    if failure is None and waited >= deadline(spec) and are_at_fault(pods):
        message = f"not ready within {deadline(spec)} s (spec.rollout.progressDeadlineSeconds)"
        readiness = waiting_for(pods)
        failure = Problem("ProgressDeadlineExceeded", f"{message}; {readiness}" if readiness else message)
    if failure is None:
        return None
    version = state.version(number)
    digest = plain_digest(version) if version is not None else None
    cause = Cause(failure.reason, failure.message)
    rejected = rollout.reject(status, digest, cause, spec, state.now)
    message = f"version {number} is rejected ({failure.reason}): {failure.message}"
    return _report(state, spec, rejected, events=(_event(state, "Warning", "CandidateRejected", message),))


def _fall_back(state: ServingState, spec: ModelDeploymentSpec) -> Plan | None:
    """Roll back to the previous version if the active one has failed and the previous one is ready now.

    The previous version must have ready pods, so that an outage of both causes no flapping. If nodes or the storage
    failed, the version is not rejected. The policy takes it again once its pods are ready.
    """
    status = state.deployment.status
    previous = status.previous_version
    if previous is None or not (spec.rollback or RollbackPolicy()).automatic or state.ready_pods(previous) == 0:
        return None
    failure = _active_failure(state)
    if failure is None:
        return None
    left = status.active_version
    at_fault = _is_at_fault(state)
    cause = Cause(failure.reason, failure.message) if at_fault else None
    after = rollout.go_back(status, cause, spec, state.now)
    message = f"switched from version {left} back to version {previous} ({failure.reason}): {failure.message}"
    event = _event(state, "Warning", "RolledBack" if at_fault else "FailedOver", message)
    return _shift(state, spec, after, event)


def _take_over(state: ServingState, spec: ModelDeploymentSpec) -> Plan | None:
    """Route all requests to a candidate that is ready and approved."""
    status = state.deployment.status
    number, left = status.candidate_version, status.active_version
    if number is None or not approved(spec, status) or not deployments.is_ready(state, spec, status):
        return None
    version = state.version(number)
    after = rollout.take_over(status, plain_digest(version) if version is not None else None, spec, state.now)
    before = f" instead of version {left}" if left is not None else ""
    if status.candidate_reason == "Rollback":
        message = f"version {number} serves again{before}, requested by {status.candidate_by}"
        return _shift(state, spec, after, _event(state, "Normal", "RolledBack", message))
    message = f"version {number} serves{before}, selected by {status.candidate_by}"
    return _shift(state, spec, after, _event(state, "Normal", "Promoted", message))


def _equip(state: ServingState, spec: ModelDeploymentSpec) -> Plan | None:
    """Create and correct the children: first those of the active version, then those of the candidate."""
    if state.refused is not None:
        return None
    status = state.deployment.status
    wanted = deployments.desired(state, spec, status)
    if state.may_update is None and deployments.update_is_due(state, status, wanted):
        return Plan(needs=(Need(Fact.UPDATE, state.deployment.name),))
    update = bool(state.may_update)
    changes = deployments.missing_or_changed(state, status, wanted, update=update)
    budget = access.correct_budget(state, spec, status)
    actions = (*access.correct_traffic(state, spec, status), *changes, *budget)
    return Plan(actions=actions) if actions else None


def _tidy(state: ServingState, spec: ModelDeploymentSpec) -> Plan | None:
    """Delete what is no longer needed, after every node has received the last switch."""
    status = state.deployment.status
    obsolete = deployments.obsolete(state, spec, status)
    if not obsolete or deployments.drain_seconds_left(state, status) > 0:
        return None
    return Plan(actions=deployments.deletions(obsolete))


_QUESTIONS: Final[tuple[Question, ...]] = (
    _read_pods,
    _notice_edit,
    _perform,
    _choose,
    _judge,
    _fall_back,
    _take_over,
    _equip,
)


# ---- shared by the steps ---------------------------------------------------------------------------------------------


def _shift(
    state: ServingState, spec: ModelDeploymentSpec, after: ModelDeploymentStatus, event: EventNote
) -> Plan | None:
    """Route requests as the new status says. When they are routed, store it."""
    traffic, route = live_traffic(spec, after), route_of(state)
    actions = route.shift(state, spec, traffic)
    if not actions and route.current(state) == traffic:
        return _report(state, spec, after, events=(event,))
    if not actions or state.refused is not None:
        return None
    return Plan(actions=actions)


def _active_failure(state: ServingState) -> Problem | None:
    """Return why the active version is given up: its server cannot continue, or it was unready for too long."""
    number, waited = state.deployment.status.active_version, active_unready_seconds(state)
    since = unready_since(state.deployment.status)
    if waited is None or since is None or waited < FIRST_CHECK_SECONDS:
        return None
    pods = state.pods_of(number)
    failure = failure_of(pods)
    if failure is not None:
        return failure
    limit = RESCHEDULED_SECONDS if any(_is_rescheduled(state, pod, since) for pod in pods) else UNREADY_SECONDS
    if waited < limit:
        return None
    readiness = cause_of(state.child(number), pods)
    message = f"no pod of version {number} was ready for {limit:.0f} s"
    return Problem("Unready", f"{message}; {readiness}" if readiness else message)


def _is_at_fault(state: ServingState) -> bool:
    """Return whether the active version itself caused its unreadiness.

    A replacement pod that still starts is ignored.
    """
    since = unready_since(state.deployment.status)
    pods = state.pods_of(state.deployment.status.active_version)
    starting = {p for p in pods if since is not None and p.exit_code is None and _is_rescheduled(state, p, since)}
    return are_at_fault(tuple(pod for pod in pods if pod not in starting))


def _is_rescheduled(state: ServingState, pod: ServingPodView, since: datetime) -> bool:
    """Return whether a pod replaces a lost pod and has not failed itself.

    Times have a resolution of one second. Pods from before the version took over never count.
    """
    promoted = state.deployment.status.promoted_time
    later = pod.created >= since and (promoted is None or pod.created > from_rfc3339(promoted))
    return later and pod.restarts == 0 and not pod.deleting


def _stands(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus, choice: Choice) -> bool:
    """Return whether an explicitly requested candidate stays, whatever the policy selects."""
    if status.candidate_reason not in requested_action.EXPLICIT or state.version(status.candidate_version) is None:
        return False
    return not requested_action.is_pinned(spec) or (
        choice.version is not None and choice.version.version == status.candidate_version
    )


def _older_namesake(state: ServingState) -> str | None:
    """Return the ModelDeployment that already serves the model: the oldest, then the first by name."""
    md = state.deployment
    others = [(other.created, other.name) for other in state.others if not other.deleting]
    first = min(others, default=None)
    return first[1] if first is not None and first < (md.created, md.name) else None


# ---- reports ---------------------------------------------------------------------------------------------------------


def _report(
    state: ServingState,
    spec: ModelDeploymentSpec,
    status: ModelDeploymentStatus,
    *,
    events: tuple[EventNote, ...] = (),
) -> Plan:
    """Return a plan with the new status if it differs from the stored one, else with the time of the next check."""
    described = describe(state, spec, status)
    if described == state.deployment.status:
        return Plan(requeue_after=next_check(state, spec))
    stalled = _newly_stalled(state, described)
    return Plan(status=described, events=(*events, *((stalled,) if stalled is not None else ())))


def _blocked(state: ServingState, trouble: Problem) -> Plan:
    """Report why nothing can be decided. What serves stays unchanged."""
    status = state.deployment.status
    events: tuple[EventNote, ...] = ()
    text = actions.pending(state.deployment)
    if text is not None:
        status, events = _refused(state, text, trouble.message)
    described = describe_blocked(state, status, trouble)
    if described == state.deployment.status:
        return NOTHING
    stalled = _newly_stalled(state, described)
    return Plan(status=described, events=(*events, *((stalled,) if stalled is not None else ())))


def _refused(state: ServingState, text: str, message: str) -> tuple[ModelDeploymentStatus, tuple[EventNote, ...]]:
    status = requested_action.echoed(state.deployment.status, text, actions.refused_message(message))
    return status, (actions.refused_event(text, message),)


def _newly_stalled(state: ServingState, described: ModelDeploymentStatus) -> EventNote | None:
    """Return a warning Event if the condition Stalled is new or has another reason."""
    before = next((c.reason for c in state.deployment.status.conditions or () if c.type == "Stalled"), None)
    now = next((c for c in described.conditions or () if c.type == "Stalled"), None)
    if now is None or now.reason == before:
        return None
    return _event(state, "Warning", now.reason, now.message, since=str(unready_since(state.deployment.status)))


def _event(
    state: ServingState, kind: Literal["Normal", "Warning"], reason: str, message: str, *, since: str = ""
) -> EventNote:
    """Return an Event with a key from the earlier decisions, so that a retry after a crash gives the same Event."""
    status = state.deployment.status
    decided = (
        state.deployment.generation,
        status.promoted_time,
        status.candidate_version,
        status.candidate_since,
        status.last_handled_action,
        len(status.rejected_versions or ()),
    )
    return EventNote(kind, reason, message, "/".join(str(part) for part in (message, since, *decided)))
