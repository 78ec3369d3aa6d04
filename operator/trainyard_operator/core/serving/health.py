"""Whether pods of a version will ever serve, told from how their containers ended."""

from dataclasses import dataclass
from typing import Final

from trainyard_api.exit_codes import NON_RETRYABLE, ExitCode, reason_of
from trainyard_operator.core.objects import DeploymentView, ServingPodView

CRASH_LOOP_RESTARTS: Final = 3
"""So many starts in vain are a property of the version, not bad luck."""

OF_THE_STORAGE: Final = frozenset({ExitCode.UPSTREAM_UNAVAILABLE, ExitCode.NOT_PERMITTED})
"""It does not answer, or refuses the credentials (rotated, say): the same version loads once that is put right."""

FINAL: Final = tuple(code for code in NON_RETRYABLE if code not in OF_THE_STORAGE)
"""With these the server says that it will never load this version."""

LAST_WORDS: Final = 512


@dataclass(frozen=True)
class Failure:
    """Why a version does not serve: CamelCase for conditions, and the server's own sentence."""

    reason: str
    message: str


def failure_of(pods: tuple[ServingPodView, ...]) -> Failure | None:
    """Return why no waiting would help, or nothing while it may.

    A server that cannot load its version says so with a final exit code. One that ends in any other way may only have
    had bad luck until it has done so several times; a storage that does not let it read is never the version's fault.
    """
    for pod in pods:
        if pod.ready or pod.deleting or pod.exit_code is None or pod.exit_code in OF_THE_STORAGE:
            continue
        if pod.exit_code in FINAL:
            return Failure(reason_of(pod.exit_code), _ended_with(pod))
        if pod.restarts >= CRASH_LOOP_RESTARTS:
            return Failure("CrashLoop", f"{_ended_with(pod)} ({pod.restarts} restarts)")
    return None


def are_at_fault(pods: tuple[ServingPodView, ...]) -> bool:
    """Tell whether pods that are not ready are so by themselves: their server runs or has ended.

    It is not the version's doing that a node is gone, an image cannot be pulled, no node has room, or the storage does
    not let it read.
    """
    present = (pod for pod in pods if not (pod.ready or pod.deleting))
    return any(pod.exit_code not in OF_THE_STORAGE and (pod.running or pod.exit_code is not None) for pod in present)


def waiting_for(pods: tuple[ServingPodView, ...]) -> str:
    """Return what a pod that is not ready waits for, or how it ended last; empty when nothing is known."""
    for pod in pods:
        if pod.ready or pod.deleting:
            continue
        if pod.exit_code is not None:
            return _ended_with(pod)
        if pod.waiting:
            return f"pod {pod.name}: {pod.waiting}"
    return ""


def cause_of(child: DeploymentView | None, pods: tuple[ServingPodView, ...]) -> str:
    """Return why pods are not there or not ready, in the words of whoever knows; empty when nothing is known."""
    refused = f"Deployment {child.name}: {child.refusal}" if child is not None and child.refusal else ""
    return "; ".join(filter(None, (refused, waiting_for(pods))))


def _ended_with(pod: ServingPodView) -> str:
    said = " ".join(pod.message.split())[:LAST_WORDS]
    ended = f"pod {pod.name} ended with exit code {pod.exit_code}"
    if said:
        return f"{ended}: {said}"
    hint = "out of memory? raise spec.serving.resources.limits.memory" if pod.exit_code == ExitCode.KILLED else ""
    return f"{ended} and no message{f'; {hint}' if hint else ''}; see kubectl logs {pod.name} --previous"
