"""Conditions: which are there in which phase, for kstatus, ``kubectl wait`` and people.

``Reconciling`` and ``Stalled`` exist only while they are true (kstatus reads their absence), ``Ready`` always exists,
and exactly one of ``Complete`` and ``Failed`` exists at the end of a TrainingJob.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from trainyard_api.batch import Phase
from trainyard_api.conditions import Condition
from trainyard_operator.core.times import to_rfc3339


def conditions_for(
    phase: Phase, reason: str, message: str, *, generation: int, now: datetime, before: Iterable[Condition]
) -> list[Condition]:
    """Return the conditions of a TrainingJob's phase."""
    match phase:
        case "Succeeded":
            statuses = {"Ready": "True", "Complete": "True"}
        case "Failed":
            statuses = {"Ready": "False", "Failed": "True", "Stalled": "True"}
        case "Cancelled":
            statuses = {"Ready": "False", "Failed": "True"}
        case "Suspended":
            statuses = {"Ready": "False"}
        case "Pending" | "Queued" | "Starting" | "Running" | "Retrying":
            statuses = {"Ready": "False", "Reconciling": "True"}
    return stamped(statuses, reason, message, generation=generation, now=now, before=before)


def stamped(
    statuses: Mapping[str, str],
    reason: str,
    message: str,
    *,
    generation: int,
    now: datetime,
    before: Iterable[Condition],
) -> list[Condition]:
    """Return conditions by type, all with one reason and sentence; a time moves only where a status changes."""
    old = {condition.type: condition for condition in before}
    return [
        Condition.model_validate(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "observedGeneration": generation,
                "lastTransitionTime": (
                    old[kind].last_transition_time if kind in old and old[kind].status == status else to_rfc3339(now)
                ),
            }
        )
        for kind, status in statuses.items()
    ]
