"""Stopping what runs: for good, for a while, and what is left of a job that is over.

An end is told only once no pod is left. What was decided is written down before anything is deleted, unless the spec
or the clock says it as firmly: a crash in between must not make a failure of it.
"""

from dataclasses import replace
from typing import Any

from trainyard_api.batch import Attempt, Phase
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.naming import attempt_job_name
from trainyard_operator.core.objects import JobView
from trainyard_operator.core.plan import NOTHING, Delete, EventNote, Plan
from trainyard_operator.core.resolve import InvalidSpecError, parse_spec
from trainyard_operator.core.training import accelerator, attempts, deadlines, verdict
from trainyard_operator.core.training.observed import Observed
from trainyard_operator.core.training.outcome import SUSPENDED
from trainyard_operator.core.training.transition import Transition, finish, report

PENDING_DEADLINE_EXCEEDED = "PendingDeadlineExceeded"
SUSPENDING = "Suspending"
CANCELLING = "Cancelling"
RESUMED = "Resumed"

GONE_SECONDS = 90.0
"""When pods should be gone after their Job was deleted: their grace period and some time to tell."""
LOOK_SECONDS = 300.0


def stop(observed: Observed, transition: Transition) -> Plan:
    """Stop what runs, then end: an end frees the job's place, so no Job of it may be left that nobody has seen."""
    doomed = unfinished_jobs(observed)
    if doomed:
        return Plan(actions=doomed)
    if any(not child.finished for child in observed.children):
        return NOTHING
    unseen = _unseen(observed, attempts.last_attempt(observed))
    if unseen not in observed.missing and all(child.name != unseen for child in observed.children):
        return Plan(needs=(Need(Fact.JOB, unseen),))
    changes = {**attempts.with_last_closed(observed, transition.reason), **last_progress(observed)}
    return finish(observed, replace(transition, changes=changes))


def cancel(observed: Observed) -> Plan:
    """End a job that nobody wants any more. While its pods go, the status says so."""
    going = next((child for child in observed.children if not child.finished), None)
    if going is not None:
        told = _stopping(observed, going, CANCELLING, "spec.cancel")
        if told.status is not None or told.needs:
            return told
        return Plan(actions=doomed) if (doomed := unfinished_jobs(observed)) else told
    return stop(observed, Transition("Cancelled", "Cancelled", "cancelled by spec.cancel", {}))


def pending_too_long(observed: Observed, spec: TrainingJobSpec) -> Plan:
    """End a job that did not start in time, with the last that was known about why."""
    ready = next((c.message for c in observed.job.status.conditions or () if c.type == "Ready"), "")
    why = f": {ready}" if ready else ""
    message = f"not started within pendingDeadlineSeconds ({spec.pending_deadline_seconds} s){why}"
    return stop(observed, Transition("Failed", PENDING_DEADLINE_EXCEEDED, message, {}))


# ---- for a while -----------------------------------------------------------------------------------------------------


def is_suspending(observed: Observed, current: JobView | None) -> bool:
    """Tell whether a suspension that the spec took back again has already deleted the Job: it is carried through."""
    last = attempts.last_attempt(observed)
    if last is None or last.end is not None or (current is not None and not current.deleting):
        return False
    return any(c.type == "Ready" and c.reason == SUSPENDING for c in observed.job.status.conditions or ())


def suspend(observed: Observed, current: JobView | None) -> Plan:
    """Write down that the pods go, delete their Job, and call it Suspended once they are gone."""
    last = attempts.last_attempt(observed)
    told = NOTHING
    if current is not None and not current.finished:
        told = _stopping(observed, current, SUSPENDING, "spec.suspend")
        if told.status is not None or told.needs:
            return told
    doomed = unfinished_jobs(observed)
    if doomed:
        return Plan(actions=doomed)
    if any(child.deleting or not child.finished for child in observed.children):
        return told
    unseen = _unseen(observed, last)
    if observed.job.status.phase != "Suspended" and unseen not in observed.missing:
        return Plan(needs=(Need(Fact.JOB, unseen),))
    changes: dict[str, Any] = {}
    if last is not None and last.end is None:
        changes = {**attempts.with_last_closed(observed, SUSPENDED), **last_progress(observed)}
    message = "suspended by spec.suspend; no pod is left, and it goes on when spec.suspend is false"
    event = EventNote("Normal", SUSPENDED, message, f"suspend-{observed.job.generation}")
    return report(observed, Transition("Suspended", SUSPENDED, message, changes), events=(event,))


