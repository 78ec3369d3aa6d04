"""Lifecycle planner of a TrainingSchedule: a CronJob for TrainingJobs, with runs on request and on a changed template.

:func:`plan` is total and deterministic, and writes nothing at the fixed point. Past events are recorded first.
Therefore a run is never created twice, and no finished run is deleted before it is counted. The tables in
docs/trainingschedule.md describe this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError

from trainyard_api import meta
from trainyard_api.base import first_problem
from trainyard_api.conditions import Condition
from trainyard_api.trainingschedule import TrainingScheduleSpec
from trainyard_operator.core.conditions import stamped
from trainyard_operator.core.facts import Fact, Need, Refusal
from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.plan import NOTHING, Action, Create, Delete, EventNote, Plan
from trainyard_operator.core.saved import restored
from trainyard_operator.core.schedule import runs
from trainyard_operator.core.schedule.acceptance import ACCEPTED, awaits_verdict, condition_of
from trainyard_operator.core.schedule.cron import Schedule, ScheduleError, UnknownZoneError, parse
from trainyard_operator.core.schedule.due_times import DueTimes, due_times_of, latest_start
from trainyard_operator.core.schedule.record import Record, has_lost, record
from trainyard_operator.core.schedule.runs import Run
from trainyard_operator.core.schedule.state import ScheduleState
from trainyard_operator.core.times import from_rfc3339, to_rfc3339
from trainyard_operator.core.unreadable import leave_unchanged

READY: Final = {"Ready": "True"}
STALLED: Final = {"Ready": "False", "Stalled": "True"}
RETRYING: Final = {"Ready": "False", "Reconciling": "True"}

REFUSED: Final = {True: "TemplateRefused", False: "CreateRefused"}
"""Reasons of a refusal, by whether it is permanent."""
REFUSED_SECONDS: Final = 30.0
LAST_REFUSED_SECONDS: Final = 300.0
"""A refused run is tried again after the first delay.

Then the delay is as long as the refusal has lasted, up to the last delay.
"""

LONGEST_SLEEP_SECONDS: Final = 300.0
"""Timers stop while a machine sleeps, and they do not follow a corrected clock."""

LONGEST_MESSAGE: Final = 1024
"""Maximum length of a condition's message."""


@dataclass(frozen=True)
class ReadyReport:
    """Content of the conditions, and the Event that reports it if it is new."""

    statuses: Mapping[str, str]
    reason: str
    message: str
    event: EventNote | None = None


@dataclass(frozen=True)
class Outlook:
    """Result of the current spec.

    Attributes
    ----------
    run
        The run to create next, if any is due.
    blocked
        The policy allows no other run at the same time, and there is one.
    fault
        Why the schedule no longer runs automatically.
    """

    due_times: DueTimes
    run: Run | None
    blocked: bool
    fault: ReadyReport | None


def plan(state: ScheduleState) -> Plan:  # noqa: PLR0911 - a list of questions
    """Return the next step for one TrainingSchedule."""
    view = state.schedule
    if view.deleting:
        return NOTHING
    if view.unreadable:
        return leave_unchanged(view)
    read_again = Plan(needs=(Need(Fact.RUNS, view.name),))
    if has_lost(state) and not state.listed:
        return read_again
    try:
        spec = TrainingScheduleSpec.model_validate(view.spec, extra="ignore")
    except ValidationError as error:
        return _invalid(state, error)
    known = record(state, spec)
    outlook = _outlook(state, spec, known)
    reported = _report(state, spec, known, outlook)
    if reported is not None:
        return reported
    if state.refused is not None and outlook.run is not None and not outlook.blocked:
        return Plan(requeue_after=_pause(state))
    if actions := _actions(state, spec, known, outlook):
        return Plan(actions=actions) if state.listed else read_again
    return Plan(requeue_after=_sleep(state, spec, outlook.due_times))


def _actions(state: ScheduleState, spec: TrainingScheduleSpec, known: Record, outlook: Outlook) -> tuple[Action, ...]:
    """Delete old runs first, then create the run. For Replace, first delete the runs that block it."""
    if old := _beyond_history(state, spec):
        return old
    if outlook.run is None:
        return ()
    if not outlook.blocked:
        return (Create("TrainingJob", runs.body(state.schedule, outlook.run)),)
    if spec.concurrency_policy == "Replace":
        in_the_way = (job for job in known.active if not job.deleting and not job.unreadable)  # it may have ended
        return tuple(Delete("TrainingJob", job.name, job.uid) for job in in_the_way)
    return ()


