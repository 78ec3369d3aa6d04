"""Pods that something external stopped: an eviction, a preemption, a drain, or an unreachable node.

The Job replaces such a pod, and the attempt continues. Until the replacement runs, the phase is Starting again, with
the cause as its message, and the pending deadline applies. ``status.evictions`` counts such pods.
"""

from typing import Any, Final

from trainyard_operator.core.batch import attempts, causes
from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.objects import PodView, WorkloadView
from trainyard_operator.core.times import from_rfc3339, to_rfc3339

FRESH_SECONDS: Final = 15.0
"""Maximum age of a report that proves that the job runs. The trainer reports every 5 seconds while values change."""


def last_cause(state: BatchState, workload: WorkloadView) -> tuple[str, str]:
    """Return the reason and the cause of an interruption.

    Before the first start, the reason is ``Starting`` and the cause is empty.
    """
    pods = sorted(state.pods.get(workload.name, ()), key=causes.when)
    found = next((cause for pod in reversed(pods) if (cause := causes.cause_of(pod)) is not None), None)
    if found is not None:
        return found
    status = state.job.status
    before = next((c.reason for c in status.conditions or () if c.type == "Ready"), "")
    if status.phase == "Starting" and before in causes.REASONS:
        return before, ""
    return (causes.INTERRUPTED, "") if has_run(state, workload) else ("Starting", "")


def has_run(state: BatchState, workload: WorkloadView) -> bool:
    """Return whether the status has a start time for this Job's attempt."""
    return any(entry.job_name == workload.name and entry.start for entry in state.job.status.attempts or ())


def changes(state: BatchState, pods: tuple[PodView, ...], *, stopped: bool) -> dict[str, Any]:
    """Return the status changes for pods that were interrupted since the last reconcile.

    ``stopped`` means that the attempt ran before and has no running pod now.
    """
    status = state.job.status
    since = from_rfc3339(status.interrupted_time) if status.interrupted_time else None
    times = [pod.disrupted_at for pod in pods if pod.disrupted_at and (since is None or pod.disrupted_at > since)]
    if not times and not stopped:
        return {}
    counted = (status.evictions or 0) + len(times)
    return {"evictions": counted or None, "interrupted_time": to_rfc3339(max(times, default=state.now))}


def waiting_seconds(state: BatchState, workload: WorkloadView) -> float:
    """Return for how many seconds a Job has waited for a pod, since its creation or since it lost one."""
    lost, now = state.job.status.interrupted_time, state.now
    since = workload.created if lost is None else max(workload.created, from_rfc3339(lost))
    return (now - since).total_seconds()


def is_running(state: BatchState, workload: WorkloadView) -> bool | None:
    """Return whether a Job is running: it has a ready pod, a recent report, or a running container.

    ``None`` means that its pods must be read first. A pod of framework Container is ready only during its last step.
    Therefore the operator reads its pods when its reports are old.
    """
    status, reported = state.job.status, state.reported
    was_running = status.phase == "Running" and attempts.is_known(status, workload)
    if workload.ready > 0 or (was_running and (workload.finishing or workload.deleting)):
        return True
    pods = state.pods.get(workload.name)
    if pods is not None and any(pod.running for pod in pods):
        return True
    if reported is not None and reported.last_updated_time is not None:
        age = (state.now - from_rfc3339(reported.last_updated_time)).total_seconds()
        after_loss = status.interrupted_time is None or reported.last_updated_time > status.interrupted_time
        if pods is None and after_loss and (age <= FRESH_SECONDS or not was_running):
            return True
    return None if was_running and pods is None else False
