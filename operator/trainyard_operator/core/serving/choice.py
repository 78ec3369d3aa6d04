"""Choice of the version to serve, from the spec, the existing versions and the rollbacks."""

from dataclasses import dataclass

from trainyard_api.modeldeployment import CandidateReason, ModelDeploymentSpec, ModelDeploymentStatus, VersionPolicy
from trainyard_operator.core.objects import ModelVersionView
from trainyard_operator.core.serving.health import Problem
from trainyard_operator.core.serving.rollout import is_rejected, rejection_of, was_live
from trainyard_operator.core.serving.state import ServingState


@dataclass(frozen=True)
class Choice:
    """Result of the choice.

    Attributes
    ----------
    version
        To be rolled out, or active already. ``None`` if the active version stays.
    problem
        Why the spec cannot be applied.
    waiting
        What must happen first, without user action.
    """

    version: ModelVersionView | None
    reason: CandidateReason
    problem: Problem | None = None
    waiting: str = ""


def choose(state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> Choice:
    """Return the version that the policy selects."""
    policy = spec.version or VersionPolicy()
    if policy.policy == "Pinned":
        return _pinned(state, status, policy.pin)
    eligible = [v for v in state.known if _takes(status, v)]
    return Choice(max(eligible, key=lambda v: v.version, default=None), "Policy")


def find_pin(state: ServingState, pin: str) -> ModelVersionView | None:
    """Return the version that a pin names, by number or by digest."""
    if pin.startswith("sha256:"):
        digest = pin.removeprefix("sha256:")
        return next((v for v in state.known if plain_digest(v) == digest), None)
    return state.version(int(pin)) if pin.isdecimal() else None


def plain_digest(version: ModelVersionView) -> str:
    """Return the hexadecimal digest of a version's manifest."""
    return version.digest.removeprefix("sha256:")


def lived(status: ModelDeploymentStatus, version: ModelVersionView) -> bool:
    """Return whether a version with this number and digest has served.

    A number can be assigned again, a digest cannot.
    """
    entry = was_live(status, version.version)
    return entry is not None and entry.digest in (None, plain_digest(version))


def leads_to(status: ModelDeploymentStatus, number: int) -> bool:
    """Return whether LatestValidated may move to a number.

    It never moves to a lower number. During a hold, it moves only to a number above ``hold.above``, if that is set.
    """
    hold = status.hold
    if status.active_version is not None and number <= status.active_version:
        return False
    return hold is None or (hold.above is not None and number > hold.above)


def _takes(status: ModelDeploymentStatus, version: ModelVersionView) -> bool:
    number = version.version
    return version.status.phase == "Validated" and not is_rejected(status, number) and leads_to(status, number)


def _pinned(state: ServingState, status: ModelDeploymentStatus, pin: str) -> Choice:  # noqa: PLR0911 - a list of questions
    version = find_pin(state, pin)
    if version is None:
        if status.active_version is not None and pin in (str(status.active_version), f"sha256:{status.active_digest}"):
            return Choice(None, "Pin")  # it serves; the status reports the missing ModelVersion
        message = (
            f"no ModelVersion of model {state.deployment.model} matches spec.version.pin {pin!r}: list the versions "
            "with kubectl get mv"
        )
        return Choice(None, "Pin", Problem("PinnedVersionNotFound", message))
    number = version.version
    rejection = rejection_of(status, number)
    if rejection is not None:
        return Choice(None, "Pin", _quarantined(number, f"{rejection.reason}: {rejection.message}"))
    if lived(status, version):
        return Choice(version, "Pin")
    if version.unreadable:
        message = f"version {number} is pinned, but its ModelVersion cannot be read: see the Events of {version.name}"
        return Choice(None, "Pin", Problem("PinnedVersionUnreadable", message))
    match version.status.phase:
        case "Validated":
            return Choice(version, "Pin")
        case "Quarantined" if number == status.candidate_version:
            return Choice(version, "Pin")  # its quarantine was lifted here; the phase of the version follows
        case "Quarantined":
            return Choice(None, "Pin", _quarantined(number, "it was rolled back before"))
        case None | "Pending":
            return Choice(None, "Pin", waiting=f"version {number} is pinned, but its gates are not judged yet")
        case phase:
            message = f"version {number} is pinned but {phase}: pin a validated version, or train a better one"
    return Choice(None, "Pin", Problem("PinnedVersionNotValidated", message))


def _quarantined(number: int, why: str) -> Problem:
    message = (
        f"version {number} is pinned but quarantined ({why}): pin another version, or lift the quarantine with the "
        f"action retry/{number}/<token>"
    )
    return Problem("PinnedVersionQuarantined", message)
