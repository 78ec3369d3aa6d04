"""How long a job may still wait, run, and keep its Jobs: from times in its own status, so that no timer is lost."""

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

    Each wait for a start has the whole time: it begins when the job is first seen, when it is resumed, when the pause
    before another attempt is over, and when an attempt that ran loses its pod. A place that is given back begins none.
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
    """Return the seconds that the attempts before left to the next one, ``None`` without a limit."""
    if spec.active_deadline_seconds is None:
        return None
    return spec.active_deadline_seconds - (status.active_seconds or 0)


def due(status: BatchStatus, spec: BatchSpec, workload: WorkloadView) -> int | None:
    """Return the ``activeDeadlineSeconds`` that a Job under way should have, ``None`` for what it has.

    A limit that was taken away becomes one that never comes: a field that we created cannot be applied away.
    """
    left = active_left(status, spec)
    wanted = max(left, 1) if left is not None else MAX_SECONDS
    return None if wanted == (workload.deadline or MAX_SECONDS) else wanted


def workloads_left(completed: str | None, ttl: int | None, now: datetime) -> float | None:
    """Return the seconds for which a finished job keeps its Jobs, ``None`` for ever.

    The end may come from a node's clock, which may run ahead of ours: never longer than the time to live.
    """
    if completed is None or ttl is None:
        return None
    return min(ttl, (from_rfc3339(completed) - now).total_seconds() + ttl)


def sooner(plan: Plan, seconds: float | None) -> Plan:
    """Return the plan, looked at again after ``seconds`` at the latest if it waits."""
    if seconds is None or plan.needs or plan.actions or seconds <= 0:
        return plan
    return replace(plan, requeue_after=min(plan.requeue_after or seconds, seconds))
