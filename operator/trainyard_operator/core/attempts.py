"""The list ``status.attempts``: reading it, and what it becomes."""

from datetime import timedelta
from typing import Any

from trainyard_api.training import Retry
from trainyard_api.trainingjob import Attempt, TrainingJobStatus
from trainyard_operator.core.naming import attempt_job_name
from trainyard_operator.core.observed import JobView, Observed
from trainyard_operator.core.outcome import Failure
from trainyard_operator.core.times import from_rfc3339, to_rfc3339

EXIT_CODES = range(256)
"""What a process can end with; a runtime that lost it says something else."""

KEPT = 10
"""Older attempts are dropped from the list, not from the count."""


def current_child(observed: Observed) -> JobView | None:
    """Return the Job of the newest attempt, unless it is gone; an earlier attempt's Job says nothing any more."""
    newest = max(observed.children, key=lambda child: child.attempt, default=None)
    last = last_attempt(observed)
    return None if newest is None or (last is not None and newest.attempt < last.number) else newest


def last_attempt(observed: Observed) -> Attempt | None:
    """Return the newest attempt that the status knows."""
    return max(observed.job.status.attempts or (), key=lambda attempt: attempt.number, default=None)


def is_known(status: TrainingJobStatus, child: JobView) -> bool:
    """Tell whether the status already lists this Job's attempt."""
    return any(entry.number == child.attempt for entry in status.attempts or ())


def with_child(observed: Observed, child: JobView, *, running: bool) -> list[Attempt]:
    """Return the list with this Job's attempt. The start waits for Running, so that it costs no write of its own."""
    known = next((entry.start for entry in observed.job.status.attempts or () if entry.number == child.attempt), None)
    start = known or (to_rfc3339(child.start or child.created) if running else None)
    return replaced(observed, Attempt(number=child.attempt, job_name=child.name, start=start))


def with_end(observed: Observed, number: int, child: JobView | None, failure: Failure) -> list[Attempt]:
    """Return the list with an attempt that failed."""
    known = next((entry for entry in observed.job.status.attempts or () if entry.number == number), None)
    start = known.start if known is not None else None
    if start is None and child is not None:
        start = to_rfc3339(child.start or child.created)
    ended = Attempt(
        number=number,
        job_name=child.name if child is not None else attempt_job_name(observed.job, number),
        reason=failure.reason,
        exit_code=failure.exit_code if failure.exit_code in EXIT_CODES else None,
        start=start,
        end=to_rfc3339(failure.end or observed.now),
    )
    return replaced(observed, ended)


def with_last_closed(observed: Observed, reason: str) -> dict[str, Any]:
    """Return the change that ends an open attempt for a reason from outside."""
    last = last_attempt(observed)
    if last is None or last.end is not None:
        return {}
    closed = last.model_copy(update={"reason": reason, "end": to_rfc3339(observed.now)})
    return {"attempts": replaced(observed, closed)}


def replaced(observed: Observed, attempt: Attempt) -> list[Attempt]:
    """Return the list with one entry new or replaced, in order."""
    others = [entry for entry in observed.job.status.attempts or () if entry.number != attempt.number]
    return sorted([*others, attempt], key=lambda entry: entry.number)[-KEPT:]


def backoff_left(retry: Retry, last: Attempt, observed: Observed) -> float:
    """Return the seconds left of the pause ``initialSeconds * factor ** (failures - 1)``, at most ``maxSeconds``.

    The end comes from a node's clock, which may run ahead of ours: never longer than the pause.
    """
    ended = from_rfc3339(last.end) if last.end is not None else observed.now
    pause = min(retry.initial_seconds * retry.factor ** (last.number - 1), retry.max_seconds)
    return min(pause, (ended + timedelta(seconds=pause) - observed.now).total_seconds())
