"""Jobs whose pods are not ready: the cause, the fallback of the device, and the timeouts."""

import math
import re
from dataclasses import replace
from typing import Any

from trainyard_api.batch import BatchSpec
from trainyard_operator.core.batch import accelerator, attempts, causes, deadlines, interruption, outcome, stop
from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.batch.transition import Transition, report
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.objects import PodView, WorkloadView
from trainyard_operator.core.plan import NOTHING, EventNote, Plan
from trainyard_operator.core.resolve import accelerated_selector
from trainyard_operator.core.times import to_rfc3339

FIRST_CHECK_SECONDS = 30.0
"""Time before the first check of a pod that has not started. After that, the interval doubles."""
LAST_CHECK_SECONDS = 300.0
LONGEST_NOTE = 700
"""Maximum length of an Event's note in a message."""
AFTER_FALLBACK_DUE_SECONDS = 2.0
"""Delay before the next check if the scheduler has not reported yet when the accelerator's time is over.

After that, the interval doubles.
"""


def still_starting(
    state: BatchState, spec: BatchSpec, workload: WorkloadView, changes: dict[str, Any], hint: str
) -> Plan:
    """Report the cause of a slow start. Drop the accelerator or fail the start when its time is over.

    ``changes`` are the status changes from the workload itself. ``hint`` says what pods without a reason may wait for.
    """
    waited = interruption.waiting_seconds(state, workload)
    left, to_fallback = deadlines.pending_left(state, spec), accelerator.seconds_to_fallback(spec, workload, waited)
    late, fallback_due = left is not None and left <= 0, to_fallback is not None and to_fallback <= 0
    if late and workload.deleting:
        return NOTHING  # it is deleted because it was late; the job ends when the Job is gone
    unread = _unread(state, workload, waited, hurry=late or fallback_due)
    if unread is not None:
        return Plan(needs=(unread,))
    pods = state.pods.get(workload.name, ())
    lack = _lacking(state, spec, pods) if fallback_due and not late else ""
    if lack:
        return _fall_back(state, spec, workload, lack, changes)
    reason, cause = interruption.last_cause(state, workload)
    message = "; ".join(part for part in (cause, _waiting_for(state, workload, hint)) if part)
    reported = report(state, Transition("Starting", reason, message, changes))
    if late and reported.status is None and not any(pod.started and causes.cause_of(pod) is None for pod in pods):
        return stop.pending_too_long(state, spec)
    if cause_now := _release_cause(state, workload, pods):
        return _release_slot(state, workload, cause_now, changes)
    slot_left = _timeout_left(state, workload)
    again = min(next_check(waited), slot_left if slot_left > 0 else LAST_CHECK_SECONDS)
    if to_fallback is not None and fallback_due:
        again = min(again, max(-to_fallback, AFTER_FALLBACK_DUE_SECONDS))
    return deadlines.sooner(deadlines.sooner(replace(reported, requeue_after=again), left), to_fallback)


def interrupted(state: BatchState, workload: WorkloadView, changes: dict[str, Any], hint: str) -> Plan:
    """Report that a running Job has lost its running pods, with the time and the cause."""
    reason, cause = interruption.last_cause(state, workload)
    message = "; ".join(part for part in (cause, _waiting_for(state, workload, hint)) if part)
    event = EventNote("Warning", reason, message, f"{workload.name}/{changes['interrupted_time']}")
    return report(state, Transition("Starting", reason, message, changes), events=(event,))


def next_check(waited: float) -> float:
    """Return the seconds until the next check of the pods."""
    return min(max(FIRST_CHECK_SECONDS - waited, waited, 1.0), LAST_CHECK_SECONDS)


def _unread(state: BatchState, workload: WorkloadView, waited: float, *, hurry: bool) -> Need | None:
    """Return what must be read before the cause of the wait is known."""
    due = hurry or waited >= FIRST_CHECK_SECONDS or interruption.has_run(state, workload)
    if due and workload.name not in state.pods:
        return Need(Fact.PODS, workload.name)
    silent = _silent(workload, state.pods[workload.name]) if waited >= FIRST_CHECK_SECONDS else ""
    return Need(Fact.EVENTS, silent) if silent and silent not in state.warnings else None


def _silent(workload: WorkloadView, pods: tuple[PodView, ...]) -> str:
    """Return the uid of an object that only Events describe: a Job without a pod, or a pod that reports no reason."""
    live = [pod for pod in pods if not (pod.over or pod.deleting)]
    if not live:
        return workload.uid
    return next((pod.uid for pod in live if pod.node and not (pod.started or pod.waiting)), "")


