"""Causes of external pod terminations, from the reasons of the kubelet and the control plane."""

from datetime import datetime
from typing import Final

from trainyard_operator.core.objects import EVICTED, PodView

MOST_EVICTIONS: Final = 3
"""An attempt fails after the kubelet evicted this many of its pods.

Otherwise, a training that fills its node's disk would move from node to node.
"""

INTERRUPTED: Final = "Interrupted"
"""The reason if the cause is no longer known."""
NODE_LOST: Final = "NodeLost"
POD_DELETED: Final = "PodDeleted"

_CAUSES: Final = {
    EVICTED: (EVICTED, "was evicted"),
    "Terminated": ("NodeShutdown", "was stopped, because its node shuts down"),
    "Preempting": ("Preempted", "was preempted"),
    "PreemptionByScheduler": ("Preempted", "was preempted"),
    "EvictionByEvictionAPI": ("Drained", "was evicted through the API, for example by kubectl drain"),
    "DeletionByTaintManager": ("NodeTainted", "was deleted, because its node has a taint that it does not tolerate"),
    "DeletionByPodGC": (NODE_LOST, "lost its node"),
    NODE_LOST: (NODE_LOST, "lost its node"),
}
"""The reason of the kubelet or the control plane, mapped to the reported reason and a description."""
REASONS: Final = frozenset({INTERRUPTED, POD_DELETED, *(reason for reason, _ in _CAUSES.values())})


def cause_of(pod: PodView) -> tuple[str, str] | None:
    """Return the reason and a message if something external stopped the pod, ``None`` otherwise."""
    where = f" on node {pod.node}" if pod.node else ""
    if pod.cause:
        reason, what = _CAUSES.get(pod.cause, (pod.cause, "was stopped"))
        said = f": {pod.cause_message.strip().rstrip('.')}" if pod.cause_message else ""
        return reason, f"pod {pod.name}{where} {what}{said}"
    if pod.lost:
        return NODE_LOST, f"pod {pod.name} is lost: node {pod.node or 'unknown'} does not answer"
    if pod.deleting:
        return POD_DELETED, f"pod {pod.name}{where} was deleted while it ran"
    return None


def evicted_too_often(pods: tuple[PodView, ...]) -> PodView | None:
    """Return the pod that was evicted last if the kubelet evicted ``MOST_EVICTIONS`` pods, ``None`` otherwise."""
    evicted = sorted((pod for pod in pods if pod.cause == EVICTED), key=when)
    return evicted[-1] if len(evicted) >= MOST_EVICTIONS else None


def when(pod: PodView) -> tuple[datetime, str]:
    """Return the sort key of a pod: when it was disrupted, or else created."""
    return pod.disrupted_at or pod.created, pod.name
