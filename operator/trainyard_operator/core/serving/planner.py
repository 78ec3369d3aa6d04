"""The life of a ModelDeployment: a straight list of questions, in the order of the table in docs/modeldeployment.md.

:func:`plan` is total and deterministic. Status follows from facts: the Service is switched first, and only what it then
points to is called active, so that a crash between the two is finished, or taken back, by whoever looks next.
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
from trainyard_operator.core.serving import access, deployments, requested_action, rollout, service_route
from trainyard_operator.core.serving.choice import Choice, choose, plain_digest
from trainyard_operator.core.serving.health import Failure, are_at_fault, cause_of, failure_of, waiting_for
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
from trainyard_operator.core.serving.state import ServingState
from trainyard_operator.core.serving.status import (
    AWAITING_PROMOTION,
    approved,
    describe,
    describe_blocked,
)
from trainyard_operator.core.serving.strategy import strategy_of
from trainyard_operator.core.serving.traffic import Traffic
from trainyard_operator.core.times import from_rfc3339, to_rfc3339
from trainyard_operator.core.unreadable import hands_off

Question = Callable[[ServingState, ModelDeploymentSpec], Plan | None]


def plan(state: ServingState) -> Plan:  # noqa: PLR0911 - a list of questions
    """Return the next step for one ModelDeployment."""
    if state.deployment.deleting:
        return NOTHING
    if state.deployment.unreadable:
        return hands_off(state.deployment)
    try:
        spec = parse_spec(state)
    except InvalidSpecError as error:
        return _blocked(state, Failure("InvalidSpec", str(error)))
    older = _older_namesake(state)
    if older is not None:
        message = (
            f"ModelDeployment {older} serves model {state.deployment.model} already: delete one of the two, or "
            "serve another model"
        )
        return _blocked(state, Failure("ModelTaken", message))
    if state.deployment.recalled_from:
        return _restored(state, spec)
    for question in _QUESTIONS:
        step = question(state, spec)
        if step is not None:
            return step
    report = _report(state, spec, state.deployment.status)
    return report if report.status is not None else _tidy(state, spec) or report


def parse_spec(state: ServingState) -> ModelDeploymentSpec:
    """Read the spec, ignoring fields of a newer release. Raises :class:`InvalidSpecError`."""
    try:
        return ModelDeploymentSpec.model_validate(state.deployment.spec, extra="ignore")
    except ValidationError as error:
        raise InvalidSpecError(first_problem(error, "spec")) from error


def _restored(state: ServingState, spec: ModelDeploymentSpec) -> Plan:
    """Store the saved status before anything is decided; a candidate gets all of its time again."""
    status = state.deployment.status
    if status.candidate_version is not None:
        status = status.model_copy(update={"candidate_since": to_rfc3339(state.now)})
    return _report(state, spec, status, events=(restored(),))


# ---- the questions, in order -----------------------------------------------------------------------------------------


def _read_pods(state: ServingState, spec: ModelDeploymentSpec) -> Plan | None:
    """Read the pods of what has not been ready for a while: they tell why."""
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
    """Give a candidate all of its time again when its pods are to be made from something else: that may be the cure.

    Their number is no cure, and an autoscaler may change it again and again.
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
    """Carry out the verb in the annotation, or say once why not; either way it is echoed and never done again."""
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
    """Take the version that the spec asks for as candidate, and drop one that it no longer asks for."""
    status, current = state.deployment.status, state.deployment.status.candidate_version
    choice = choose(state, spec, status)
    wanted = choice.version.version if choice.version is not None else None
    if wanted == status.active_version:
        wanted = None
    if wanted == current or (current is not None and _stands(state, spec, status, choice)):
        return None
    if wanted is None:
        event = _event(state, "Normal", "CandidateDropped", f"version {current} is no longer asked for")
        return _report(state, spec, rollout.drop(status), events=(event,))
    by = "pin" if choice.reason == "Pin" else "policy"
    event = _event(state, "Normal", "RolloutStarted", f"version {wanted} is the candidate, by {by}")
    return _report(state, spec, rollout.take(status, wanted, choice.reason, by, state.now), events=(event,))


def _judge(state: ServingState, spec: ModelDeploymentSpec) -> Plan | None:
    """Reject a candidate that cannot load, crashes again and again, or runs and is not ready in time.

    One that cannot start (no room, no image, a refusal, a storage that is away) is not to blame, and stays.
    """
    status = state.deployment.status
    number, waited = status.candidate_version, candidate_unready_seconds(state, spec, status)
    if waited is None or number is None:
        return None
    if status.phase == AWAITING_PROMOTION:  # it was ready before: it gets all of its time again
        again = status.model_copy(update={"candidate_since": to_rfc3339(state.now)})
        return _report(state, spec, again)
    pods = state.pods_of(number) if deployments.is_current(state, spec, status, number) else ()
    failure = failure_of(pods)
    if failure is None and waited >= deadline(spec) and are_at_fault(pods):
        message = f"not ready in {deadline(spec)} s (spec.rollout.progressDeadlineSeconds)"
        readiness = waiting_for(pods)
        failure = Failure("ProgressDeadlineExceeded", f"{message}; {readiness}" if readiness else message)
    if failure is None:
        return None
    version = state.version(number)
    digest = plain_digest(version) if version is not None else None
    cause = Cause(failure.reason, failure.message)
    rejected = rollout.reject(status, digest, cause, spec, state.now)
    message = f"version {number} is rejected ({failure.reason}): {failure.message}"
    return _report(state, spec, rejected, events=(_event(state, "Warning", "CandidateRejected", message),))


