"""The planner makes each change of phase that docs/trainingjob.md lists. The state machines check for others."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.operator.core.plans import ENDED, OPEN, VERSION
from tests.unit.operator.runtime.job_page import NONE, transitions
from tests.unit.operator.samples import SPEC, child, job_view, observed, pod, result_text
from trainyard_operator.core.admission.decision import Waiting
from trainyard_operator.core.facts import Refusal
from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.training.planner import plan
from trainyard_operator.core.training.state import TrainingState

LATE = 10_000.0
StateOf = Callable[[TrainingJobView], TrainingState]


def unschedulable(job: TrainingJobView) -> TrainingState:
    """A pod is unschedulable, and another job waits for its capacity."""
    pods = {"diabetes-1": (pod(phase="Pending", waiting="Unschedulable: no node"),)}
    return observed(job, child(), after=LATE, pods=pods, wanted=True)


def failing(job: TrainingJobView, code: int) -> TrainingState:
    return observed(job, child(failed=True), pods={"diabetes-1": (pod(code),)})


STATES: dict[str, tuple[dict[str, Any], tuple[StateOf, ...]]] = {
    "Pending": (
        {},
        (
            lambda job: observed(job, after=LATE, refused=Refusal("exceeded quota", permanent=False)),
            lambda job: observed(job, after=LATE),
        ),
    ),
    "Queued": ({}, (lambda job: observed(job, after=LATE, admission=Waiting(1, "ModelLocked", "m")), unschedulable)),
    "Starting": ({}, (lambda job: observed(job, child()), lambda job: observed(job, child(2)))),
    "Running": ({}, (lambda job: observed(job, child(ready=1)), lambda job: observed(job, child(2, ready=1)))),
    "Retrying": ({}, (lambda job: failing(job, 1),)),
    "Succeeded": (
        {},
        tuple(
            lambda job, number=number: observed(
                job,
                child(number, complete=True),
                pods={f"diabetes-{number}": (pod(0, termination_message=result_text()),)},
                versions={"diabetes-v1": VERSION},
            )
            for number in (1, 2)
        ),
    ),
    "Failed": (
        {"pendingDeadlineSeconds": 60, "retry": {"maxAttempts": 1}, "framework": "Nonsense"},
        (lambda job: observed(job, after=LATE, missing=frozenset({"diabetes-1", "diabetes-2"})),),
    ),
    "Suspended": (
        {"suspend": True},
        (lambda job: observed(job, missing=frozenset({"diabetes-1", "diabetes-2"})),),
    ),
    "Cancelled": ({"cancel": True}, (lambda job: observed(job, missing=frozenset({"diabetes-1", "diabetes-2"})),)),
}
"""How each phase is reached: fields of the spec, and functions from a job to the state that the planner sees."""

ATTEMPTS: dict[str, list[dict[str, Any]]] = {"Starting": [OPEN], "Running": [OPEN], "Retrying": [ENDED]}


@pytest.mark.parametrize(("before", "after"), sorted(transitions()))
def test_the_planner_makes_each_documented_change_of_phase(before: str, after: str) -> None:
    fields, states_of = STATES[after]
    status = {"phase": before, "attempts": ATTEMPTS.get(before, [])} if before != NONE else {}
    steps = [plan(state_of(job_view(status, spec={**SPEC, **fields}))) for state_of in states_of]
    assert after in {step.status.phase for step in steps if step.status is not None}  # type: ignore[attr-defined]
