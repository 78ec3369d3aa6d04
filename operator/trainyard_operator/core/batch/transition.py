"""Phase transitions. A transition becomes a status if it changes anything, and a completion is reported once."""

from dataclasses import dataclass, replace
from typing import Any

from trainyard_api import meta
from trainyard_api.batch import BatchStatus, Phase
from trainyard_api.conditions import Condition
from trainyard_operator.core.batch import accelerator
from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.conditions import conditions_for
from trainyard_operator.core.objects import BatchView
from trainyard_operator.core.plan import EventNote, Plan
from trainyard_operator.core.times import to_rfc3339


@dataclass(frozen=True)
class Transition:
    """New phase of a job, with a reason, a message, and the status fields that change.

    Attributes
    ----------
    facts
        Conditions in addition to those of the phase. ``None`` keeps the stored ones.
    """

    phase: Phase
    reason: str
    message: str
    changes: dict[str, Any]
    facts: tuple[Condition, ...] | None = None


def report(
    state: BatchState,
    transition: Transition,
    *,
    events: tuple[EventNote, ...] = (),
    requeue_after: float | None = None,
) -> Plan:
    """Return a plan that writes the status if it differs from the stored one."""
    job = state.job
    facts = accelerator.fallback_of(job.status) if transition.facts is None else transition.facts
    conditions = conditions_for(
        transition.phase,
        transition.reason,
        transition.message[:1024],
        generation=job.generation,
        now=state.now,
        before=job.status.conditions or (),
    )
    status = job.status.model_copy(
        update={
            "observed_generation": job.generation,
            "phase": transition.phase,
            "model_name": job.model or None,
            "conditions": [*conditions, *facts],
            "queue_position": None,
            "estimated_duration_seconds": (
                job.status.estimated_duration_seconds if state.estimate is None else state.estimate
            ),
            **transition.changes,
        }
    )
    if status == job.status:
        return Plan(requeue_after=requeue_after)
    return Plan(status=status, events=(*_started_attempts(job, status), *events), requeue_after=requeue_after)


def _started_attempts(job: BatchView[BatchStatus], status: BatchStatus) -> tuple[EventNote, ...]:
    """Return an Event for each attempt that the new status lists for the first time."""
    known = {attempt.job_name for attempt in job.status.attempts or ()}
    fresh = [attempt for attempt in status.attempts or () if attempt.job_name not in known]
    created = (
        EventNote("Normal", "AttemptStarted", f"Created Job {attempt.job_name}", f"start-{attempt.job_name}")
        for attempt in fresh
    )
    origin = job.annotations.get(meta.RETRY_OF_ANNOTATION)
    if known or not fresh or not origin:
        return tuple(created)
    return (EventNote("Normal", "Rerun", f"This job is a rerun of TrainingJob {origin}", "rerun"), *created)


def finish(state: BatchState, transition: Transition, *, events: tuple[EventNote, ...] = ()) -> Plan:
    """Store a terminal phase and report it once, with further events."""
    changes = {"completion_time": to_rfc3339(state.now), **transition.changes}
    event = EventNote(
        "Warning" if transition.phase == "Failed" else "Normal", transition.reason, transition.message, "end"
    )
    return report(state, replace(transition, changes=changes), events=(event, *events))
