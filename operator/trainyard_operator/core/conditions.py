"""Conditions of each phase, for kstatus, ``kubectl wait`` and users.

``Reconciling`` and ``Stalled`` exist only while they are true, because kstatus checks for their absence. ``Ready``
always exists. At the end of a TrainingJob, exactly one of ``Complete`` and ``Failed`` exists.
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
    """Return the conditions, all with one reason and message. A transition time changes only if the status changes."""
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