# ---- due runs --------------------------------------------------------------------------------------------------------


def _outlook(state: ScheduleState, spec: TrainingScheduleSpec, known: Record) -> Outlook:
    view, status = state.schedule, known.status
    change = runs.change_run(view, runs.template_hash(spec), status.last_template_hash, status.last_run)
    cron, fault = _cron(spec)
    failures = status.consecutive_failures or 0
    if spec.stop_after_failures is not None and failures >= spec.stop_after_failures and change is None:
        cron, fault = None, fault or _stopped(spec, failures, status.last_run or "")
    due_times = (
        DueTimes(None, None, status.missed or 0) if cron is None else due_times_of(state, spec, cron, known.last)
    )
    run = runs.requested_run(view, status.last_handled_run_now)
    if run is None and not spec.suspend:
        run = change or (runs.due_run(view, due_times.due) if due_times.due is not None else None)
    blocked = run is not None and bool(known.active) and spec.concurrency_policy != "Allow"
    return Outlook(due_times, run, blocked, fault)


def _cron(spec: TrainingScheduleSpec) -> tuple[Schedule | None, ReadyReport | None]:
    if spec.schedule is None:
        return None, None
    try:
        return parse(spec.schedule, spec.time_zone or ""), None
    except ScheduleError as error:
        reason = "UnknownTimeZone" if isinstance(error, UnknownZoneError) else "UnparseableSchedule"
        where = f"{spec.schedule}-{spec.time_zone}"
        return None, ReadyReport(STALLED, reason, str(error), EventNote("Warning", reason, str(error), where))


def _stopped(spec: TrainingScheduleSpec, failures: int, last: str) -> ReadyReport:
    failed = "failed or created a rejected version" if spec.count_rejections else "failed"
    runs_failed = f"{failures} runs in a row {failed}" if failures > 1 else f"a run {failed}"
    success = "creates an accepted version" if spec.count_rejections else "succeeds"
    message = (
        f"{runs_failed}: no further run starts automatically until the template changes, "
        f"or a run requested by the annotation {meta.RUN_NOW_ANNOTATION} {success}"
    )
    return ReadyReport(STALLED, "TooManyFailures", message, EventNote("Warning", "TooManyFailures", message, last))


def _beyond_history(state: ScheduleState, spec: TrainingScheduleSpec) -> tuple[Delete, ...]:
    """Return the deletions of the finished runs beyond the history limits, oldest first.

    A cancelled run counts as failed.

    A run whose version is not judged yet stays, because its verdict must be counted.
    """
    before = [job for job in state.orphans if runs.is_restored(state.schedule, job)]
    finished = [j for j in (*state.jobs, *before) if j.finished and not j.deleting and not awaits_verdict(j)]
    finished.sort(key=lambda job: (job.status.completion_time or "", job.name))
    good = [job for job in finished if job.status.phase == "Succeeded"]
    bad = [job for job in finished if job.status.phase != "Succeeded"]
    old = [
        *good[: max(len(good) - spec.successful_jobs_history_limit, 0)],
        *bad[: max(len(bad) - spec.failed_jobs_history_limit, 0)],
    ]
    return tuple(Delete("TrainingJob", job.name, job.uid) for job in old)


# ---- time of the next reconcile --------------------------------------------------------------------------------------


def _sleep(state: ScheduleState, spec: TrainingScheduleSpec, due_times: DueTimes) -> float | None:
    """Return the seconds until time alone may change the result. The watch reports the completion of runs."""
    if spec.suspend or due_times.first is None:
        return None
    late = latest_start(spec, due_times.due)
    moment = due_times.first if due_times.due is None else late + timedelta(seconds=1) if late is not None else None
    if moment is None:
        return None
    return min(max((moment - state.now).total_seconds(), 0.0), LONGEST_SLEEP_SECONDS)


def _pause(state: ScheduleState) -> float:
    """Return the delay after a refusal: as long as it has lasted, within limits."""
    ready = _stored_ready(state)
    since = from_rfc3339(ready.last_transition_time) if ready is not None else state.now
    return min(max((state.now - since).total_seconds(), REFUSED_SECONDS), LAST_REFUSED_SECONDS)


# ---- reports ---------------------------------------------------------------------------------------------------------


