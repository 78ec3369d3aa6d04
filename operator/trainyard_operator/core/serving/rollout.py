"""Status transitions of a ModelDeployment: a candidate is taken, dropped, rejected, or takes over.

These functions do not read the cluster. The planner decides when each transition is due.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from trainyard_api.modeldeployment import (
    CandidateReason,
    History,
    HistoryEntry,
    Hold,
    ModelDeploymentSpec,
    ModelDeploymentStatus,
    RejectedVersion,
    Rollback,
)
from trainyard_operator.core.times import to_rfc3339

OPERATOR: Final = "operator"
MANUAL_ROLLBACK: Final = "ManualRollback"

_KEPT_REJECTIONS: Final = 32
_LONGEST_MESSAGE: Final = 1024
_LONGEST_NAME: Final = 256

_NO_CANDIDATE: Final[dict[str, Any]] = {
    "candidate_version": None,
    "candidate_since": None,
    "candidate_reason": None,
    "candidate_by": None,
}
_WHY: Final[dict[CandidateReason, str]] = {
    "Policy": "the newest validated version",
    "Pin": "pinned by spec.version.pin",
    "Retry": "tried again",
    "Promoted": "promoted",
    "Rollback": "rolled back to by hand",
}


@dataclass(frozen=True)
class Cause:
    """Why a version is taken out of service, and who decided it."""

    reason: str
    message: str
    by: str = OPERATOR


def is_rejected(status: ModelDeploymentStatus, number: int | None) -> bool:
    """Return whether a version was rolled back or rejected, and not lifted since."""
    return rejection_of(status, number) is not None


def rejection_of(status: ModelDeploymentStatus, number: int | None) -> RejectedVersion | None:
    """Return the rejection of a version."""
    return next((entry for entry in status.rejected_versions or () if entry.version == number), None)


def last_setback(status: ModelDeploymentStatus) -> RejectedVersion | None:
    """Return the newest rejection, unless a version has taken over since."""
    newest = status.rejected_versions[-1] if status.rejected_versions else None
    if newest is None or (status.promoted_time is not None and newest.time < status.promoted_time):
        return None
    return newest


def was_live(status: ModelDeploymentStatus, number: int | None) -> HistoryEntry | None:
    """Return the newest history entry that shows that a version has served."""
    return next((e for e in status.history or () if e.version == number and e.outcome != "Rejected"), None)


def take(
    status: ModelDeploymentStatus, number: int, reason: CandidateReason, by: str, now: datetime
) -> ModelDeploymentStatus:
    """Make a version the candidate. It replaces any other candidate."""
    return status.model_copy(
        update={
            "candidate_version": number,
            "candidate_since": to_rfc3339(now),
            "candidate_reason": reason,
            "candidate_by": by[:_LONGEST_NAME],
        }
    )


def drop(status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """Remove the candidate without a rejection."""
    return status.model_copy(update=_NO_CANDIDATE)


def reject(
    status: ModelDeploymentStatus, digest: str | None, cause: Cause, spec: ModelDeploymentSpec, now: datetime
) -> ModelDeploymentStatus:
    """Quarantine the candidate. The active version stays."""
    number = status.candidate_version
    if number is None:
        raise ValueError("there is no candidate to reject")
    moment = to_rfc3339(now)
    entry = HistoryEntry(
        version=number,
        digest=digest,
        from_=status.candidate_since or moment,
        to=moment,
        outcome="Rejected",
        by=cause.by[:_LONGEST_NAME],
        reason=cause.message[:_LONGEST_MESSAGE],
    )
    after = drop(status).model_copy(update={"rejected_versions": _with_rejection(status, number, cause, moment)})
    return after.model_copy(update=_history(after, [entry, *(status.history or ())], spec))


def lift(status: ModelDeploymentStatus, number: int) -> ModelDeploymentStatus:
    """Remove a version from quarantine."""
    left = [entry for entry in status.rejected_versions or () if entry.version != number]
    return status.model_copy(update={"rejected_versions": left or None})


def take_over(
    status: ModelDeploymentStatus,
    digest: str | None,
    spec: ModelDeploymentSpec,
    now: datetime,
    fault: Cause | None = None,
) -> ModelDeploymentStatus:
    """Make the candidate the active version. A fault or a manual rollback quarantines the version that it replaces."""
    number, left = status.candidate_version, status.active_version
    if number is None:
        raise ValueError("there is no candidate to take over")
    reason: CandidateReason = status.candidate_reason or "Policy"
    by = status.candidate_by or OPERATOR
    by_hand = reason == "Rollback" and left is not None
    cause = fault
    if cause is None and by_hand:
        cause = Cause(MANUAL_ROLLBACK, f"rolled back to version {number} by hand", by)
    after = _activate(drop(status), number, digest, _entry(number, digest, by, _WHY[reason], now), cause, spec, now)
    if by_hand and left is not None:
        return after.model_copy(update={"hold": _hold_after_rollback(spec, left, by, now)})
    hold = status.hold
    if hold is not None and hold.above is not None and number >= hold.above:
        return after.model_copy(update={"hold": None})
    return after


def go_back(
    status: ModelDeploymentStatus, cause: Cause | None, spec: ModelDeploymentSpec, now: datetime
) -> ModelDeploymentStatus:
    """Make the previous version active again by the operator's decision. A candidate stays the candidate.

    If the candidate is this version, it takes over as a candidate does. Without ``cause``, the replaced version is not
    rejected, and the policy may take it again.
    """
    number = status.previous_version
    if number is None:
        raise ValueError("there is no previous version to go back to")
    served = was_live(status, number)
    digest = served.digest if served is not None else None
    if number == status.candidate_version:
        return take_over(status, digest, spec, now, cause)
    why = f"rolled back from version {status.active_version}"
    return _activate(status, number, digest, _entry(number, digest, OPERATOR, why, now), cause, spec, now)


def release(status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """End a hold."""
    return status.model_copy(update={"hold": None})


def hold(status: ModelDeploymentStatus, by: str, now: datetime) -> ModelDeploymentStatus:
    """Stop the policy from taking a version until the hold is released."""
    kept = Hold(reason="Held", since=to_rfc3339(now), by=by[:_LONGEST_NAME])
    return status.model_copy(update={"hold": kept})


# ---- parts of the transitions ----------------------------------------------------------------------------------------


def _activate(
    status: ModelDeploymentStatus,
    number: int,
    digest: str | None,
    entry: HistoryEntry,
    cause: Cause | None,
    spec: ModelDeploymentSpec,
    now: datetime,
) -> ModelDeploymentStatus:
    """Make a version active. ``cause`` is the fault of the version that it replaces."""
    moment, left = to_rfc3339(now), status.active_version
    ended: dict[str, Any] = {"to": moment, "outcome": "Replaced"}
    rejected = status.rejected_versions
    if cause is not None and left is not None:
        ended |= {"outcome": "RolledBack", "by": cause.by[:_LONGEST_NAME], "reason": cause.message[:_LONGEST_MESSAGE]}
        rejected = _with_rejection(status, left, cause, moment)
    before = [e.model_copy(update=ended) if e.outcome == "Active" else e for e in status.history or ()]
    after = status.model_copy(
        update={
            "active_version": number,
            "active_digest": digest,
            "promoted_time": moment,
            "rejected_versions": rejected,
        }
    )
    return after.model_copy(update=_history(after, [entry, *before], spec))


def _entry(number: int, digest: str | None, by: str, reason: str, now: datetime) -> HistoryEntry:
    return HistoryEntry(version=number, digest=digest, from_=to_rfc3339(now), outcome="Active", by=by, reason=reason)


def _with_rejection(status: ModelDeploymentStatus, number: int, cause: Cause, moment: str) -> list[RejectedVersion]:
    entry = RejectedVersion(version=number, reason=cause.reason, message=cause.message[:_LONGEST_MESSAGE], time=moment)
    others = [known for known in status.rejected_versions or () if known.version != number]
    return [*others, entry][-_KEPT_REJECTIONS:]


def _history(
    status: ModelDeploymentStatus, entries: Iterable[HistoryEntry], spec: ModelDeploymentSpec
) -> dict[str, Any]:
    """Return the history within its limit, and the previous version.

    The entries of the active and the previous version are always kept.
    """
    entries = list(entries)
    rejected = {entry.version for entry in status.rejected_versions or ()}
    ways_back = (e for e in entries if e.outcome == "Replaced" and e.version not in {*rejected, status.active_version})
    previous = next(ways_back, None)
    needed = [e for e in entries if e.outcome == "Active" or e is previous]
    others = [e for e in entries if e not in needed][: max((spec.history or History()).limit - len(needed), 0)]
    kept = [e for e in entries if e in needed or e in others]
    return {"history": kept, "previous_version": previous.version if previous is not None else None}


def _hold_after_rollback(spec: ModelDeploymentSpec, left: int, by: str, now: datetime) -> Hold:
    until_newer = (spec.rollback or Rollback()).after_manual == "HoldUntilNewer"
    return Hold(
        reason=MANUAL_ROLLBACK, above=left if until_newer else None, since=to_rfc3339(now), by=by[:_LONGEST_NAME]
    )
