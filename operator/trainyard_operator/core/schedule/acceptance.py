"""Acceptance of a schedule's models: the version that was accepted last, and the number of rejections since.

Runs are ordered by the time of their verdict. A verdict is counted once, in the reconcile in which the run leaves
``status.active`` or ``status.awaitingVerdict``. Only an acceptance may come later, if a person validates the version.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from trainyard_api.conditions import Condition
from trainyard_api.trainingschedule import TrainingScheduleStatus
from trainyard_operator.core.conditions import stamped
from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.plan import EventNote
from trainyard_operator.core.schedule.state import ScheduleState

ACCEPTED: Final = "ModelAccepted"
"""Type of the condition.

It is independent of the schedule's own health: a rejected model is no fault of the schedule.
"""
_LONGEST_MESSAGE: Final = 1024


@dataclass(frozen=True)
class Acceptance:
    """Acceptance in the status, with Events for the rejections.

    Attributes
    ----------
    condition
        ``ModelAccepted``; ``None`` before the first verdict.
    """

    version: int | None
    time: str | None
    rejections: int | None
    condition: Condition | None
    events: tuple[EventNote, ...] = ()


def awaits_verdict(job: TrainingJobView) -> bool:
    """Return whether a run has succeeded and its version is not judged yet."""
    verdict = job.status.verdict
    return job.status.phase == "Succeeded" and verdict is not None and verdict.phase == "Pending"


def is_rejected(job: TrainingJobView) -> bool:
    """Return whether a run created a version that was rejected."""
    return job.status.verdict is not None and job.status.verdict.phase == "Rejected"


def is_unknown(job: TrainingJobView) -> bool:
    """Return whether a run created a version that was never judged."""
    return job.status.verdict is not None and job.status.verdict.phase == "Unknown"


def follow(state: ScheduleState, settled: Iterable[TrainingJobView]) -> Acceptance:
    """Return the acceptance after the runs with a new verdict and the versions that were validated manually since."""
    status = state.schedule.status
    known = Acceptance(
        status.last_accepted_version,
        status.last_accepted_time,
        status.consecutive_rejections,
        condition_of(status),
    )
    fresh = {job.uid for job in settled}
    counted = [job for job in state.jobs if _is_accepted(job) or (job.uid in fresh and is_rejected(job))]
    for job in sorted(counted, key=_moment):
        if _moment(job) <= (known.time or "", known.version or 0):
            known = known if _is_accepted(job) else _rejected_before(known, job)
        else:
            known = _accepted(state, known, job) if _is_accepted(job) else _rejected(state, known, job)
    return known


def condition_of(status: TrainingScheduleStatus) -> Condition | None:
    """Return the stored condition."""
    return next((each for each in status.conditions or () if each.type == ACCEPTED), None)


def _is_accepted(job: TrainingJobView) -> bool:
    return job.status.verdict is not None and job.status.verdict.phase == "Validated"


def _moment(job: TrainingJobView) -> tuple[str, int]:
    """Return the sort key of a verdict. All times have the same format: whole seconds in UTC."""
    verdict, version = job.status.verdict, job.status.model_version
    return (verdict.time or "") if verdict is not None else "", version.version if version is not None else 0


def _accepted(state: ScheduleState, known: Acceptance, job: TrainingJobView) -> Acceptance:
    time, version = _moment(job)
    message = f"version {version} ({job.name}) was accepted"
    return Acceptance(version, time, 0, _condition(state, "True", "VersionAccepted", message), known.events)


def _rejected(state: ScheduleState, known: Acceptance, job: TrainingJobView) -> Acceptance:
    count = (known.rejections or 0) + 1
    verdict = job.status.verdict
    why = verdict.message if verdict is not None else ""
    since = "so far" if known.version is None else f"since version {known.version}"
    head = f"version {_moment(job)[1]} ({job.name}) was rejected (rejections {since}: {count}): "
    message = f"{head}{why}"[:_LONGEST_MESSAGE]
    condition = _condition(state, "False", "VersionRejected", message)
    return Acceptance(known.version, known.time, count, condition, (*known.events, _event(job, message)))


def _rejected_before(known: Acceptance, job: TrainingJobView) -> Acceptance:
    """Report a rejection that is older than the last acceptance. It does not count."""
    verdict = job.status.verdict
    why = verdict.message if verdict is not None else ""
    message = f"version {_moment(job)[1]} ({job.name}) was rejected: {why}"
    return replace(known, events=(*known.events, _event(job, message)))


def _event(job: TrainingJobView, message: str) -> EventNote:
    return EventNote("Warning", "VersionRejected", message[:_LONGEST_MESSAGE], f"verdict-{job.uid}")


def _condition(state: ScheduleState, status: str, reason: str, message: str) -> Condition:
    view = state.schedule
    before = view.status.conditions or ()
    (condition,) = stamped(
        {ACCEPTED: status}, reason, message, generation=view.generation, now=state.now, before=before
    )
    return condition
