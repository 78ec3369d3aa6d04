"""The life of a ModelVersion: judged once, taken out of service when a deployment had to go back from it.

:func:`plan` is total and deterministic, like that of a TrainingJob, and writes nothing at the fixed point. The table in
docs/modelversion.md is this module in words.
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
from trainyard_operator.core.champion import Chosen, Rivals
from trainyard_operator.core.conditions import stamped
from trainyard_operator.core.naming import has_its_name, version_name, version_number
from trainyard_operator.core.objects import ModelDeploymentView, ModelVersionView
from trainyard_operator.core.plan import NOTHING, EventNote, Plan
from trainyard_operator.core.saved import restore
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.core.unreadable import hands_off
from trainyard_operator.core.version import gates, overrule
from trainyard_operator.core.version.state import VersionState

LONGEST_MESSAGE = 1024
"""Characters of a condition's message, as in every other status of ours."""
REASON = 400
"""Characters of a person's reason in that message; ``status.overruled`` has all of it."""
USERS = 32
"""Names in ``usedBy``: as many as the schema takes."""


@dataclass(frozen=True)
class Transition:
    """Where a version goes: its phase with a reason and a sentence, and what else of the status changes with it."""

    phase: VersionPhase
    reason: str
    message: str
    changes: dict[str, Any] = field(default_factory=dict)


def plan(state: VersionState) -> Plan:  # noqa: PLR0911 - a list of questions
    """Return the next step for one ModelVersion."""
    if state.version.deleting:
        return NOTHING
    if state.version.unreadable:
        return hands_off(state.version)
    if state.version.recalled_from:
        return restore(state.version)
    if any(deployment.unreadable for deployment in _live(state)):
        return NOTHING  # who serves, and what was gone back from, is known once that can be read again
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


# ---- the phases ------------------------------------------------------------------------------------------------------


def _pending(state: VersionState) -> Plan:
    """Judge it, once those before it have been: the champion must not hang on who was looked at first."""
    view = state.version
    try:
        spec = ModelVersionSpec.model_validate(view.spec, extra="ignore")
    except ValidationError as error:
        return _refused(state, "InvalidSpec", first_problem(error, "spec"))
    if not has_its_name(view):
        right = version_name(spec.model, spec.version)
        message = f"version {spec.version} of model {spec.model} is ModelVersion {right} and no other"
        return _refused(state, "Misnamed", message)
    if any(other.is_pending and version_number(other) < spec.version for other in _peers(state)):
        message = "the versions before it are judged first"  # which ones is not told: it would be written for each
        return _report(state, Transition("Pending", "EarlierVersionPending", message))
    return _judged(state, spec)


def _judged(state: VersionState, spec: ModelVersionSpec) -> Plan:
    candidate = gates.Candidate(_metrics(spec), spec.holdout_digest, spec.objective, spec.comparison, spec.formats)
    results = gates.judge(spec.gates or (), candidate, _champion(state, spec))
    missed = [result for result in results if not result.passed]
    changes = {"gates": results or None, "judged_time": to_rfc3339(state.now)}
    if missed:
        message = f"{len(missed)} of {len(results)} gates not met: {_messages(missed)}"
        return _transition(
            state, Transition("Rejected", "GatesNotMet", message, changes), "Warning", "Rejected", "judged"
        )
    message = f"{len(results)} of {len(results)} gates met: {_messages(results)}" if results else "no gates to meet"
    return _transition(state, Transition("Validated", "Validated", message, changes), "Normal", "Validated", "judged")


def _refused(state: VersionState, reason: str, message: str) -> Plan:
    """Not one of ours, and nothing that could be served."""
    transition = Transition("Rejected", reason, message, {"judged_time": to_rfc3339(state.now)})
    return _transition(state, transition, "Warning", "Rejected", "judged")


