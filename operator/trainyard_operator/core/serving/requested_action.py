"""Effect of each verb on the status, or the message that says why it is refused."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import assert_never

from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus, VersionPolicy
from trainyard_operator.core import actions
from trainyard_operator.core.actions import RefusedError
from trainyard_operator.core.objects import ModelVersionView
from trainyard_operator.core.serving import rollout, verbs
from trainyard_operator.core.serving.choice import find_pin, lived
from trainyard_operator.core.serving.state import ServingState
from trainyard_operator.core.serving.verbs import PlainVerb, RetryVerb, RollbackVerb

Performed = tuple[ModelDeploymentStatus, str]
"""The new status, and a message with the result."""


def perform(state: ServingState, spec: ModelDeploymentSpec, text: str) -> Performed:
    """Perform a verb on the status.

    Raises
    ------
    RefusedError
        With the message, if the verb cannot be performed.
    """
    verb = verbs.parse(text)
    actions.refuse_used(state.deployment.status, verb.token)
    by = actions.asked_by(state.deployment)
    match verb:
        case RollbackVerb(version=number):
            return _rollback(state, spec, number, by)
        case RetryVerb(version=number):
            return _retry(state, spec, number, by)
        case PlainVerb(verb=name):
            return _PLAIN[name](state.deployment.status, spec, by, state.now)
        case _:
            assert_never(verb)


def echoed(status: ModelDeploymentStatus, text: str, message: str) -> ModelDeploymentStatus:
    """Return the status that records the handled action and its result."""
    token = None
    with suppress(RefusedError):  # the message contains the error
        token = verbs.parse(text).token
    return status.model_copy(update=actions.handled(status, text, message, token))


def _rollback(state: ServingState, spec: ModelDeploymentSpec, asked: int | None, by: str) -> Performed:
    status = state.deployment.status
    if is_pinned(spec):
        raise RefusedError(
            "spec.version.pin selects the version that serves: pin another version, or revert the commit in Git"
        )
    if status.active_version is None:
        raise RefusedError("no version serves, so there is nothing to roll back")
    number = asked if asked is not None else status.previous_version
    if number is None:
        raise RefusedError("there is no version to roll back to: no version that served before is free of quarantine")
    if number == status.active_version:
        raise RefusedError(f"version {number} already serves; to drop a candidate, use the action abort/<token>")
    rejection = rollout.rejection_of(status, number)
    if rejection is not None:
        raise RefusedError(
            f"version {number} is quarantined ({rejection.reason}): lift the quarantine first, with the action "
            f"retry/{number}/<token>"
        )
    version = _known(state, number)
    entry = rollout.was_live(status, number)
    if entry is not None and not lived(status, version):
        raise RefusedError(f"version {number} is not the model that served under this number: its digest differs")
    if entry is None and version.status.phase != "Validated" and not was_lifted(state, version):
        phase = "unreadable" if version.unreadable else version.status.phase or "Pending"
        raise RefusedError(f"version {number} has never served and is {phase}: only a validated version can take over")
    return rollout.take(status, number, "Rollback", by, state.now), f"rolling back to version {number}"


def _retry(state: ServingState, spec: ModelDeploymentSpec, number: int, by: str) -> Performed:
    status = state.deployment.status
    version = _known(state, number)
    if version.status.phase == "Rejected":
        raise RefusedError(f"version {number} did not pass its gates: train a better one, or {BY_HAND}")
    if not (rollout.is_rejected(status, number) or version.status.phase == "Quarantined"):
        raise RefusedError(f"version {number} is not quarantined, so there is no quarantine to lift")
    lifted = rollout.lift(status, number)
    if is_pinned(spec):
        wanted = find_pin(state, (spec.version or VersionPolicy()).pin) == version
    else:
        wanted = status.active_version is None or number > status.active_version
    if not wanted:
        message = f"version {number} is no longer quarantined: to serve it, use rollback/{number}/<token> or pin it"
        serving = status.active_version
        return lifted, message if serving is None else f"{message}; version {serving} keeps serving"
    return rollout.take(lifted, number, "Retry", by, state.now), f"version {number} is tried again"


def _promote(status: ModelDeploymentStatus, spec: ModelDeploymentSpec, by: str, now: datetime) -> Performed:  # noqa: ARG001
    number = status.candidate_version
    if number is None:
        raise RefusedError("there is no candidate to promote")
    if status.candidate_reason in EXPLICIT - {"Retry"}:
        raise RefusedError(
            f"version {number} already takes over as soon as it is ready, so there is nothing to promote"
        )
    promoted = {"candidate_reason": "Promoted", "candidate_by": by}
    return status.model_copy(update=promoted), f"version {number} takes over as soon as it is ready"


def _abort(status: ModelDeploymentStatus, spec: ModelDeploymentSpec, by: str, now: datetime) -> Performed:
    number = status.candidate_version
    if number is None:
        raise RefusedError("there is no candidate to abort")
    if status.candidate_reason == "Rollback":
        return rollout.drop(
            status
        ), f"version {status.active_version} keeps serving; the rollback to version {number} is stopped"
    cause = rollout.Cause("Aborted", "aborted by hand", by)
    message = f"version {number} is dropped; to try it again, use the action retry/{number}/<token>"
    return rollout.reject(status, None, cause, spec, now), message


def _hold(status: ModelDeploymentStatus, spec: ModelDeploymentSpec, by: str, now: datetime) -> Performed:
    if is_pinned(spec):
        raise RefusedError("the version is pinned, so no other version is selected and there is nothing to hold")
    if status.hold is not None and status.hold.reason == "Held":
        raise RefusedError(f"already held since {status.hold.since}")
    return rollout.hold(status, by, now), "no newer version is selected until the action release/<token>"


def _release(status: ModelDeploymentStatus, spec: ModelDeploymentSpec, by: str, now: datetime) -> Performed:  # noqa: ARG001
    if status.hold is None:
        raise RefusedError("there is no hold to release")
    return rollout.release(status), "the hold is released, and the policy selects versions again"


_PLAIN: dict[verbs.PlainVerbName, Callable[[ModelDeploymentStatus, ModelDeploymentSpec, str, datetime], Performed]] = {
    "promote": _promote,
    "abort": _abort,
    "hold": _hold,
    "release": _release,
}

BY_HAND = "validate it by hand (action validate/<token> on its ModelVersion)"
"""Next step for the user after failed gates."""

EXPLICIT = frozenset({"Promoted", "Retry", "Rollback"})
"""Reasons of a candidate that somebody requested explicitly. The policy does not replace it."""


def is_pinned(spec: ModelDeploymentSpec) -> bool:
    """Return whether the spec pins one version."""
    return spec.version is not None and spec.version.policy == "Pinned"


def was_lifted(state: ServingState, version: ModelVersionView) -> bool:
    """Return whether only this deployment had quarantined the version.

    The phase follows once it takes the version again.
    """
    return version.status.phase == "Quarantined" and version.status.quarantined_by == state.deployment.name


def _known(state: ServingState, number: int) -> ModelVersionView:
    version = state.version(number)
    if version is None:
        raise RefusedError(
            f"model {state.deployment.model} has no version {number}: list the versions with kubectl get mv"
        )
    return version
