"""Completion of an attempt: the job ends, or another attempt follows."""

from dataclasses import replace
from typing import Any

from trainyard_api.batch import Attempt, BatchSpec, TrainerStatus
from trainyard_api.training import Retry
from trainyard_api.wire import TrainingResult
from trainyard_operator.core.batch import accelerator, attempts, deadlines, interruption, outcome, stop
from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.batch.transition import Transition, finish, report
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.objects import PodView, WorkloadView
from trainyard_operator.core.plan import EventNote, Plan
from trainyard_operator.core.times import to_rfc3339

REFUSED_SECONDS = 30.0
"""Delay before a request that the API server refused is sent again."""

# ---- success ---------------------------------------------------------------------------------------------------------


def succeeded(
    state: BatchState,
    spec: BatchSpec,
    workload: WorkloadView,
    result: TrainingResult,
    message: str,
    made: dict[str, Any],
    events: tuple[EventNote, ...] = (),
    stage: str = "register",
) -> Plan:
    """End the job successfully. ``made`` contains the status fields that describe the result.

    ``stage`` is the last stage of the trainer.
    """
    end = to_rfc3339(workload.end or state.now)
    done = Attempt(
        number=workload.attempt,
        job_name=workload.name,
        reason="Completed",
        exit_code=0,
        device=result.device or accelerator.device_of(spec, workload),
        start=to_rfc3339(workload.start or workload.created),
        end=end,
    )
    before = state.reported or state.job.status.trainer_status or TrainerStatus(sequence=0)
    changes: dict[str, Any] = {
        **attempts.with_end(state, done),
        "start_time": state.job.status.start_time or done.start,
        "completion_time": end,
        "trainer_status": before.model_copy(
            update={
                "progress_percentage": 100,
                "estimated_remaining_seconds": 0,
                "stage": stage,
                "message": message[:1024],
                "metrics": result.metrics or before.metrics,
                "last_updated_time": before.last_updated_time or end,
            }
        ),
        **made,
    }
    return finish(state, Transition("Succeeded", "Succeeded", message, changes), events=events)


# ---- failure ---------------------------------------------------------------------------------------------------------


def attempt_failed(state: BatchState, spec: BatchSpec, workload: WorkloadView) -> Plan:
    """Handle a failed Job: find the cause from its pods, then retry or fail."""
    pods = state.pods.get(workload.name)
    if pods is None:
        return Plan(needs=(Need(Fact.PODS, workload.name),))
    return after_failure(state, spec, workload.attempt, workload, outcome.failure_of(workload, pods))


def evicted(state: BatchState, spec: BatchSpec, workload: WorkloadView, pod: PodView) -> Plan:
    """Fail an attempt of which the kubelet evicted too many pods."""
    return after_failure(state, spec, workload.attempt, workload, outcome.evicted_too_often(workload, pod))


def workload_deleted(state: BatchState, spec: BatchSpec, last: Attempt) -> Plan:
    """Fail an attempt whose Job was deleted.

    It counts as a failure, so that the Job is not created again without limit.
    """
    message = f"Job {last.job_name} was deleted while attempt {last.number} ran"
    failure = outcome.Failure(outcome.CHILD_DELETED, message, retryable=True, end=state.now)
    return after_failure(state, spec, last.number, None, failure)


def used_up(state: BatchState, spec: BatchSpec) -> Plan | None:
    """End a job that has no running time or no attempts left."""
    status = state.job.status
    left = deadlines.active_left(status, spec)
    if left is not None and left <= 0:
        spent = f"the attempts so far ran for {status.active_seconds} s"
        message = f"activeDeadlineSeconds ({spec.active_deadline_seconds} s) is used up: {spent}"
        return finish(state, Transition("Failed", outcome.DEADLINE_EXCEEDED, message, {}))
    failures, limit = attempts.failures(status), (spec.retry or Retry()).max_attempts
    if len(failures) < limit:
        return None
    reason = failures[-1].reason or outcome.POD_LOST
    message = f"{len(failures)} of {limit} attempts failed (retry.maxAttempts), the last with {reason}"
    return finish(state, Transition("Failed", reason, message, {}))


def after_failure(
    state: BatchState, spec: BatchSpec, number: int, workload: WorkloadView | None, failure: outcome.Failure
) -> Plan:
    """Retry or fail the job, depending on the failure and on the number of earlier failures."""
    count, limit = len(attempts.failures(state.job.status)) + 1, (spec.retry or Retry()).max_attempts
    if not failure.retryable:
        return failed(state, number, workload, failure)
    if count >= limit:
        last = f"attempt {count} of {limit} failed: {failure.message}"
        return failed(state, number, workload, replace(failure, message=last))
    message = f"attempt {count} of {limit} failed ({failure.reason}) and is tried again: {failure.message}"
    changes = _with_failure(state, number, workload, failure)
    event = EventNote("Warning", "AttemptFailed", message, f"attempt-{number}")
    return report(state, Transition("Retrying", failure.reason, message, changes), events=(event,))


def failed(state: BatchState, number: int, workload: WorkloadView | None, failure: outcome.Failure) -> Plan:
    """Fail the job. No other attempt follows."""
    changes = _with_failure(state, number, workload, failure)
    return finish(state, Transition("Failed", failure.reason, failure.message, changes))


def _with_failure(
    state: BatchState, number: int, workload: WorkloadView | None, failure: outcome.Failure
) -> dict[str, Any]:
    """Return the status changes for a failed attempt: its entry and its last reported progress."""
    pods = state.pods.get(workload.name, ()) if workload is not None else ()
    return {
        **attempts.with_failure(state, number, workload, failure),
        **interruption.changes(state, pods, stopped=False),
        **stop.last_progress(state),
    }
