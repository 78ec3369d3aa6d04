"""Fallback from an accelerator to the CPU.

The condition ``DeviceFallback`` stores the decision. If a Job requests the accelerator and does not run, it is deleted.
The same attempt continues in a Job whose name ends with ``-cpu``. The decision holds for all later attempts.
"""

from typing import TypeVar

from trainyard_api.batch import BatchSpec, BatchStatus
from trainyard_api.conditions import Condition
from trainyard_api.training import Accelerator
from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.naming import is_fallback
from trainyard_operator.core.objects import PodView, WorkloadView
from trainyard_operator.core.times import to_rfc3339

SpecT = TypeVar("SpecT", bound=BatchSpec)

DEVICE_FALLBACK = "DeviceFallback"
CPU = "cpu"

_NO_NODE = "Unschedulable"
"""The scheduler's reason. Its message names what each node lacks."""
_NO_LABEL = "node affinity/selector"


def fallback_of(status: BatchStatus) -> tuple[Condition, ...]:
    """Return the condition ``DeviceFallback`` in a tuple, or an empty tuple."""
    return tuple(condition for condition in status.conditions or () if condition.type == DEVICE_FALLBACK)


def effective(spec: SpecT, status: BatchStatus) -> SpecT:
    """Return the spec to render. After a fallback to the CPU, it has no accelerator."""
    return spec if spec.uses_accelerator and not fallback_of(status) else spec.model_copy(update={"accelerator": None})


def device_of(spec: BatchSpec, workload: WorkloadView) -> str | None:
    """Return the device that an attempt requested, or ``None`` if the spec has no accelerator."""
    if spec.accelerator is None:
        return None
    return CPU if not spec.uses_accelerator or is_fallback(workload.name) else spec.accelerator.resource[:64]


def seconds_to_fallback(spec: BatchSpec, workload: WorkloadView, waited: float) -> float | None:
    """Return the seconds until a Job that waited ``waited`` seconds falls back to the CPU.

    Return ``None`` if it never does.
    """
    wanted = spec.accelerator
    if wanted is None or wanted.fallback != "CPU" or not spec.uses_accelerator or is_fallback(workload.name):
        return None
    return wanted.fallback_after_seconds - waited


def lacking(wanted: Accelerator, pods: tuple[PodView, ...], *, selects_nodes: bool) -> str:
    """Return the scheduler's message if the newest pod finds no node for the accelerator, else an empty string.

    With ``selects_nodes``, the accelerator adds a node selector. In a cluster without such nodes, the scheduler names
    the selector and not the resource.
    """
    newest = max(pods, key=lambda pod: (pod.created, pod.name), default=None)
    if newest is None or newest.started or not newest.waiting.startswith(_NO_NODE):
        return ""
    named = wanted.resource in newest.waiting or (selects_nodes and _NO_LABEL in newest.waiting)
    return newest.waiting.removeprefix(f"{_NO_NODE}: ") if named else ""


def decision(state: BatchState, message: str) -> Condition:
    """Return the condition ``DeviceFallback`` with this message."""
    return Condition(
        type=DEVICE_FALLBACK,
        status="True",
        reason="AcceleratorUnavailable",
        message=message,
        observed_generation=state.job.generation,
        last_transition_time=to_rfc3339(state.now),
    )
