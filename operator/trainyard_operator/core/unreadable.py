"""Objects whose stored status this release cannot read. They are reported and left unchanged.

The status records what the operator did. A decision without it would train, switch or delete again. A new status would
destroy what the release that can read it needs.
"""

from typing import Final

from trainyard_api.base import ApiModel
from trainyard_operator.core.objects import ObjectView
from trainyard_operator.core.plan import EventNote, Plan

REASON: Final = "StatusUnreadable"

REPEAT_SECONDS: Final = 3600.0
"""Interval between Events. By default, Events expire after an hour."""


def leave_unchanged(view: ObjectView[ApiModel]) -> Plan:
    """Return the plan for such an object: one Event, and nothing else."""
    message = (
        f"{view.unreadable}: this release cannot read what another release wrote, so it does not change the object; "
        "run the operator of that release or a newer one, or correct the value: a field of the status with "
        "kubectl edit --subresource=status, an annotation with kubectl annotate"
    )
    return Plan(events=(EventNote("Warning", REASON, message, view.unreadable),), requeue_after=REPEAT_SECONDS)
