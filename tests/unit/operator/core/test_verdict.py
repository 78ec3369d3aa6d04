"""The status of a finished job has the verdict on its version."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.operator.core.plans import T0
from tests.unit.operator.samples import child, job_view, observed, pod, result_text, version_view
from trainyard_api.trainingjob import TrainingJobStatus, Verdict
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.objects import ModelVersionView, TrainingJobView
from trainyard_operator.core.plan import NOTHING, Plan
from trainyard_operator.core.training.planner import plan

NAME = "diabetes-v1"
END = {"phase": "Succeeded", "observedGeneration": 1, "completionTime": T0}
PENDING = {"phase": "Pending", "reason": "Pending", "message": "its gates are not judged yet"}
ACCEPTED = {"phase": "Validated", "reason": "Validated", "message": "the version has no gates", "time": T0}
REFUSED = {"phase": "Rejected", "reason": "GatesNotMet", "message": "mae 9: required <= 2", "time": T0}


def finished(verdict: dict[str, Any] | None) -> TrainingJobView:
    return job_view({**END, "modelVersion": {"name": NAME, "version": 1}, **({"verdict": verdict} if verdict else {})})


def judged(phase: str, reason: str, message: str, **status: Any) -> ModelVersionView:
    ready = {"type": "Ready", "status": "True", "reason": reason, "message": message, "lastTransitionTime": T0}
    return version_view(status={"phase": phase, "conditions": [ready], "judgedTime": T0, **status})


REJECTED = judged("Rejected", "GatesNotMet", "mae 9: required <= 2")
VALIDATED = judged("Validated", "Validated", "the version has no gates")
OVERRULED = judged("Validated", "Overruled", "validated by ann", overruled={"by": "ann", "reason": "x", "time": T0})
QUARANTINED = judged("Quarantined", "Quarantined", "its pods were not ready", quarantinedBy="shop")


def after(verdict: dict[str, Any] | None, made: ModelVersionView | None, **more: Any) -> tuple[Verdict | None, Plan]:
    """Return the stored verdict after one plan, and that plan. The next plan must be empty."""
    job = finished(verdict)
    step = plan(observed(job, made=made, **more))
    if step.status is None:
        return job.status.verdict, step
    assert isinstance(step.status, TrainingJobStatus)
    assert plan(observed(replace(job, status=step.status), made=made, **more)) == NOTHING
    assert step.status.model_copy(update={"verdict": None}) == job.status.model_copy(update={"verdict": None})
    return step.status.verdict, step


@pytest.mark.parametrize(
    ("before", "made", "expected", "events"),
    [
        (PENDING, REJECTED, REFUSED, ["VersionRejected"]),
        (PENDING, VALIDATED, ACCEPTED, []),
        (None, VALIDATED, ACCEPTED, []),
        (None, version_view(), PENDING, []),
        (REFUSED, OVERRULED, {**ACCEPTED, "reason": "Overruled", "message": "validated by ann"}, []),
        (PENDING, QUARANTINED, {**ACCEPTED, "reason": "Quarantined", "message": "its pods were not ready"}, []),
    ],
)
def test_the_verdict_follows_the_version(
    before: dict[str, Any] | None, made: ModelVersionView, expected: dict[str, Any], events: list[str]
) -> None:
    verdict, step = after(before, made)
    assert verdict is not None
    assert verdict.wire() == expected
    assert [event.reason for event in step.events] == events


@pytest.mark.parametrize(
    ("before", "made"),
    [
        (PENDING, version_view()),
        (ACCEPTED, QUARANTINED),
        (ACCEPTED, VALIDATED),
        (REFUSED, REJECTED),
        (ACCEPTED, None),
        (REFUSED, None),
        (REFUSED, version_view(job_uid="uid-of-another")),
        (ACCEPTED, replace(VALIDATED, unreadable="status.phase")),
    ],
)
def test_an_unchanged_verdict_is_not_written(before: dict[str, Any], made: ModelVersionView | None) -> None:
    assert after(before, made)[1] == NOTHING


def test_a_version_deleted_before_it_is_judged_gives_an_unknown_verdict() -> None:
    assert plan(observed(finished(PENDING))).needs == (Need(Fact.VERSION, NAME),)
    verdict, _ = after(PENDING, None, versions={NAME: None})
    assert verdict is not None
    assert (verdict.phase, verdict.reason) == ("Unknown", "VersionDeleted")
    assert after(PENDING, None, versions={NAME: VALIDATED})[0] == Verdict.model_validate(ACCEPTED)


def test_a_job_without_a_version_has_no_verdict() -> None:
    assert plan(observed(job_view(END))) == NOTHING


def test_the_completion_has_the_current_verdict() -> None:
    ended = child(complete=True)
    pods = {ended.name: (pod(0, termination_message=result_text(objectiveMetric="mae", objectiveValue="1.5")),)}
    for made, phase, events in (
        (version_view(), "Pending", []),
        (VALIDATED, "Validated", []),
        (REJECTED, "Rejected", ["VersionRejected"]),
    ):
        step = plan(observed(job_view(), ended, pods=pods, versions={NAME: made}))
        assert isinstance(step.status, TrainingJobStatus)
        assert step.status.verdict is not None
        assert step.status.verdict.phase == phase
        assert (step.status.objective_metric, step.status.objective_value) == ("mae", "1.5")
        assert [event.reason for event in step.events if "Version" in event.reason] == events
