"""A TrainingJob without a status finds its ModelVersion: it does not train again, if it is the job that made it."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.operator.core.versions import judged, spec, version
from tests.unit.operator.samples import SPEC, child, job_view, observed
from trainyard_api.trainingjob import TrainingJobStatus
from trainyard_operator.core.admission.decision import Waiting
from trainyard_operator.core.objects import ModelVersionView, TrainingJobView
from trainyard_operator.core.training.planner import plan
from trainyard_operator.core.training.saved import job_digest

JOB = job_view(name="j", spec={**SPEC, "modelName": "m"})
ATTEMPT = {"number": 1, "jobName": "j-1"}


def made(number: int = 1, by: TrainingJobView | None = JOB, name: str = "j", **more: Any) -> ModelVersionView:
    """Return a version whose job is gone. Without ``by``, the version does not name the spec digest of its job."""
    ref = {"name": name, "uid": "uid-before"} | ({} if by is None else {"specDigest": job_digest(by)})
    fields = spec(number, objective={"metric": "mae"}, objectiveValue="1.5", trainingJob=ref)
    return judged(number, fields=fields, **more)


def status_of(job: TrainingJobView, *earlier: ModelVersionView, **more: Any) -> TrainingJobStatus:
    found = plan(observed(job, earlier=earlier, **more)).status
    assert isinstance(found, TrainingJobStatus)
    return found


@pytest.mark.parametrize("by", [JOB, None], ids=["of this spec", "imported"])
def test_a_job_whose_version_exists_succeeds_without_training(by: TrainingJobView | None) -> None:
    status = status_of(JOB, made(by=by))
    assert status.phase == "Succeeded"
    assert status.model_version is not None
    assert (status.model_version.name, status.model_version.version) == ("m-v1", 1)
    assert (status.objective_metric, status.objective_value) == ("mae", "1.5")
    assert status.verdict is not None
    assert status.verdict.phase == "Validated"
    assert status.result is not None
    assert status.result.artifact is not None
    ready = next(each for each in status.conditions or () if each.type == "Ready")
    assert ready.reason == "VersionExists"
    assert "give the TrainingJob another name" in ready.message


def test_the_newest_version_counts() -> None:
    status = status_of(JOB, made(1), made(3), made(2))
    assert status.model_version is not None
    assert status.model_version.version == 3


def test_an_unjudged_version_gives_a_pending_verdict() -> None:
    unjudged = version(1, fields=made().spec)
    status = status_of(JOB, unjudged)
    assert status.verdict is not None
    assert status.verdict.phase == "Pending"


def test_a_rejected_version_is_reported() -> None:
    refused = judged(1, "Rejected", fields=made().spec)
    found = plan(observed(JOB, earlier=(refused,)))
    assert [event.reason for event in found.events if event.type == "Warning"] == ["VersionRejected"]


@pytest.mark.parametrize("phase", ["Pending", "Queued"])
def test_a_waiting_job_whose_version_exists_succeeds(phase: str) -> None:
    job = job_view(name="j", spec=JOB.spec, status={"observedGeneration": 1, "phase": phase})
    admission = Waiting(1, "ModelLocked", "m")
    assert status_of(job, made(), admission=admission).phase == "Succeeded"


OTHER = job_view(name="j", spec={**SPEC, "modelName": "m", "parameters": {"num_leaves": 3}})


@pytest.mark.parametrize(
    ("job", "earlier"),
    [
        (OTHER, (made(),)),
        (JOB, (made(deleting=True),)),
        (JOB, (made(name="another"),)),
        (JOB, (judged(1, fields={**made().spec, "artifact": {}}),)),
        (JOB, (judged(1, fields=made().spec, name="somebody-elses"),)),
        (job_view(name="j", spec={**SPEC, "modelName": "m", "mode": "Prepare"}), (made(by=None),)),
    ],
    ids=["another spec", "deleted", "another job", "unreadable", "misnamed", "no training"],
)
def test_versions_of_other_jobs_do_not_count(job: TrainingJobView, earlier: tuple[ModelVersionView, ...]) -> None:
    (action,) = plan(observed(job, earlier=earlier)).actions
    assert action.body["metadata"]["name"] == "j-1"


def test_a_started_attempt_continues() -> None:
    begun = job_view(
        name="j", spec=JOB.spec, status={"observedGeneration": 1, "phase": "Running", "attempts": [ATTEMPT]}
    )
    own = replace(child(1), name="j-1")
    for job, children in ((begun, (own,)), (JOB, (own,)), (begun, ())):
        found = plan(observed(job, *children, earlier=(made(),)))
        assert found.status is None or found.status.model_dump()["phase"] != "Succeeded"