def _report(state: ScheduleState, spec: TrainingScheduleSpec, known: Record, outlook: Outlook) -> Plan | None:
    """Return a plan with the status if it differs from the stored one."""
    view, due_times = state.schedule, outlook.due_times
    first = to_rfc3339(due_times.first) if due_times.first is not None else None
    changes: dict[str, Any] = {
        "next_schedule_time": None if spec.suspend else first,
        "held_schedule_time": first if spec.suspend else None,
        "missed": due_times.missed,
    }
    events = [*([restored()] if view.recalled_from else []), *known.events, *due_times.events]
    verdict = _ready_report(state, spec, known, outlook)
    own = [each for each in view.status.conditions or () if each.type != ACCEPTED]
    if verdict is not None:
        own = _conditions(state, verdict)
        changes["phase"] = "Stalled" if "Stalled" in verdict.statuses else "Suspended" if spec.suspend else "Active"
        if verdict.event is not None:
            events.append(verdict.event)
    changes["conditions"] = [*own, known.accepted] if known.accepted is not None else own
    status = known.status.model_copy(update=changes)
    return None if status == view.status else Plan(status=status, events=tuple(events))


def _ready_report(  # noqa: PLR0911 - one line for each answer
    state: ScheduleState, spec: TrainingScheduleSpec, known: Record, outlook: Outlook
) -> ReadyReport | None:
    """Return the content of the conditions. ``None`` keeps them while a refused run is tried again."""
    run = outlook.run
    if run is not None and not outlook.blocked:
        if state.refused is not None:
            return _refused(run, state.refused)
        ready = _stored_ready(state)
        if ready is not None and ready.reason in REFUSED.values():
            return None
    if outlook.fault is not None:
        return outlook.fault
    if run is not None and outlook.blocked:
        return _waiting(outlook, spec, run, known.active)
    if spec.suspend:
        return ReadyReport(READY, "Suspended", "suspended by spec.suspend; a run that has started continues")
    if outlook.due_times.first is not None:
        return ReadyReport(READY, "Scheduled", "the next run starts at status.nextScheduleTime")
    return ReadyReport(READY, "WaitsForChange", "a run starts when the template changes")


def _waiting(
    outlook: Outlook, spec: TrainingScheduleSpec, run: Run, active: tuple[TrainingJobView, ...]
) -> ReadyReport:
    first = outlook.due_times.first
    cause = f"due since {to_rfc3339(first)}" if run.scheduled_for is not None and first is not None else run.cause
    others = active[0].name if len(active) == 1 else f"{active[0].name} and {len(active) - 1} more"
    end = "is gone" if spec.concurrency_policy == "Replace" else "has ended"
    message = f"a run {cause} waits until TrainingJob {others} {end} (concurrencyPolicy {spec.concurrency_policy})"
    return ReadyReport(READY, "RunWaits", message, EventNote("Normal", "JobAlreadyActive", message, cause))


def _refused(run: Run, refusal: Refusal) -> ReadyReport:
    message = f"TrainingJob {run.name} could not be created and is tried again: {refusal.message}"
    event = EventNote("Warning", "FailedCreate", message, run.name)
    return ReadyReport(STALLED if refusal.permanent else RETRYING, REFUSED[refusal.permanent], message, event)


def _invalid(state: ScheduleState, error: ValidationError) -> Plan:
    """Report a spec that the API server accepted (an older CRD, disabled validation). Nothing else changes."""
    view = state.schedule
    message = first_problem(error, "spec")
    event = EventNote("Warning", "InvalidSpec", message, str(view.generation))
    verdict = ReadyReport(STALLED, "InvalidSpec", message, event)
    accepted = condition_of(view.status)
    conditions = [*_conditions(state, verdict), *(() if accepted is None else (accepted,))]
    changes = {"observed_generation": view.generation, "phase": "Stalled", "conditions": conditions}
    status = view.status.model_copy(update=changes)
    return NOTHING if status == view.status else Plan(status=status, events=(event,))


def _conditions(state: ScheduleState, verdict: ReadyReport) -> list[Condition]:
    return stamped(
        verdict.statuses,
        verdict.reason,
        verdict.message[:LONGEST_MESSAGE],
        generation=state.schedule.generation,
        now=state.now,
        before=state.schedule.status.conditions or (),
    )


def _stored_ready(state: ScheduleState) -> Condition | None:
    return next((each for each in state.schedule.status.conditions or () if each.type == "Ready"), None)
