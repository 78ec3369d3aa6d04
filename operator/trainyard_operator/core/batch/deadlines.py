"""Deadlines of a job: how long it may be pending, run, and keep its Jobs.

All times are in the status, so a restart loses no timer.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from trainyard_api.base import MAX_SECONDS
from trainyard_api.batch import BatchSpec, BatchStatus
from trainyard_api.training import Retry
from trainyard_operator.core.batch import attempts
from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.objects import WorkloadView
from trainyard_operator.core.plan import Plan
from trainyard_operator.core.times import from_rfc3339


def pending_left(state: BatchState, spec: BatchSpec) -> float | None:
    """Return the seconds left to start in, ``None`` without a limit.

    The full time starts again when the job is first seen, when it is resumed, and when the pause before another attempt
    ends. It also starts again when a running attempt loses its pod, but not after an attempt with ``PodsReadyTimeout``.
    """
    if spec.pending_deadline_seconds is None:
        return None
    status, now = state.job.status, state.now
    live = [condition for condition in status.conditions or () if condition.type == "Reconciling"]
    since = from_rfc3339(live[0].last_transition_time) if live else now
    before = attempts.last_tried(status)
    if before is not None:
        pause = attempts.backoff_left(spec.retry or Retry(), before, state)
        since = max(since, now + timedelta(seconds=pause))
    if status.interrupted_time is not None:
        since = max(since, from_rfc3339(status.interrupted_time))
    return (since - now).total_seconds() + spec.pending_deadline_seconds


def active_left(status: BatchStatus, spec: BatchSpec) -> int | None:
    """Return the running time in seconds that is left for the next attempt, ``None`` without a limit."""
    if spec.active_deadline_seconds is None:
        return None
    return spec.active_deadline_seconds - (status.active_seconds or 0)


def due(status: BatchStatus, spec: BatchSpec, workload: WorkloadView) -> int | None:
    """Return the ``activeDeadlineSeconds`` to apply to a running Job, ``None`` if it already has the right value.

    If the limit was removed from the spec, the Job gets the largest allowed value. Server-side apply cannot remove a
    field that the operator set at creation.
    """
    left = active_left(status, spec)
    wanted = max(left, 1) if left is not None else MAX_SECONDS
    return None if wanted == (workload.deadline or MAX_SECONDS) else wanted


def workloads_left(completed: str | None, ttl: int | None, now: datetime) -> float | None:
    """Return the seconds for which a finished job keeps its Jobs, ``None`` without a limit.

    The end time may come from a node's clock, which may be ahead. Therefore the result is never longer than the TTL.
    """
    if completed is None or ttl is None:
        return None
    return min(ttl, (from_rfc3339(completed) - now).total_seconds() + ttl)


def sooner(plan: Plan, seconds: float | None) -> Plan:
    """Return the plan with a requeue after ``seconds`` at the latest, if the plan has no needs and no actions."""
    if seconds is None or plan.needs or plan.actions or seconds <= 0:
        return plan
    return replace(plan, requeue_after=min(plan.requeue_after or seconds, seconds))
