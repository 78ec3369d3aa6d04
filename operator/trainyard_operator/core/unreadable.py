"""An object whose stored status this release cannot read: it is told of, and left exactly as it is.

The status is where the operator remembers what it did. To decide without it would train, switch or delete again; to
write one would destroy what the release that can read it needs.
"""

from typing import Final

from trainyard_api.base import ApiModel
from trainyard_operator.core.objects import ObjectView
from trainyard_operator.core.plan import EventNote, Plan

REASON: Final = "StatusUnreadable"

REPEAT_SECONDS: Final = 3600.0
"""Events are forgotten after an hour, by default; the trouble is not over then."""


def hands_off(view: ObjectView[ApiModel]) -> Plan:
    """Return the plan for such an object: one Event, and nothing else."""
    message = (
        f"{view.unreadable}: another release wrote this status, and this one decides nothing about the object; "
        "let the operator of that release, or a newer one, run again, or correct it: a field of the status with "
        "kubectl edit --subresource=status, an annotation with kubectl annotate"
    )
    return Plan(events=(EventNote("Warning", REASON, message, view.unreadable),), requeue_after=REPEAT_SECONDS)