def _fall_back(state: ServingState, spec: ModelDeploymentSpec) -> Plan | None:
    """Go back to the version before when the active one has failed and the one before is ready now.

    Only to pods that are ready: an outage that takes both must not flap. An outage of nodes or of the storage is not
    held against the version, so the policy takes it again once its pods are ready.
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
    message = f"went back from version {left} to {previous} ({failure.reason}): {failure.message}"
    event = _event(state, "Warning", "RolledBack" if at_fault else "FailedOver", message)
    return _shift(state, spec, strategy_of(spec).promoted(previous), after, event)


def _take_over(state: ServingState, spec: ModelDeploymentSpec) -> Plan | None:
    """Give a candidate that is ready, and may, all requests."""
    status = state.deployment.status
    number, left = status.candidate_version, status.active_version
    if number is None or not approved(spec, status) or not deployments.is_ready(state, spec, status):
        return None
    version = state.version(number)
    after = rollout.take_over(status, plain_digest(version) if version is not None else None, spec, state.now)
    before = f" instead of version {left}" if left is not None else ""
    traffic = strategy_of(spec).promoted(number)
    if status.candidate_reason == "Rollback":
        message = f"went back to version {number}{before}, asked by {status.candidate_by}"
        return _shift(state, spec, traffic, after, _event(state, "Normal", "RolledBack", message))
    message = f"version {number} serves{before}, by {status.candidate_by}"
    return _shift(state, spec, traffic, after, _event(state, "Normal", "Promoted", message))


def _equip(state: ServingState, spec: ModelDeploymentSpec) -> Plan | None:
    """Bring the children to what they should be: first what serves, then what is to serve."""
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
    """Delete what no decision needs any more, once every node has heard of the last switch."""
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


# ---- what the questions share ----------------------------------------------------------------------------------------


def _shift(
    state: ServingState, spec: ModelDeploymentSpec, traffic: Traffic, after: ModelDeploymentStatus, event: EventNote
) -> Plan | None:
    """Lead requests to where a traffic says, and once they go there, say so."""
    actions = service_route.shift(state, spec, traffic)
    if not actions and service_route.current(state) == traffic.live:
        return _report(state, spec, after, events=(event,))
    if not actions or state.refused is not None:
        return None
    return Plan(actions=actions)


def _active_failure(state: ServingState) -> Failure | None:
    """Return why the active version is given up: its server cannot go on, or it has been away for too long."""
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
    return Failure("Unready", f"{message}; {readiness}" if readiness else message)


def _is_at_fault(state: ServingState) -> bool:
    """Tell whether the active version is not ready by its own doing; a pod that stands in and starts may need time."""
    since = unready_since(state.deployment.status)
    pods = state.pods_of(state.deployment.status.active_version)
    starting = {p for p in pods if since is not None and p.exit_code is None and _is_rescheduled(state, p, since)}
    return are_at_fault(tuple(pod for pod in pods if pod not in starting))


def _is_rescheduled(state: ServingState, pod: ServingPodView, since: datetime) -> bool:
    """Tell whether a pod stands in for one that is gone, and has not failed itself.

    Times are whole seconds: a pod from before the version took over is none of these, however fast it all went.
    """
    promoted = state.deployment.status.promoted_time
    later = pod.created >= since and (promoted is None or pod.created > from_rfc3339(promoted))
    return later and pod.restarts == 0 and not pod.deleting


def _stands(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus, choice: Choice) -> bool:
    """Tell whether a candidate that somebody asked for by name stays, whatever the policy would take."""
    if status.candidate_reason not in requested_action.EXPLICIT or state.version(status.candidate_version) is None:
        return False
    return not requested_action.is_pinned(spec) or (
        choice.version is not None and choice.version.version == status.candidate_version
    )


def _older_namesake(state: ServingState) -> str | None:
    """Return the ModelDeployment that serves the model, if it is another one: the older, then by name."""
    md = state.deployment
    others = [(other.created, other.name) for other in state.others if not other.deleting]
    first = min(others, default=None)
    return first[1] if first is not None and first < (md.created, md.name) else None


# ---- what is told ----------------------------------------------------------------------------------------------------


def _report(
    state: ServingState,
    spec: ModelDeploymentSpec,
    status: ModelDeploymentStatus,
    *,
    events: tuple[EventNote, ...] = (),
) -> Plan:
    """Return the status that is to be stored, if it differs from the stored one, and when to look again."""
    described = describe(state, spec, status)
    if described == state.deployment.status:
        return Plan(requeue_after=next_check(state, spec))
    stalled = _newly_stalled(state, described)
    return Plan(status=described, events=(*events, *((stalled,) if stalled is not None else ())))


def _blocked(state: ServingState, trouble: Failure) -> Plan:
    """Say why nothing is decided. What serves goes on, and nothing of it is taken away."""
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
    """Return a warning when something has come to a stand, or for another reason than before."""
    before = next((c.reason for c in state.deployment.status.conditions or () if c.type == "Stalled"), None)
    now = next((c for c in described.conditions or () if c.type == "Stalled"), None)
    if now is None or now.reason == before:
        return None
    return _event(state, "Warning", now.reason, now.message, since=str(unready_since(state.deployment.status)))


def _event(
    state: ServingState, kind: Literal["Normal", "Warning"], reason: str, message: str, *, since: str = ""
) -> EventNote:
    """Return an Event named by what was decided before: told again after a crash or a conflict it is the same one."""
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