def _validated(state: VersionState) -> Plan:
    """Take it out of service while a deployment that went back from it has it on its list, and none wants it."""
    found = _rejection(state)
    if found is None or _taken_by(state) is not None:
        return _keep(state)
    deployment, entry = found
    why = f"{entry.reason}: {entry.message}" if entry.message else entry.reason
    message = f"ModelDeployment {deployment.name} does not serve it again by itself ({why})"
    transition = Transition("Quarantined", "Quarantined", message, {"quarantined_by": deployment.name})
    return _transition(state, transition, "Warning", "Quarantined", f"quarantined-{deployment.uid}-{entry.time}")


def _quarantined(state: VersionState) -> Plan:
    """Stay, also when the deployment or its list is gone, until somebody asks a deployment to take it again."""
    deployment = _taken_by(state)
    if deployment is None:
        return _keep(state)
    since = deployment.status.candidate_since or deployment.status.promoted_time or ""
    message = f"ModelDeployment {deployment.name} was asked to take it again"
    transition = Transition("Validated", "Reinstated", message, {"quarantined_by": None})
    return _transition(state, transition, "Normal", "Reinstated", f"reinstated-{deployment.uid}-{since}")


def _keep(state: VersionState) -> Plan:
    """Nothing changes but who uses it."""
    return _store(state, {})


def _perform(state: VersionState, text: str) -> Plan:
    """Carry out the verb in the annotation, or say once why not; either way it is echoed and never done again."""
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
    transition = Transition("Validated", "Overruled", message, {**answered, "overruled": record})
    return _transition(state, transition, "Normal", "Overruled", f"action/{actions.echo(text)}")


# ---- what it hangs on ------------------------------------------------------------------------------------------------


def _champion(state: VersionState, judged: ModelVersionSpec) -> gates.Champion | None:
    """Return the version to beat, with what is known of it.

    A version that was not trained here and now is judged as of its training: by the champion that it was compared with.
    Which version serves at the moment, and in which order versions are imported, must not decide that.
    """
    rivals = Rivals(state.others, state.deployments)
    if judged.comparison is not None and not state.trained_here:
        chosen: Chosen | None = champion.named(rivals, judged.comparison.champion, judged.comparison.champion_digest)
    else:
        chosen = champion.choose(rivals, judged=version_number(state.version))
    if chosen is None:
        return None
    try:
        spec = ModelVersionSpec.model_validate(chosen.view.spec, extra="ignore") if chosen.view is not None else None
    except ValidationError:  # told by the gate: nothing to compare with
        spec = None
    if spec is None:
        return gates.Champion(chosen, None)
    return gates.Champion(chosen, _metrics(spec), spec.holdout_digest)


def _metrics(spec: ModelVersionSpec) -> dict[str, str]:
    return {metric.name: metric.value for metric in spec.metrics or ()}


def _peers(state: VersionState) -> list[ModelVersionView]:
    """Return the versions that count: those that stay, each under the one name that its number has."""
    return [other for other in state.others if not other.deleting and has_its_name(other)]


def _live(state: VersionState) -> list[ModelDeploymentView]:
    return [deployment for deployment in state.deployments if not deployment.deleting]


def _rejection(state: VersionState) -> tuple[ModelDeploymentView, RejectedVersion] | None:
    """Return the deployment that was the first to go back from this version, with its entry."""
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
    """Return who uses it. A number belongs to the version with its name: what else carries it, nobody serves."""
    if not has_its_name(state.version):
        return None
    own = version_number(state.version)
    each = [(deployment.name, deployment.status) for deployment in state.deployments]
    users = [name for name, of in each if own in (of.active_version, of.previous_version, of.candidate_version)]
    return sorted(users)[:USERS] or None


def _messages(results: Iterable[GateResult]) -> str:
    return "; ".join(result.message for result in results)


# ---- what is written -------------------------------------------------------------------------------------------------


def _transition(
    state: VersionState, transition: Transition, kind: Literal["Normal", "Warning"], reason: str, about: str
) -> Plan:
    """Store a new phase and tell it once."""
    return _report(state, transition, (EventNote(kind, reason, transition.message, about),))


def _report(state: VersionState, transition: Transition, events: tuple[EventNote, ...] = ()) -> Plan:
    """Turn a phase into a status.

    A refused version is Ready=False without ``Stalled``: it is what it should be, and nobody has to repair it.
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
