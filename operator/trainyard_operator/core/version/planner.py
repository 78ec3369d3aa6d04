"""Lifecycle planner of a ModelVersion: judge it once, and quarantine it after a deployment rolled back from it.

:func:`plan` is total and deterministic, and writes nothing at the fixed point. The table in docs/modelversion.md
describes it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

from pydantic import ValidationError

from trainyard_api.base import first_problem
from trainyard_api.modeldeployment import RejectedVersion
from trainyard_api.modelversion import GateResult, ModelVersionSpec, VersionPhase
from trainyard_operator.core import actions, champion
from trainyard_operator.core.actions import RefusedError
from trainyard_operator.core.champion import Chosen, ModelObjects
from trainyard_operator.core.conditions import stamped
from trainyard_operator.core.naming import has_its_name, version_name, version_number
from trainyard_operator.core.objects import ModelDeploymentView, ModelVersionView
from trainyard_operator.core.plan import NOTHING, EventNote, Plan
from trainyard_operator.core.saved import restore
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.core.unreadable import leave_unchanged
from trainyard_operator.core.version import gates, overrule
from trainyard_operator.core.version.state import VersionState

LONGEST_MESSAGE = 1024
"""Maximum length of a condition's message."""
REASON = 400
"""Maximum length of a person's reason in that message. ``status.overruled`` contains the full reason."""
USERS = 32
"""Maximum length of ``usedBy`` in the schema."""


@dataclass(frozen=True)
class StatusChange:
    """New phase of a version, with a reason, a message, and the status fields that change."""

    phase: VersionPhase
    reason: str
    message: str
    changes: dict[str, Any] = field(default_factory=dict)


def plan(state: VersionState) -> Plan:  # noqa: PLR0911 - a list of questions
    """Return the next step for one ModelVersion."""
    if state.version.deleting:
        return NOTHING
    if state.version.unreadable:
        return leave_unchanged(state.version)
    if state.version.recalled_from:
        return restore(state.version)
    if any(deployment.unreadable for deployment in _live(state)):
        return NOTHING  # the active version and the rollbacks are not known until it can be read again
    text = actions.pending(state.version)
    if text is not None:
        return _perform(state, text)
    phase = state.version.status.phase
    match phase:
        case None | "Pending":
            return _pending(state)
        case "Validated":
            return _validated(state)
        case "Quarantined":
            return _quarantined(state)
        case "Rejected":
            return _keep(state)
    assert_never(phase)


# ---- phases ----------------------------------------------------------------------------------------------------------


def _pending(state: VersionState) -> Plan:
    """Judge the version after all earlier versions, so that the champion does not depend on the order of reconciles."""
    view = state.version
    try:
        spec = ModelVersionSpec.model_validate(view.spec, extra="ignore")
    except ValidationError as error:
        return _refused(state, "InvalidSpec", first_problem(error, "spec"))
    if not has_its_name(view):
        right = version_name(spec.model, spec.version)
        message = f"the ModelVersion of version {spec.version} of model {spec.model} must have the name {right}"
        return _refused(state, "Misnamed", message)
    if any(other.is_pending and version_number(other) < spec.version for other in _peers(state)):
        message = "earlier versions are judged first"  # the message names none of them, or it would change
        return _report(state, StatusChange("Pending", "EarlierVersionPending", message))
    return _judged(state, spec)


def _judged(state: VersionState, spec: ModelVersionSpec) -> Plan:
    candidate = gates.Candidate(_metrics(spec), spec.holdout_digest, spec.objective, spec.comparison, spec.formats)
    results = gates.judge(spec.gates or (), candidate, _champion(state, spec))
    missed = [result for result in results if not result.passed]
    changes = {"gates": results or None, "judged_time": to_rfc3339(state.now)}
    if missed:
        message = f"{len(missed)} of {len(results)} gates not met: {_messages(missed)}"
        return _transition(
            state, StatusChange("Rejected", "GatesNotMet", message, changes), "Warning", "Rejected", "judged"
        )
    message = (
        f"{len(results)} of {len(results)} gates met: {_messages(results)}" if results else "the version has no gates"
    )
    return _transition(state, StatusChange("Validated", "Validated", message, changes), "Normal", "Validated", "judged")


def _refused(state: VersionState, reason: str, message: str) -> Plan:
    """Reject a version that is invalid or has a wrong name. It cannot be served."""
    transition = StatusChange("Rejected", reason, message, {"judged_time": to_rfc3339(state.now)})
    return _transition(state, transition, "Warning", "Rejected", "judged")


def _validated(state: VersionState) -> Plan:
    """Quarantine a version that a deployment has rejected, unless a deployment serves it or is about to."""
    found = _rejection(state)
    if found is None or _taken_by(state) is not None:
        return _keep(state)
    deployment, entry = found
    why = f"{entry.reason}: {entry.message}" if entry.message else entry.reason
    message = f"ModelDeployment {deployment.name} does not select this version again ({why})"
    transition = StatusChange("Quarantined", "Quarantined", message, {"quarantined_by": deployment.name})
    return _transition(state, transition, "Warning", "Quarantined", f"quarantined-{deployment.uid}-{entry.time}")


def _quarantined(state: VersionState) -> Plan:
    """Keep the quarantine until a deployment is asked to take the version again.

    Deleting the deployment or its list does not lift it.
    """
    deployment = _taken_by(state)
    if deployment is None:
        return _keep(state)
    since = deployment.status.candidate_since or deployment.status.promoted_time or ""
    message = f"ModelDeployment {deployment.name} takes this version again"
    transition = StatusChange("Validated", "Reinstated", message, {"quarantined_by": None})
    return _transition(state, transition, "Normal", "Reinstated", f"reinstated-{deployment.uid}-{since}")


