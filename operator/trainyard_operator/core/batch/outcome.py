"""Result of an attempt: success or failure, and whether a retry can help."""

import re
from dataclasses import dataclass, replace
from datetime import datetime

from trainyard_api.exit_codes import NON_RETRYABLE, ExitCode, reason_of
from trainyard_api.wire import TrainingResult, parse_result
from trainyard_operator.core.batch import causes
from trainyard_operator.core.objects import EVICTED, PodView, WorkloadView

OOM_KILLED = "OOMKilled"
CHILD_DELETED = "ChildDeleted"
RESULT_MISSING = "ResultMissing"
RESULT_REFUSED = "ResultRefused"
DEADLINE_EXCEEDED = "DeadlineExceeded"
POD_LOST = "PodLost"
NOT_MERGED = "ShardsNotMerged"
SUSPENDED = "Suspended"
"""Reason of an attempt that the user suspended. It is not a failure."""
CHAMPION_CHANGED = "ChampionChanged"
"""Reason of an attempt whose model must be compared with a new champion. It is not a failure."""
PODS_READY_TIMEOUT = "PodsReadyTimeout"
"""Reason of an attempt whose pods were not ready in time while other jobs waited for its slot. It is not a failure."""
WELL = frozenset({SUSPENDED, CHAMPION_CHANGED, PODS_READY_TIMEOUT})
"""Reasons that are not failures. Another attempt follows, and no retry is used."""

_STORAGE = ("ephemeral", "emptyDir", "EmptyDir")
"""Parts of the kubelet's message for a pod that exceeded its storage limit."""

LONGEST_OUTPUT = 512
"""Maximum length of a container's plain text output in a message."""


@dataclass(frozen=True)
class Failure:
    """Reason and message of a failed attempt.

    Attributes
    ----------
    reason
        CamelCase, for conditions and columns.
    message
        One sentence: what, where, what to do.
    retryable
        Whether another attempt could end differently.
    """

    reason: str
    message: str
    retryable: bool
    exit_code: int | None = None
    end: datetime | None = None


def success_of(job: WorkloadView, pods: tuple[PodView, ...]) -> TrainingResult | Failure:
    """Return the result of a complete Job from its succeeded pods, or the reason why there is none.

    If several pods share a Job, the pod that merged the shards has the result. If the pod no longer exists, a retry
    helps: the trainer finds the finished run in the storage and does not train again.
    """
    done = sorted((pod for pod in pods if pod.phase == "Succeeded"), key=_age)
    if not done:
        message = (
            f"Job {job.name} is complete, but its pod and the result in the pod are gone; another attempt reads the "
            "result of the finished run"
        )
        return result_missing(job, message, retryable=True)
    results = [parse_result(pod.termination_message) for pod in done]
    result = next((each for each in reversed(results) if not _is_shard(each)), results[-1])
    if isinstance(result, str):
        return result_missing(job, result)
    if result.outcome != "Succeeded":
        return result_missing(job, f"the pod ended with exit code 0 but reported a failure: {result.message}")
    return result


def result_missing(job: WorkloadView, message: str, *, retryable: bool = False) -> Failure:
    """Return the failure of a complete Job without a usable result."""
    return Failure(RESULT_MISSING, message, retryable=retryable, exit_code=0, end=job.end)


def result_refused(job: WorkloadView, message: str) -> Failure:
    """Return the failure of a result that refers to something outside the job."""
    return Failure(RESULT_REFUSED, message, retryable=False, exit_code=0, end=job.end)


def not_merged(job: WorkloadView) -> Failure:
    """Return the failure of a complete Job in which no pod merged the shards."""
    message = (
        f"no pod of Job {job.name} reported the merged shards: the data changed while the pods read it, or the pod "
        "that merged the shards is gone; another attempt continues from the stored shards"
    )
    return Failure(NOT_MERGED, message, retryable=True, exit_code=0, end=job.end)


def result_is_gone(job: WorkloadView, pods: tuple[PodView, ...]) -> bool:
    """Return whether a Job was deleted at completion and its pod was removed before the result was read."""
    return job.deleting and all(pod.phase != "Succeeded" for pod in pods)


