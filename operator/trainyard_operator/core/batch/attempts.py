"""Read and change the list ``status.attempts``.

Some attempts end without a failure: the job is suspended, the champion has changed, or the pods were not ready in time.
Such an attempt uses no retry and is the first to be dropped from the list. Only an attempt whose pods were not ready in
time is followed by a pause. A live job has nine failures at most, so the list always contains all of them.
"""

from datetime import timedelta
from typing import Any

from trainyard_api.batch import Attempt, BatchStatus
from trainyard_api.training import Retry
from trainyard_operator.core.batch.outcome import OOM_KILLED, PODS_READY_TIMEOUT, WELL, Failure
from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.naming import attempt_job_name
from trainyard_operator.core.objects import WorkloadView
from trainyard_operator.core.times import from_rfc3339, to_rfc3339

EXIT_CODES = range(256)
"""Valid exit codes of a process. A runtime that lost the process reports other values."""

FIRST_PAUSE_SECONDS = 300
LONGEST_PAUSE_SECONDS = 3600

KEPT = 10
"""Maximum length of the list. Older attempts are dropped from the list, but still count."""


def current_workload(state: BatchState) -> WorkloadView | None:
    """Return the Job of the newest attempt, or ``None`` if it does not exist. Jobs of earlier attempts are ignored."""
    newest = max(
        state.workloads, key=lambda workload: (workload.attempt, workload.created, workload.name), default=None
    )
    last = last_attempt(state)
    return None if newest is None or (last is not None and newest.attempt < last.number) else newest


def last_attempt(state: BatchState) -> Attempt | None:
    """Return the newest attempt in the status."""
    return max(state.job.status.attempts or (), key=lambda attempt: attempt.number, default=None)


def last_closed(status: BatchStatus) -> Attempt | None:
    """Return the newest attempt that has ended."""
    over = (attempt for attempt in status.attempts or () if attempt.end is not None)
    return max(over, key=lambda attempt: attempt.number, default=None)


def last_tried(status: BatchStatus) -> Attempt | None:
    """Return the newest ended attempt, except those that ended with ``PodsReadyTimeout``."""
    over = (each for each in status.attempts or () if each.end is not None and each.reason != PODS_READY_TIMEOUT)
    return max(over, key=lambda attempt: attempt.number, default=None)


def failures(status: BatchStatus) -> list[Attempt]:
    """Return the failed attempts in order. They count against ``retry.maxAttempts``."""
    return [entry for entry in status.attempts or () if entry.end is not None and entry.reason not in WELL]


def out_of_memory(status: BatchStatus) -> int:
    """Return how many attempts failed because they ran out of memory."""
    return sum(entry.reason == OOM_KILLED for entry in failures(status))


def is_known(status: BatchStatus, workload: WorkloadView) -> bool:
    """Return whether the status already lists this Job."""
    return any(entry.job_name == workload.name for entry in status.attempts or ())


def with_workload(
    state: BatchState, workload: WorkloadView, *, running: bool, device: str | None = None
) -> list[Attempt]:
    """Return the list with this Job's attempt.

    The start time is set when the Job runs, so that it needs no status write of its own.
    """
    known = next((entry.start for entry in state.job.status.attempts or () if entry.job_name == workload.name), None)
    start = known or (to_rfc3339(workload.start or workload.created) if running else None)
    return replaced(state, Attempt(number=workload.attempt, job_name=workload.name, start=start, device=device))


def with_failure(state: BatchState, number: int, workload: WorkloadView | None, failure: Failure) -> dict[str, Any]:
    """Return the status changes for a failed attempt."""
    known = next((entry for entry in state.job.status.attempts or () if entry.number == number), None)
    start = known.start if known is not None else None
    if start is None and workload is not None:
        start = to_rfc3339(workload.start or workload.created)
    name = known.job_name if known is not None else attempt_job_name(state.job, number)
    ended = Attempt(
        number=number,
        job_name=workload.name if workload is not None else name,
        reason=failure.reason,
        exit_code=failure.exit_code if failure.exit_code in EXIT_CODES else None,
        device=known.device if known is not None else None,
        start=start,
        end=to_rfc3339(failure.end or state.now),
    )
    return with_end(state, ended)


def with_last_closed(state: BatchState, reason: str) -> dict[str, Any]:
    """Return the status changes that close an open attempt for an external reason."""
    last = last_attempt(state)
    if last is None or last.end is not None:
        return {}
    return with_end(state, last.model_copy(update={"reason": reason, "end": to_rfc3339(state.now)}))


def with_end(state: BatchState, ended: Attempt) -> dict[str, Any]:
    """Return the status changes for an ended attempt: its entry and the total running time."""
    before = state.job.status.active_seconds or 0
    return {"attempts": replaced(state, ended), "active_seconds": before + _seconds(ended)}


def replaced(state: BatchState, attempt: Attempt) -> list[Attempt]:
    """Return the sorted list with one entry added or replaced, limited to ``KEPT`` entries."""
    others = [entry for entry in state.job.status.attempts or () if entry.number != attempt.number]
    entries = sorted([*others, attempt], key=lambda entry: entry.number)
    while len(entries) > KEPT:
        entries.remove(next((entry for entry in entries if entry.reason in WELL), entries[0]))
    return entries


def backoff_left(retry: Retry, last: Attempt, state: BatchState) -> float:
    """Return the remaining seconds of the pause ``initialSeconds * factor ** (failures - 1)``, at most ``maxSeconds``.

    A negative value is the time since the pause ended. The end time comes from a node's clock, which may be ahead.
    Therefore the result is never longer than the pause.
    """
    ended = from_rfc3339(last.end) if last.end is not None else state.now
    failed = len(failures(state.job.status))
    pause = 0.0
    if last.reason == PODS_READY_TIMEOUT:
        pause = pods_ready_pause(state.job.status)
    elif last.reason not in WELL:
        pause = min(retry.initial_seconds * retry.factor ** max(failed - 1, 0), retry.max_seconds)
    return min(pause, (ended + timedelta(seconds=pause) - state.now).total_seconds())


def pods_ready_pause(status: BatchStatus) -> float:
    """Return the pause in seconds after a job gave its slot back. The pause doubles each time."""
    times = sum(entry.reason == PODS_READY_TIMEOUT for entry in status.attempts or ())
    return float(min(FIRST_PAUSE_SECONDS * 2 ** max(times - 1, 0), LONGEST_PAUSE_SECONDS))


def _seconds(attempt: Attempt) -> int:
    if attempt.start is None or attempt.end is None:
        return 0
    return max(0, int((from_rfc3339(attempt.end) - from_rfc3339(attempt.start)).total_seconds()))