def _waiting_for(state: BatchState, workload: WorkloadView, hint: str) -> str:
    pods = state.pods.get(workload.name, ())
    reasons = [f"pod {pod.name}: {pod.waiting}" for pod in pods if pod.waiting]
    if not reasons and (warning := _newest_warning(state, workload, pods)):
        reasons = [warning]
    if hint and pods and not reasons:
        reasons = [hint]
    return "; ".join([f"waiting for a pod of Job {workload.name}", *reasons[:1]])


def _newest_warning(state: BatchState, workload: WorkloadView, pods: tuple[PodView, ...]) -> str:
    """Return the newest Warning Event of a Job without a pod, or of a pod that does not start.

    The Job controller names each refused pod with a random name. The name is removed, so that the message stays the
    same.
    """
    silent = _silent(workload, pods)
    newest = max(state.warnings.get(silent, ()), key=lambda event: (event.time, event.reason), default=None)
    if newest is None:
        return ""
    note = re.sub(rf'"{re.escape(workload.name)}-[a-z0-9]{{5}}"', f'of Job "{workload.name}"', newest.note)
    name = next((f"pod {pod.name}: " for pod in pods if pod.uid == silent), "")
    return f"{name}{newest.reason}: {note[:LONGEST_NOTE]}"


def _timeout_left(state: BatchState, workload: WorkloadView) -> float:
    """Return the seconds for which a job without a ready pod keeps its slot."""
    timeout = state.config.admission.pods_ready_timeout_seconds
    return timeout - interruption.waiting_seconds(state, workload) if timeout else math.inf


def _release_cause(state: BatchState, workload: WorkloadView, pods: tuple[PodView, ...]) -> str:
    """Return why a job must give its slot back now.

    The result is empty if it keeps the slot; a slow start is no reason.
    """
    if not state.wanted or workload.deleting or _timeout_left(state, workload) > 0:
        return ""
    waiting = next((f"pod {pod.name}: {pod.waiting}" for pod in pods if pod.waiting), "")
    if waiting:
        return waiting
    silent = _silent(workload, pods)
    newest = max((event.time for event in state.warnings.get(silent, ())), default=None)
    if newest is None or (silent != workload.uid and (state.now - newest).total_seconds() > LAST_CHECK_SECONDS):
        return ""
    return _newest_warning(state, workload, pods)


def _release_slot(state: BatchState, workload: WorkloadView, cause: str, changes: dict[str, Any]) -> Plan:
    """End the attempt of a job whose pods are not ready while other jobs wait for its slot. It uses no retry."""
    known = next((each for each in changes["attempts"] if each.job_name == workload.name), None)
    if known is None:
        raise AssertionError("an existing Job has an entry in status.attempts")
    ended = known.model_copy(update={"reason": outcome.PODS_READY_TIMEOUT, "end": to_rfc3339(state.now)})
    listed = state.job.status.model_copy(update={"attempts": attempts.replaced(state, ended)})
    pause = attempts.pods_ready_pause(listed)
    message = (
        f"attempt {workload.attempt} releases its slot, because other TrainingJobs wait for it and no pod was ready "
        f"after {interruption.waiting_seconds(state, workload):.0f} s ({cause}); the job requests a slot again in "
        f"{pause:.0f} s"
    )
    event = EventNote("Warning", outcome.PODS_READY_TIMEOUT, message[:1024], f"attempt-{workload.attempt}")
    end = {**changes, **attempts.with_end(state, ended)}
    return report(state, Transition("Queued", outcome.PODS_READY_TIMEOUT, message, end), events=(event,))


def _lacking(state: BatchState, spec: BatchSpec, pods: tuple[PodView, ...]) -> str:
    if spec.accelerator is None:
        return ""
    selects_nodes = bool(accelerated_selector(spec, state.config))
    return accelerator.lacking(spec.accelerator, pods, selects_nodes=selects_nodes)


def _fall_back(state: BatchState, spec: BatchSpec, workload: WorkloadView, lack: str, changes: dict[str, Any]) -> Plan:
    """Store the decision to continue without the accelerator. The Jobs follow from the condition."""
    wanted = spec.accelerator
    if wanted is None:
        raise AssertionError("the job requests no accelerator")
    message = (
        f"no node had {wanted.count} {wanted.resource} in time (fallbackAfterSeconds: "
        f"{wanted.fallback_after_seconds}); attempt {workload.attempt} continues on the CPU: {lack}"
    )
    facts = (accelerator.decision(state, message[:1024]),)
    event = EventNote("Warning", accelerator.DEVICE_FALLBACK, message, f"fallback-{workload.name}")
    transition = Transition("Starting", accelerator.DEVICE_FALLBACK, message, changes, facts)
    return report(state, transition, events=(event,))
