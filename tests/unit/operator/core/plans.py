"""Statuses that plans of a TrainingJob start from, and what tests ask of a plan."""

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
"""Looked for and not there: what no watch has told of may be the Job whose creation had no answer."""
STARTING = {"phase": "Starting", "attempts": [OPEN]}
SUSPENDED_ENTRY = {**OPEN, "reason": "Suspended", "start": T0, "end": T0}


def phase_of(answer: Plan) -> str | None:
    return answer.status.phase if answer.status is not None else None


def reason_of(answer: Plan) -> str:
    assert answer.status is not None
    return next(c.reason for c in answer.status.conditions or () if c.type == "Ready")


def at(seconds: float) -> str:
    return to_rfc3339(START + timedelta(seconds=seconds))


def conditions(phase: str, reason: str = "", message: str = "m") -> dict[str, Any]:
    """Return the part of a status that says since when a job is live."""
    ready = {"type": "Ready", "status": "False", "reason": reason or phase, "message": message}
    live = {**ready, "type": "Reconciling", "status": "True"}
    return {"phase": phase, "conditions": [{**each, "lastTransitionTime": T0} for each in (ready, live)]}


def stored(job: TrainingJobView, answer: Plan) -> TrainingJobView:
    """Return the job once the API server took the answer's status."""
    assert answer.status is not None
    return replace(job, status=answer.status)


def message_of(answer: Plan) -> str:
    assert answer.status is not None
    return (answer.status.conditions or [])[0].message


def created(answer: Plan) -> dict[str, Any]:
    (action,) = answer.actions
    assert isinstance(action, Create)
    return action.body
