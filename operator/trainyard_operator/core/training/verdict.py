"""Verdict on the version of a finished job. The training can succeed while the gates reject the model."""

from trainyard_api.trainingjob import TrainingJobStatus, Verdict
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.objects import ModelVersionView
from trainyard_operator.core.plan import EventNote
from trainyard_operator.core.training.state import TrainingState

_PENDING = Verdict(phase="Pending", reason="Pending", message="its gates are not judged yet")
_DELETED = Verdict(
    phase="Unknown",
    reason="VersionDeleted",
    message="its ModelVersion was deleted before the operator observed the verdict",
)


def of_version(view: ModelVersionView) -> Verdict:
    """Return the verdict on a version: the result of its gates, or of a manual decision.

    A version that was quarantined later counts as validated, because the training did not cause the quarantine.
    """
    status = view.status
    if view.is_pending or view.unreadable:
        return _PENDING
    ready = next((each for each in status.conditions or () if each.type == "Ready"), None)
    accepted = status.phase != "Rejected"
    by_hand = status.overruled.time if accepted and status.overruled is not None else None
    return Verdict(
        phase="Validated" if accepted else "Rejected",
        reason=ready.reason if ready is not None else "Judged",
        message=ready.message[:1024] if ready is not None else "",
        time=by_hand or status.judged_time,
    )


def follow(state: TrainingState) -> Need | Verdict | None:
    """Return the verdict of a finished job if it differs from the stored one, ``None`` otherwise.

    A version that is not in the cache may have been deleted. It is read from the API server, because no event would end
    the wait.
    """
    status = state.job.status
    if status.model_version is None:
        return None
    made = _own(state, state.made)
    if made is None:
        if status.verdict is not None and status.verdict.phase != "Pending":
            return None  # judged before it was deleted
        name = status.model_version.name
        if name not in state.versions:
            return Need(Fact.VERSION, name)
        made = _own(state, state.versions[name])
    found = _DELETED if made is None else of_version(made)
    return None if _is_known(status, found) else found


def event_of(verdict: Verdict) -> tuple[EventNote, ...]:
    """Return the Event that reports a rejection. The job and its version each get one."""
    if verdict.phase != "Rejected":
        return ()
    return (EventNote("Warning", "VersionRejected", verdict.message, "verdict"),)


def _own(state: TrainingState, view: ModelVersionView | None) -> ModelVersionView | None:
    """Return a version if this job created it. After a restore, the job has the same name and another uid."""
    return view if view is not None and view.job_name == state.job.name else None


def _is_known(status: TrainingJobStatus, found: Verdict) -> bool:
    """Return whether the verdict has the same phase as the stored one.

    Only phases are compared. The ModelVersion reports its own later changes, for example a quarantine. A verdict never
    returns to Pending, for example if the version can no longer be read.
    """
    return status.verdict is not None and found.phase in ("Pending", status.verdict.phase)