def failure_of(job: WorkloadView, pods: tuple[PodView, ...]) -> Failure:
    """Return the failure of a failed Job from its own condition and its pods."""
    end = job.end
    if job.failure_reason == DEADLINE_EXCEEDED:
        return Failure(
            DEADLINE_EXCEEDED, "activeDeadlineSeconds passed before the training ended", retryable=False, end=end
        )
    pod = _culprit(tuple(pod for pod in pods if pod.exit_code not in (None, 0)))
    if pod is None or pod.exit_code is None:
        return _without_exit_code(job, pods)
    code = pod.exit_code
    if code == ExitCode.KILLED and pod.exit_reason == OOM_KILLED:
        message = (
            f"container {pod.container} of pod {pod.name} ran out of memory; "
            "raise resources.limits.memory if the next attempt does too"
        )
        return Failure(OOM_KILLED, message, retryable=True, exit_code=code, end=pod.finished_at or end)
    if code not in NON_RETRYABLE and (stopped := _stopped(pod)) is not None:
        return replace(stopped, exit_code=code, end=pod.finished_at or end)
    reason = reason_of(code)
    reported = parse_result(pod.termination_message)
    if isinstance(reported, TrainingResult) and reported.message:
        reason, message = _as_reason(reported.reason) or reason, reported.message
    else:
        last = _last_line(pod.termination_message)
        said = f": {last}" if last else " and no message"
        logs = f"kubectl logs {pod.name} -c {pod.container}"
        message = f"container {pod.container} of pod {pod.name} ended with exit code {code}{said}; see {logs}"
    return Failure(reason, message, retryable=code not in NON_RETRYABLE, exit_code=code, end=pod.finished_at or end)


def staying(shards: int, pods: tuple[PodView, ...]) -> tuple[PodView, ...]:
    """Return the pods of a Job whose training has ended while another container keeps its pods running.

    The result is empty if a training container still runs, or if a pod is still missing.
    """
    kept = tuple(pod for pod in pods if pod.staying)
    failed = any(pod.phase == "Failed" for pod in kept)
    all_over = all(pod.over for pod in pods) and (failed or len(kept) >= shards)
    return pods if kept and all_over else ()


def evicted_too_often(job: WorkloadView, pod: PodView) -> Failure:
    """Return the failure of an attempt with too many evictions. ``pod`` was evicted last."""
    stopped = _stopped(pod)
    cause = stopped.message if stopped is not None else f"pod {pod.name} was evicted"
    message = f"the kubelet evicted {causes.MOST_EVICTIONS} pods of Job {job.name}: {cause}"
    return Failure(EVICTED, message, retryable=True, end=pod.disrupted_at or job.end)


def _stopped(pod: PodView) -> Failure | None:
    """Return the failure of a pod that something external stopped. It ignores the container's own output."""
    cause = causes.cause_of(pod)
    if cause is None:
        return None
    reason, message = cause
    if any(word in pod.cause_message for word in _STORAGE):
        message += "; let the training write less, or raise ephemeral-storage in spec.resources"
    return Failure(_as_reason(reason) or POD_LOST, message, retryable=True)


def _without_exit_code(job: WorkloadView, pods: tuple[PodView, ...]) -> Failure:
    """Return the failure of a failed Job whose pods have no exit code."""
    reported = job.failure_message or job.failure_reason or "unknown"
    stopped = next((found for pod in sorted(pods, key=_age, reverse=True) if (found := _stopped(pod))), None)
    if stopped is not None:
        return replace(stopped, end=job.end)
    if pods:
        message = f"no pod of Job {job.name} reports why the Job failed: {reported}"
    else:
        message = f"the pod of Job {job.name} is gone: it was deleted, or its node was removed ({reported})"
    return Failure(POD_LOST, message, retryable=True, end=job.end)


def _last_line(text: str) -> str:
    """Return the last line of a container's plain text output. In a Python traceback, this line is the error."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return lines[-1][:LONGEST_OUTPUT] if lines else ""


def _as_reason(text: str | None) -> str:
    """Return the text if it is a valid reason for conditions and Events, else an empty string.

    A user's container may report any text.
    """
    return text if text and re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,127}", text) else ""


def _is_shard(result: TrainingResult | str) -> bool:
    return isinstance(result, TrainingResult) and result.made == "Shard"


def _culprit(failed: tuple[PodView, ...]) -> PodView | None:
    """Return the pod that caused the failure: the newest pod of each shard, and the first of these to fail.

    That failure stopped the others.
    """
    newest = {pod.index: pod for pod in sorted(failed, key=_age)}
    return min(newest.values(), key=_end, default=None)


def _age(pod: PodView) -> tuple[bool, datetime, str]:
    return not pod.disrupted, pod.created, pod.name


def _end(pod: PodView) -> tuple[bool, bool, datetime, str]:
    interrupted = pod.exit_code == ExitCode.INTERRUPTED
    return pod.disrupted, interrupted, pod.finished_at or pod.created, pod.name
