"""Runs in the status of a TrainingSchedule: which are active, which ended, and how.

All values follow from the existing TrainingJobs and from the stored status. If a reconcile fails after creating a run
and before reporting it, the next one reports it before any other decision.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from trainyard_api.conditions import Condition
from trainyard_api.trainingschedule import ActiveRun, TrainingScheduleSpec, TrainingScheduleStatus
from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.plan import EventNote
from trainyard_operator.core.schedule.acceptance import awaits_verdict, follow, is_rejected, is_unknown
from trainyard_operator.core.schedule.runs import (
    change_run,
    nominal_time,
    requested_run,
    template_hash,
    token_of,
)
from trainyard_operator.core.schedule.state import ScheduleState
from trainyard_operator.core.times import from_rfc3339, to_rfc3339

LISTED: Final = 32
"""Maximum length of ``status.active`` and ``status.awaitingVerdict`` in the schema.

The results of runs beyond this limit are not counted.
"""


@dataclass(frozen=True)
class Record:
    """The status with all changes of the runs, and the Events that report them.

    Attributes
    ----------
    last
        The nominal time of the newest run that was started.
    accepted
        The condition that says whether the models are accepted.
    active
        The runs that have not ended, oldest first. Runs that are being deleted count.
    """

    status: TrainingScheduleStatus
    last: datetime | None
    accepted: Condition | None
    active: tuple[TrainingJobView, ...]
    events: tuple[EventNote, ...]


def has_lost(state: ScheduleState) -> bool:
    """Return whether the status lists a run that is not in the cache: deleted, or not delivered by the watch yet."""
    known, status = {job.uid for job in state.jobs}, state.schedule.status
    return any(run.uid not in known for run in (*(status.active or ()), *(status.awaiting_verdict or ())))


def record(state: ScheduleState, spec: TrainingScheduleSpec) -> Record:
    """Return the status after all observed changes of the runs."""
    view, status = state.schedule, state.schedule.status
    jobs = {job.name: job for job in state.jobs}
    template = template_hash(spec)
    request = requested_run(view, status.last_handled_run_now)
    change = change_run(view, template, status.last_template_hash, status.last_run)
    times = {job.name: nominal_time(view, job.name) for job in state.jobs}
    before = from_rfc3339(status.last_schedule_time) if status.last_schedule_time else None
    clocked = {name: time for name, time in times.items() if time is not None and (before is None or time > before)}
    new = {run.name: run.cause for run in (request, change) if run is not None and run.name in jobs}
    new |= {name: f"due at {to_rfc3339(time)}" for name, time in clocked.items()}

    active = tuple(sorted((job for job in state.jobs if not job.finished), key=_age))
    listed = {run.uid for run in status.active or ()}
    ended = sorted((job for job in state.jobs if job.finished and (job.uid in listed or job.name in new)), key=_end)
    accepted = change is not None and (not spec.run_on_change or change.name in jobs)
    awaited = {run.uid for run in status.awaiting_verdict or ()}
    late = [job for job in state.jobs if job.finished and job.uid in awaited and job not in ended]
    awaiting = sorted((job for job in (*ended, *late) if awaits_verdict(job)), key=_age)
    settled = sorted((job for job in (*ended, *late) if not awaits_verdict(job)), key=_end)
    failures = 0 if accepted else status.consecutive_failures or 0
    for job in settled if spec.count_rejections else ended:
        failures = _failures(job, failures, count_rejections=spec.count_rejections)
    models = follow(state, settled)
    last = max(clocked.values(), default=before)
    changes = {
        "observed_generation": view.generation,
        "active": [ActiveRun(name=job.name, uid=job.uid) for job in active[-LISTED:]] or None,
        "active_count": len(active),
        "last_schedule_time": to_rfc3339(last) if last is not None else None,
        "last_successful_time": _last_success(state),
        "consecutive_failures": failures,
        "awaiting_verdict": [ActiveRun(name=job.name, uid=job.uid) for job in awaiting[-LISTED:]] or None,
        "last_accepted_version": models.version,
        "last_accepted_time": models.time,
        "consecutive_rejections": models.rejections,
        "last_template_hash": template if accepted else status.last_template_hash,
        "last_handled_run_now": token_of(view) if request and request.name in jobs else status.last_handled_run_now,
        "last_run": max((jobs[name] for name in new), key=_age).name if new else status.last_run,
    }
    events = (
        *(EventNote("Normal", "SuccessfulCreate", f"created TrainingJob {name}, {new[name]}", name) for name in new),
        *(_end_event(job) for job in ended),
        *(_gone_event(run) for run in status.active or () if run.uid not in {job.uid for job in state.jobs}),
        *models.events,
    )
    return Record(status.model_copy(update=changes), last, models.condition, active, events)


def _age(job: TrainingJobView) -> tuple[datetime, str]:
    return (job.created, job.name)


def _end(job: TrainingJobView) -> tuple[str, str]:
    return (job.status.completion_time or "", job.name)


def _failures(job: TrainingJobView, before: int, *, count_rejections: bool) -> int:
    """Return the consecutive failures after one more completion. A cancelled run does not change them."""
    match job.status.phase:
        case "Succeeded" if count_rejections and is_rejected(job):
            return before + 1
        case "Succeeded" if count_rejections and is_unknown(job):
            return before
        case "Succeeded":
            return 0
        case "Failed":
            return before + 1
        case _:
            return before


def _last_success(state: ScheduleState) -> str | None:
    times = [job.status.completion_time for job in state.jobs if job.status.phase == "Succeeded"]
    known = [time for time in (*times, state.schedule.status.last_successful_time) if time]
    return max(known, key=from_rfc3339, default=None)


def _end_event(job: TrainingJobView) -> EventNote:
    failed = job.status.phase == "Failed"
    message = f"TrainingJob {job.name} has ended: {job.status.phase}"
    return EventNote("Warning" if failed else "Normal", "SawCompletedJob", message, job.uid)


def _gone_event(run: ActiveRun) -> EventNote:
    return EventNote("Normal", "MissingJob", f"TrainingJob {run.name} was deleted before it ended", run.uid)
