"""Cancel, suspend and fail jobs, and delete their workloads.

The end is reported only when no pod is left. A decision is stored before anything is deleted, unless it follows
directly from the spec or the time. Otherwise, a crash in between would turn it into a failure.
"""

from dataclasses import replace
from typing import Any

from trainyard_api.batch import Attempt, BatchSpec, Phase
from trainyard_operator.core.batch import accelerator, attempts, deadlines
from trainyard_operator.core.batch.outcome import SUSPENDED
from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.batch.transition import Transition, finish, report
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.naming import attempt_job_name
from trainyard_operator.core.objects import WorkloadView
from trainyard_operator.core.plan import NOTHING, Delete, EventNote, Plan

PENDING_DEADLINE_EXCEEDED = "PendingDeadlineExceeded"
SUSPENDING = "Suspending"
CANCELLING = "Cancelling"
RESUMED = "Resumed"

GONE_SECONDS = 90.0
"""Time after which the pods of a deleted Job should be gone: their grace period and a margin."""
CHECK_SECONDS = 300.0


def stop(state: BatchState, transition: Transition) -> Plan:
    """Stop all workloads, then end the job. The end frees the job's slot, so no Job may exist that was not observed."""
    obsolete = unfinished(state)
    if obsolete:
        return Plan(actions=obsolete)
    if any(not workload.finished for workload in state.workloads):
        return NOTHING
    unseen = _unseen(state, attempts.last_attempt(state))
    if unseen not in state.missing and all(workload.name != unseen for workload in state.workloads):
        return Plan(needs=(Need(Fact.JOB, unseen),))
    changes = {**attempts.with_last_closed(state, transition.reason), **last_progress(state)}
    return finish(state, replace(transition, changes=changes))


def cancel(state: BatchState) -> Plan:
    """Cancel the job. The status reports the cancellation while its pods terminate."""
    going = next((workload for workload in state.workloads if not workload.finished), None)
    if going is not None:
        step = _stopping(state, going, CANCELLING, "spec.cancel")
        if step.status is not None or step.needs:
            return step
        return Plan(actions=obsolete) if (obsolete := unfinished(state)) else step
    return stop(state, Transition("Cancelled", "Cancelled", "cancelled by spec.cancel", {}))


def pending_too_long(state: BatchState, spec: BatchSpec) -> Plan:
    """Fail a job that did not start in time, with the last known cause."""
    ready = next((c.message for c in state.job.status.conditions or () if c.type == "Ready"), "")
    why = f": {ready}" if ready else ""
    message = f"not started within pendingDeadlineSeconds ({spec.pending_deadline_seconds} s){why}"
    return stop(state, Transition("Failed", PENDING_DEADLINE_EXCEEDED, message, {}))


# ---- suspension ------------------------------------------------------------------------------------------------------


def is_suspending(state: BatchState, current: WorkloadView | None) -> bool:
    """Return whether a suspension has already deleted the Job.

    Such a suspension is completed, even if the spec no longer requests it.
    """
    last = attempts.last_attempt(state)
    if last is None or last.end is not None or (current is not None and not current.deleting):
        return False
    return any(c.type == "Ready" and c.reason == SUSPENDING for c in state.job.status.conditions or ())


def suspend(state: BatchState, current: WorkloadView | None) -> Plan:
    """Report that the pods terminate, delete their Job, and set the phase Suspended when they are gone."""
    last = attempts.last_attempt(state)
    step = NOTHING
    if current is not None and not current.finished:
        step = _stopping(state, current, SUSPENDING, "spec.suspend")
        if step.status is not None or step.needs:
            return step
    obsolete = unfinished(state)
    if obsolete:
        return Plan(actions=obsolete)
    if any(workload.deleting or not workload.finished for workload in state.workloads):
        return step
    unseen = _unseen(state, last)
    if state.job.status.phase != "Suspended" and unseen not in state.missing:
        return Plan(needs=(Need(Fact.JOB, unseen),))
    changes: dict[str, Any] = {}
    if last is not None and last.end is None:
        changes = {**attempts.with_last_closed(state, SUSPENDED), **last_progress(state)}
    message = "suspended by spec.suspend; all pods are gone, and the job continues when spec.suspend is false"
    event = EventNote("Normal", SUSPENDED, message, f"suspend-{state.job.generation}")
    return report(state, Transition("Suspended", SUSPENDED, message, changes), events=(event,))


