"""The device beside the CPU: whether a pod waits for one in vain, and what remembers that a job trains without it.

The condition DeviceFallback is the decision. Jobs follow from it: one that asks for the accelerator and does not run
is deleted, and the same attempt goes on in a Job whose name ends with ``-cpu``. It holds for all later attempts.
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
"""The scheduler's reason; its sentence names what each node lacks."""
_NO_LABEL = "node affinity/selector"


def fallback_of(status: BatchStatus) -> tuple[Condition, ...]:
    """Return the condition that the job fell back, if it did."""
    return tuple(condition for condition in status.conditions or () if condition.type == DEVICE_FALLBACK)


def effective(spec: SpecT, status: BatchStatus) -> SpecT:
    """Return what is rendered and what the trainer is told: without an accelerator that the job does without."""
    return spec if spec.uses_accelerator and not fallback_of(status) else spec.model_copy(update={"accelerator": None})


def device_of(spec: BatchSpec, workload: WorkloadView) -> str | None:
    """Return the device that an attempt asked for; of a job without accelerator its result alone tells."""
    if spec.accelerator is None:
        return None
    return CPU if not spec.uses_accelerator or is_fallback(workload.name) else spec.accelerator.resource[:64]


def patience_left(spec: BatchSpec, workload: WorkloadView, waited: float) -> float | None:
    """Return the seconds until a Job that waited so long gives its accelerator up, ``None`` if it never does."""
    wanted = spec.accelerator
    if wanted is None or wanted.fallback != "CPU" or not spec.uses_accelerator or is_fallback(workload.name):
        return None
    return wanted.fallback_after_seconds - waited


def lacking(wanted: Accelerator, pods: tuple[PodView, ...], *, selects_nodes: bool) -> str:
    """Return the scheduler's sentence if its newest pod finds no node for the accelerator, else nothing.

    With ``selects_nodes`` the accelerator brings labels of its nodes, so a cluster without such nodes names the
    selector rather than the resource.
    """
    newest = max(pods, key=lambda pod: (pod.created, pod.name), default=None)
    if newest is None or newest.started or not newest.waiting.startswith(_NO_NODE):
        return ""
    named = wanted.resource in newest.waiting or (selects_nodes and _NO_LABEL in newest.waiting)
    return newest.waiting.removeprefix(f"{_NO_NODE}: ") if named else ""


def decision(state: BatchState, message: str) -> Condition:
    """Return the condition that says so."""
    return Condition(
        type=DEVICE_FALLBACK,
        status="True",
        reason="AcceleratorUnavailable",
        message=message,
        observed_generation=state.job.generation,
        last_transition_time=to_rfc3339(state.now),
    )