def resume(observed: Observed) -> Plan:
    """The suspension is over: back to Pending, from where it starts like any other."""
    message = "resumed by spec.suspend: waits for the next attempt"
    event = EventNote("Normal", RESUMED, message, f"resume-{observed.job.generation}")
    return report(observed, Transition("Pending", RESUMED, message, {}), events=(event,))


def _unseen(observed: Observed, last: Attempt | None) -> str:
    """Return the one Job that may be there although no watch told of it: its creation's answer may have been lost."""
    if last is not None and last.end is None:
        return last.job_name
    fell_back = bool(accelerator.fallback_of(observed.job.status))
    return attempt_job_name(observed.job, last.number + 1 if last is not None else 1, fallback=fell_back)


def _stopping(observed: Observed, child: JobView, reason: str, wish: str) -> Plan:
    """Say that the pods of a Job go, and once they should be gone, which one is in the way."""
    status = observed.job.status
    phase: Phase = "Running" if status.phase == "Running" else "Starting"  # it has a Job, whatever was told of it
    message = f"{wish} stops the pods of Job {child.name}"
    again: float | None = None
    if child.deleted is not None:
        left = GONE_SECONDS - (observed.now - child.deleted).total_seconds()
        if left <= 0 and child.name not in observed.pods:
            return Plan(needs=(Need(Fact.PODS, child.name),))
        message += "" if left > 0 else f"; {_in_the_way(observed, child)}"
        again = min(left, GONE_SECONDS) if left > 0 else LOOK_SECONDS
    changes: dict[str, Any] = {}
    if not attempts.is_known(status, child):
        changes = {"attempts": attempts.with_child(observed, child, running=phase == "Running")}
    return report(observed, Transition(phase, reason, message, changes), requeue_after=again)


def _in_the_way(observed: Observed, child: JobView) -> str:
    """Return which pod of a deleted Job does not go, where it is, and what to do."""
    left = sorted((pod for pod in observed.pods[child.name] if not pod.over), key=lambda pod: pod.name)
    if not left:
        return f"its pods are gone, but Job {child.name} stays: look at its finalizers"
    pod, more = left[0], f" (and {len(left) - 1} more)" if len(left) > 1 else ""
    if not pod.node:
        return f"pod {pod.name}{more} does not go: look at its finalizers"
    why = f"node {pod.node} does not answer" if pod.lost else f"it has not stopped on node {pod.node}"
    return (
        f"pod {pod.name}{more} is in the way: {why}. Look at the node; if it is gone for good, run kubectl delete node "
        f"{pod.node}"
    )


# ---- what is over ----------------------------------------------------------------------------------------------------


def keep_finished(observed: Observed) -> Plan:
    """Terminal is sticky: a later edit of the spec is acknowledged and changes nothing but how long the Jobs stay.

    Only the verdict on its version comes later than the end.

    A Job that still lives was created by a write whose answer was lost, or by another replica: nobody waits for it.
    """
    job = observed.job
    doomed = unfinished_jobs(observed)
    if doomed:
        return Plan(actions=doomed)
    found = verdict.follow(observed)
    if isinstance(found, Need):
        return Plan(needs=(found,))
    if found is not None or job.status.observed_generation != job.generation:
        changes = {"observed_generation": job.generation, "verdict": found or job.status.verdict}
        events = () if found is None else verdict.event_of(found)
        return Plan(status=job.status.model_copy(update=changes), events=events)
    kept = tuple(Delete("Job", child.name, child.uid) for child in observed.children if not child.deleting)
    left = deadlines.children_left(job.status.completion_time, _time_to_live(observed), observed.now)
    if left is None or not kept:
        return NOTHING
    return Plan(requeue_after=left) if left > 0 else Plan(actions=kept)


def last_progress(observed: Observed) -> dict[str, Any]:
    """Return the last progress of an attempt that is over: nothing of it remains, so nothing is estimated."""
    told = observed.reported or observed.job.status.trainer_status
    return {} if told is None else {"trainer_status": told.model_copy(update={"estimated_remaining_seconds": None})}


def _time_to_live(observed: Observed) -> int | None:
    try:
        return parse_spec(observed.job).ttl_seconds_after_finished
    except InvalidSpecError:
        return None  # it ended because of that, and never had a Job


def unfinished_jobs(observed: Observed) -> tuple[Delete, ...]:
    """Return the deletion of every Job that runs and is not being deleted yet."""
    return tuple(
        Delete("Job", child.name, child.uid) for child in observed.children if not (child.finished or child.deleting)
    )
