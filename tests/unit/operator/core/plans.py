"""Sample statuses of a TrainingJob for planner tests, and functions that read a plan."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.unit.operator.api_server import START
from tests.unit.operator.samples import version_view
from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.plan import Create, Plan
from trainyard_operator.core.times import to_rfc3339

T0 = to_rfc3339(START)
OPEN = {"number": 1, "jobName": "diabetes-1"}
ENDED = {**OPEN, "reason": "Crashed", "exitCode": 1, "start": T0, "end": T0}
RUNNING = {"phase": "Running", "attempts": [{**OPEN, "start": T0}], "startTime": T0}
RETRYING = {"phase": "Retrying", "attempts": [ENDED]}
VERSION = version_view()
GONE = frozenset({"diabetes-1"})
NEXT_GONE = frozenset({"diabetes-2"})
"""Jobs that were read and do not exist. A watch cannot show that, because the response to a creation can be lost."""
STARTING = {"phase": "Starting", "attempts": [OPEN]}
SUSPENDED_ENTRY = {**OPEN, "reason": "Suspended", "start": T0, "end": T0}


def phase_of(step: Plan) -> str | None:
    return step.status.phase if step.status is not None else None


def reason_of(step: Plan) -> str:
    assert step.status is not None
    return next(c.reason for c in step.status.conditions or () if c.type == "Ready")


def at(seconds: float) -> str:
    return to_rfc3339(START + timedelta(seconds=seconds))


def conditions(phase: str, reason: str = "", message: str = "m") -> dict[str, Any]:
    """Return the phase and the conditions of a TrainingJob that is in progress."""
    ready = {"type": "Ready", "status": "False", "reason": reason or phase, "message": message}
    live = {**ready, "type": "Reconciling", "status": "True"}
    return {"phase": phase, "conditions": [{**each, "lastTransitionTime": T0} for each in (ready, live)]}


def stored(job: TrainingJobView, step: Plan) -> TrainingJobView:
    """Return the job with the status that the plan writes."""
    assert step.status is not None
    return replace(job, status=step.status)


def message_of(step: Plan) -> str:
    assert step.status is not None
    return (step.status.conditions or [])[0].message


def created(step: Plan) -> dict[str, Any]:
    (action,) = step.actions
    assert isinstance(action, Create)
    return action.body
