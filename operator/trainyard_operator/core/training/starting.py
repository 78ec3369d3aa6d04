"""A Job whose pod is not ready yet: what it waits for, and what is given up when that takes too long."""

import re
from dataclasses import replace
from typing import Any

from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.objects import JobView, PodView
from trainyard_operator.core.plan import NOTHING, EventNote, Plan
from trainyard_operator.core.resolve import accelerated_selector
from trainyard_operator.core.training import accelerator, causes, deadlines, interruption, stop
from trainyard_operator.core.training.observed import Observed
from trainyard_operator.core.training.transition import Transition, report

FIRST_LOOK_SECONDS = 30.0
"""A pod that has not started after this long is looked at, then at doubling intervals."""
LAST_LOOK_SECONDS = 300.0
LONGEST_NOTE = 700
"""So much of an Event goes into a message."""
AFTER_PATIENCE_SECONDS = 2.0
"""The scheduler may not have spoken yet when the time for the accelerator is over; then at doubling intervals, too."""


def still_starting(observed: Observed, spec: TrainingJobSpec, child: JobView, changes: dict[str, Any]) -> Plan:
    """Say after a while why, and give up the accelerator, or the start, when its time is over.

    ``changes`` is what this attempt's being there means by itself.
    """
    waited = interruption.waits_since(observed, child)
    left, patience = deadlines.pending_left(observed, spec), accelerator.patience_left(spec, child, waited)
    late, impatient = left is not None and left <= 0, patience is not None and patience <= 0
    if late and child.deleting:
        return NOTHING  # because it was late; once the Job is gone, that is the end
    due = waited >= FIRST_LOOK_SECONDS or late or impatient or interruption.has_run(observed, child)
    if due and child.name not in observed.pods:
        return Plan(needs=(Need(Fact.PODS, child.name),))
    pods = observed.pods.get(child.name, ())
    silent = _silent(child, pods) if child.name in observed.pods and waited >= FIRST_LOOK_SECONDS else ""
    if silent and silent not in observed.warnings:
        return Plan(needs=(Need(Fact.EVENTS, silent),))
    lack = _lacking(observed, spec, pods) if impatient and not late else ""
    if lack:
        return _fall_back(observed, spec, child, lack, changes)
    reason, cause = interruption.told(observed, child)
    message = "; ".join(part for part in (cause, _waits_for(observed, spec, child)) if part)
    told = report(observed, Transition("Starting", reason, message, changes))
    if late and told.status is None and not any(pod.started and causes.cause_of(pod) is None for pod in pods):
        return stop.pending_too_long(observed, spec)
    again = look_again(waited)
    if patience is not None and impatient:
        again = min(again, max(-patience, AFTER_PATIENCE_SECONDS))
    return deadlines.sooner(deadlines.sooner(replace(told, requeue_after=again), left), patience)


def interrupted(observed: Observed, spec: TrainingJobSpec, child: JobView, changes: dict[str, Any]) -> Plan:
    """A Job that trained has no pod any more that does: write down since when, and why."""
    reason, cause = interruption.told(observed, child)
    message = "; ".join(part for part in (cause, _waits_for(observed, spec, child)) if part)
    event = EventNote("Warning", reason, message, f"{child.name}/{changes['interrupted_time']}")
    return report(observed, Transition("Starting", reason, message, changes), events=(event,))


def look_again(waited: float) -> float:
    """Return the seconds until pods are looked at again."""
    return min(max(FIRST_LOOK_SECONDS - waited, waited, 1.0), LAST_LOOK_SECONDS)


def _silent(child: JobView, pods: tuple[PodView, ...]) -> str:
    """Return the uid of what only Events tell about: a Job without a pod, or a pod that waits without a word."""
    live = [pod for pod in pods if not (pod.over or pod.deleting)]
    if not live:
        return child.uid
    return next((pod.uid for pod in live if pod.node and not (pod.started or pod.waiting)), "")


def _waits_for(observed: Observed, spec: TrainingJobSpec, child: JobView) -> str:
    pods = observed.pods.get(child.name, ())
    reasons = [f"pod {pod.name}: {pod.waiting}" for pod in pods if pod.waiting]
    if not reasons and (warning := _newest_warning(observed, child, pods)):
        reasons = [warning]
    script = spec.script.config_map_ref if spec.script is not None else None
    if script is not None and pods and not reasons:
        reasons = [f"it starts once key {script.key!r} of ConfigMap {script.name!r} (script.configMapRef) exists"]
    return "; ".join([f"waiting for a pod of Job {child.name}", *reasons[:1]])


def _newest_warning(observed: Observed, child: JobView, pods: tuple[PodView, ...]) -> str:
    """Return the newest Warning Event of a Job without a pod, or of a pod that does not start.

    The Job controller names each pod that is refused; the name is random, so it is left out: the sentence stays.
    """
    silent = _silent(child, pods)
    newest = max(observed.warnings.get(silent, ()), key=lambda event: (event.time, event.reason), default=None)
    if newest is None:
        return ""
    note = re.sub(rf'"{re.escape(child.name)}-[a-z0-9]{{5}}"', f'of Job "{child.name}"', newest.note)
    name = next((f"pod {pod.name}: " for pod in pods if pod.uid == silent), "")
    return f"{name}{newest.reason}: {note[:LONGEST_NOTE]}"


def _lacking(observed: Observed, spec: TrainingJobSpec, pods: tuple[PodView, ...]) -> str:
    if spec.accelerator is None:
        return ""
    selects_nodes = bool(accelerated_selector(spec, observed.config))
    return accelerator.lacking(spec.accelerator, pods, selects_nodes=selects_nodes)


def _fall_back(observed: Observed, spec: TrainingJobSpec, child: JobView, lack: str, changes: dict[str, Any]) -> Plan:
    """No node has the accelerator in time: decide to go on without it. The Jobs follow from the condition."""
    wanted = spec.accelerator
    if wanted is None:
        raise AssertionError("only a job with an accelerator lacks one")
    message = (
        f"no node had {wanted.count} {wanted.resource} in time (fallbackAfterSeconds: "
        f"{wanted.fallback_after_seconds}); attempt {child.attempt} goes on with the CPU alone: {lack}"
    )
    facts = (accelerator.decision(observed, message[:1024]),)
    event = EventNote("Warning", accelerator.DEVICE_FALLBACK, message, f"fallback-{child.name}")
    transition = Transition("Starting", accelerator.DEVICE_FALLBACK, message, changes, facts)
    return report(observed, transition, events=(event,))
