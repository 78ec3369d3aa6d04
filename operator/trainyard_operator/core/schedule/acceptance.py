"""Are the models of a schedule good enough? Which version was accepted last, and how many were refused since.

Runs are counted by the time of their verdict. A verdict is counted once: in the turn in which the run leaves
``status.active`` or ``status.awaitingVerdict``. Only an acceptance may come later, when a person validates by hand.
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
"""Type of the condition. It says nothing about the schedule's own health: a refused model is no fault of the clock."""
_LONGEST_MESSAGE: Final = 1024


@dataclass(frozen=True)
class Acceptance:
    """What the status says about the models, with the Events that tell of refusals.

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
    """Tell whether a run has succeeded and its version is not judged yet."""
    verdict = job.status.verdict
    return job.status.phase == "Succeeded" and verdict is not None and verdict.phase == "Pending"


def is_rejected(job: TrainingJobView) -> bool:
    """Tell whether a run made a version that was refused."""
    return job.status.verdict is not None and job.status.verdict.phase == "Rejected"


def is_unknown(job: TrainingJobView) -> bool:
    """Tell whether a run made a version that nobody ever judged."""
    return job.status.verdict is not None and job.status.verdict.phase == "Unknown"


def follow(state: ScheduleState, settled: Iterable[TrainingJobView]) -> Acceptance:
    """Return what follows from the runs whose verdict is news, and from versions validated by hand since."""
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
    """Order verdicts by time; the times are all written alike, in whole seconds of UTC."""
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
    head = f"version {_moment(job)[1]} ({job.name}) was rejected, {count} {since}: "
    message = f"{head}{why}"[:_LONGEST_MESSAGE]
    condition = _condition(state, "False", "VersionRejected", message)
    return Acceptance(known.version, known.time, count, condition, (*known.events, _event(job, message)))


def _rejected_before(known: Acceptance, job: TrainingJobView) -> Acceptance:
    """Tell of a refusal whose news comes after that of a later acceptance: it is none since then."""
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
