"""Diagnosis of pods that do not serve, from the exit codes of their containers."""

from dataclasses import dataclass
from typing import Final

from trainyard_api.exit_codes import NON_RETRYABLE, ExitCode, reason_of
from trainyard_operator.core.objects import DeploymentView, ServingPodView

CRASH_LOOP_RESTARTS: Final = 3
"""After this many restarts, the version counts as faulty."""

OF_THE_STORAGE: Final = frozenset({ExitCode.UPSTREAM_UNAVAILABLE, ExitCode.NOT_PERMITTED})
"""The storage does not respond or refuses the credentials. The same version loads once this is fixed."""

FINAL: Final = tuple(code for code in NON_RETRYABLE if code not in OF_THE_STORAGE)
"""With these exit codes, the server reports that it can never load this version."""

LONGEST_OUTPUT: Final = 512


@dataclass(frozen=True)
class Problem:
    """Why a version does not serve: a CamelCase reason for conditions, and the server's own message."""

    reason: str
    message: str


def failure_of(pods: tuple[ServingPodView, ...]) -> Problem | None:
    """Return why the version will never serve, ``None`` if it may still become ready.

    A final exit code means that the server cannot load its version. Any other exit counts only after several restarts.
    A storage that cannot be read is never the version's fault.
    """
    for pod in pods:
        if pod.ready or pod.deleting or pod.exit_code is None or pod.exit_code in OF_THE_STORAGE:
            continue
        if pod.exit_code in FINAL:
            return Problem(reason_of(pod.exit_code), _ended_with(pod))
        if pod.restarts >= CRASH_LOOP_RESTARTS:
            return Problem("CrashLoop", f"{_ended_with(pod)} ({pod.restarts} restarts)")
    return None


def are_at_fault(pods: tuple[ServingPodView, ...]) -> bool:
    """Return whether the version itself keeps its pods from being ready: their server runs or has ended.

    Other causes are not the version's fault. Examples are a lost node, a failed image pull, no capacity on the nodes,
    or a storage that cannot be read.
    """
    present = (pod for pod in pods if not (pod.ready or pod.deleting))
    return any(pod.exit_code not in OF_THE_STORAGE and (pod.running or pod.exit_code is not None) for pod in present)


def waiting_for(pods: tuple[ServingPodView, ...]) -> str:
    """Return what an unready pod waits for, or how it ended last. The result is empty if nothing is known."""
    for pod in pods:
        if pod.ready or pod.deleting:
            continue
        if pod.exit_code is not None:
            return _ended_with(pod)
        if pod.waiting:
            return f"pod {pod.name}: {pod.waiting}"
    return ""


def cause_of(child: DeploymentView | None, pods: tuple[ServingPodView, ...]) -> str:
    """Return why pods are missing or not ready. The result is empty if nothing is known."""
    refused = f"Deployment {child.name}: {child.refusal}" if child is not None and child.refusal else ""
    return "; ".join(filter(None, (refused, waiting_for(pods))))


def _ended_with(pod: ServingPodView) -> str:
    said = " ".join(pod.message.split())[:LONGEST_OUTPUT]
    ended = f"pod {pod.name} ended with exit code {pod.exit_code}"
    if said:
        return f"{ended}: {said}"
    hint = (
        "if it ran out of memory, raise spec.serving.resources.limits.memory"
        if pod.exit_code == ExitCode.KILLED
        else ""
    )
    return f"{ended} and no message{f'; {hint}' if hint else ''}; see kubectl logs {pod.name} --previous"
