"""The device beside the CPU: whether a pod waits for one in vain, and what remembers that a job trains without it.

The condition DeviceFallback is the decision. Jobs follow from it: one that asks for the accelerator and does not run
is deleted, and the same attempt goes on in a Job whose name ends with ``-cpu``. It holds for all later attempts.

``mode: Prepare`` trains nothing, so it takes no device from those who do, whatever its spec asks for.
"""

from trainyard_api.conditions import Condition
from trainyard_api.training import Accelerator
from trainyard_api.trainingjob import TrainingJobSpec, TrainingJobStatus
from trainyard_operator.core.naming import is_fallback
from trainyard_operator.core.objects import JobView, PodView
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.core.training.observed import Observed

DEVICE_FALLBACK = "DeviceFallback"
CPU = "cpu"

_NO_NODE = "Unschedulable"
"""The scheduler's reason; its sentence names what each node lacks."""
_NO_LABEL = "node affinity/selector"


def fallback_of(status: TrainingJobStatus) -> tuple[Condition, ...]:
    """Return the condition that the job fell back, if it did."""
    return tuple(condition for condition in status.conditions or () if condition.type == DEVICE_FALLBACK)


def effective(spec: TrainingJobSpec, status: TrainingJobStatus) -> TrainingJobSpec:
    """Return what is rendered and what the trainer is told: without an accelerator that the job does without."""
    return spec.model_copy(update={"accelerator": None}) if _is_idle(spec) or fallback_of(status) else spec


def device_of(spec: TrainingJobSpec, child: JobView) -> str | None:
    """Return the device that an attempt asked for; of a job without accelerator its result alone tells."""
    if spec.accelerator is None:
        return None
    return CPU if _is_idle(spec) or is_fallback(child.name) else spec.accelerator.resource[:64]


def patience_left(spec: TrainingJobSpec, child: JobView, waited: float) -> float | None:
    """Return the seconds until a Job that waited so long gives its accelerator up, ``None`` if it never does."""
    wanted = spec.accelerator
    if wanted is None or wanted.fallback != "CPU" or _is_idle(spec) or is_fallback(child.name):
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


def decision(observed: Observed, message: str) -> Condition:
    """Return the condition that says so."""
    return Condition(
        type=DEVICE_FALLBACK,
        status="True",
        reason="AcceleratorUnavailable",
        message=message,
        observed_generation=observed.job.generation,
        last_transition_time=to_rfc3339(observed.now),
    )


def _is_idle(spec: TrainingJobSpec) -> bool:
    """Tell whether a device would lie idle: who turns a training into a look at its data changes the mode alone."""
    return spec.mode == "Prepare"