def resume(state: BatchState) -> Plan:
    """Set the phase Pending after a suspension. The job then starts like any other."""
    message = "resumed by spec.suspend: waiting for the next attempt"
    event = EventNote("Normal", RESUMED, message, f"resume-{state.job.generation}")
    return report(state, Transition("Pending", RESUMED, message, {}), events=(event,))


def _unseen(state: BatchState, last: Attempt | None) -> str:
    """Return the name of the Job that may exist without a watch event.

    The response to its create request may have been lost.
    """
    if last is not None and last.end is None:
        return last.job_name
    fell_back = bool(accelerator.fallback_of(state.job.status))
    return attempt_job_name(state.job, last.number + 1 if last is not None else 1, fallback=fell_back)


def _stopping(state: BatchState, workload: WorkloadView, reason: str, field: str) -> Plan:
    """Report that the pods of a Job terminate. After ``GONE_SECONDS``, name the pod that does not terminate."""
    status = state.job.status
    phase: Phase = "Running" if status.phase == "Running" else "Starting"  # it has a Job, whatever phase the status has
    message = f"{field} stops the pods of Job {workload.name}"
    again: float | None = None
    if workload.deleted is not None:
        left = GONE_SECONDS - (state.now - workload.deleted).total_seconds()
        if left <= 0 and workload.name not in state.pods:
            return Plan(needs=(Need(Fact.PODS, workload.name),))
        message += "" if left > 0 else f"; {_unstopped_pod(state, workload)}"
        again = min(left, GONE_SECONDS) if left > 0 else CHECK_SECONDS
    changes: dict[str, Any] = {}
    if not attempts.is_known(status, workload):
        changes = {"attempts": attempts.with_workload(state, workload, running=phase == "Running")}
    return report(state, Transition(phase, reason, message, changes), requeue_after=again)


def _unstopped_pod(state: BatchState, workload: WorkloadView) -> str:
    """Return which pod of a deleted Job does not terminate, where it runs, and what to do."""
    left = sorted((pod for pod in state.pods[workload.name] if not pod.over), key=lambda pod: pod.name)
    if not left:
        return f"its pods are gone, but Job {workload.name} is not deleted: check its finalizers"
    pod, more = left[0], f" (and {len(left) - 1} more)" if len(left) > 1 else ""
    if not pod.node:
        return f"pod {pod.name}{more} is not deleted: check its finalizers"
    why = f"node {pod.node} does not answer" if pod.lost else f"it still runs on node {pod.node}"
    return (
        f"pod {pod.name}{more} does not stop: {why}. Check the node; if it no longer exists, run kubectl delete node "
        f"{pod.node}"
    )


# ---- cleanup ---------------------------------------------------------------------------------------------------------


def clean_up(state: BatchState, ttl: int | None) -> Plan:
    """Delete the workloads of a finished object after ``ttl`` seconds. ``None`` keeps them."""
    kept = tuple(action for workload in state.workloads if not workload.deleting for action in deletions(workload))
    left = deadlines.workloads_left(state.job.status.completion_time, ttl, state.now)
    if left is None or not kept:
        return NOTHING
    return Plan(requeue_after=left) if left > 0 else Plan(actions=kept)


def last_progress(state: BatchState) -> dict[str, Any]:
    """Return the last progress of an ended attempt, without an estimate of the remaining time."""
    reported = state.reported or state.job.status.trainer_status
    return (
        {}
        if reported is None
        else {"trainer_status": reported.model_copy(update={"estimated_remaining_seconds": None})}
    )


def deletions(workload: WorkloadView) -> tuple[Delete, ...]:
    """Return the deletions of all objects of a workload."""
    return tuple(Delete(part.kind, part.name, part.uid) for part in workload.parts)


def unfinished(state: BatchState) -> tuple[Delete, ...]:
    """Return the deletions of all workloads that run and are not being deleted yet."""
    return tuple(
        action
        for workload in state.workloads
        if not (workload.finished or workload.deleting)
        for action in deletions(workload)
    )