def _keep(state: VersionState) -> Plan:
    """Update only the list of users."""
    return _store(state, {})


def _perform(state: VersionState, text: str) -> Plan:
    """Perform the action in the annotation, or report once why it is refused. Either way, it is handled only once."""
    view, token = state.version, None
    try:
        token = overrule.token_of(text)
        record = overrule.overruled(view, text, state.now)
    except RefusedError as error:
        refusal = str(error)
        answered = actions.handled(view.status, text, actions.refused_message(refusal), token)
        return _store(state, answered, (actions.refused_event(text, refusal),))
    missed = _messages(result for result in view.status.gates or () if not result.passed)
    message = f"validated by {record.by}: {record.reason[:REASON]}; gates not met: {missed}"
    answered = actions.handled(view.status, text, f"validated by {record.by}", token)
    transition = StatusChange("Validated", "Overruled", message, {**answered, "overruled": record})
    return _transition(state, transition, "Normal", "Overruled", f"action/{actions.echo(text)}")


# ---- inputs of the decision ------------------------------------------------------------------------------------------


def _champion(state: VersionState, judged: ModelVersionSpec) -> gates.Champion | None:
    """Return the champion, with what is known of it.

    A version that was restored or imported is judged as of its training: by the champion in its comparison. The version
    that serves now, and the order of imports, must not change the result.
    """
    model_objects = ModelObjects(state.others, state.deployments)
    if judged.comparison is not None and not state.trained_here:
        chosen: Chosen | None = champion.named(
            model_objects, judged.comparison.champion, judged.comparison.champion_digest
        )
    else:
        chosen = champion.choose(model_objects, judged=version_number(state.version))
    if chosen is None:
        return None
    try:
        spec = ModelVersionSpec.model_validate(chosen.view.spec, extra="ignore") if chosen.view is not None else None
    except ValidationError:  # the gate reports that there is nothing to compare with
        spec = None
    if spec is None:
        return gates.Champion(chosen, None)
    return gates.Champion(chosen, _metrics(spec), spec.holdout_digest)


def _metrics(spec: ModelVersionSpec) -> dict[str, str]:
    return {metric.name: metric.value for metric in spec.metrics or ()}


def _peers(state: VersionState) -> list[ModelVersionView]:
    """Return the versions that are not being deleted and have the canonical name of their number."""
    return [other for other in state.others if not other.deleting and has_its_name(other)]


def _live(state: VersionState) -> list[ModelDeploymentView]:
    return [deployment for deployment in state.deployments if not deployment.deleting]


def _rejection(state: VersionState) -> tuple[ModelDeploymentView, RejectedVersion] | None:
    """Return the deployment that rejected this version first, with its entry."""
    own = version_number(state.version)
    found = [
        (deployment, entry)
        for deployment in _live(state)
        for entry in deployment.status.rejected_versions or ()
        if entry.version == own
    ]
    return min(found, key=lambda each: (each[1].time, each[0].name), default=None)


def _taken_by(state: VersionState) -> ModelDeploymentView | None:
    """Return a deployment that serves this version or is about to."""
    own = version_number(state.version)
    takes = [
        deployment
        for deployment in _live(state)
        if own in (deployment.status.active_version, deployment.status.candidate_version)
    ]
    return min(takes, key=lambda each: each.name, default=None)


def _users(state: VersionState) -> list[str] | None:
    """Return the deployments that use it. Only the version with the canonical name of its number can be served."""
    if not has_its_name(state.version):
        return None
    own = version_number(state.version)
    each = [(deployment.name, deployment.status) for deployment in state.deployments]
    users = [name for name, of in each if own in (of.active_version, of.previous_version, of.candidate_version)]
    return sorted(users)[:USERS] or None


def _messages(results: Iterable[GateResult]) -> str:
    return "; ".join(result.message for result in results)


# ---- output ----------------------------------------------------------------------------------------------------------


def _transition(
    state: VersionState, transition: StatusChange, kind: Literal["Normal", "Warning"], reason: str, about: str
) -> Plan:
    """Store a new phase and report it once."""
    return _report(state, transition, (EventNote(kind, reason, transition.message, about),))


def _report(state: VersionState, transition: StatusChange, events: tuple[EventNote, ...] = ()) -> Plan:
    """Return a plan with the status of a phase.

    A rejected version has Ready=False without ``Stalled``, because nobody has to repair it.
    """
    view = state.version
    statuses = {"Ready": "True" if transition.phase == "Validated" else "False"}
    if transition.phase == "Pending":
        statuses["Reconciling"] = "True"
    changes = {
        "phase": transition.phase,
        "conditions": stamped(
            statuses,
            transition.reason,
            transition.message[:LONGEST_MESSAGE],
            generation=view.generation,
            now=state.now,
            before=view.status.conditions or (),
        ),
    }
    return _store(state, {**changes, **transition.changes}, events)


def _store(state: VersionState, changes: dict[str, Any], events: tuple[EventNote, ...] = ()) -> Plan:
    view = state.version
    always = {"observed_generation": view.generation, "used_by": _users(state)}
    status = view.status.model_copy(update={**always, **changes})
    return NOTHING if status == view.status else Plan(status=status, events=events)
