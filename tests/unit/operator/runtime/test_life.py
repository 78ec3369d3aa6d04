"""The life cycle of a TrainingJob on the in-memory cluster: its transitions, and what users do meanwhile."""

from typing import Any

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import events_of
from tests.unit.operator.operators import FaultyWrite
from tests.unit.operator.samples import failure_text, result_text
from tests.unit.operator.training import World, reason_of
from trainyard_api.wire import ReportedStatus
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.errors import ForbiddenError, UnavailableError
from trainyard_operator.kube.port import JOBS, MODEL_VERSIONS, TRAINING_JOBS


@pytest.fixture
def world() -> World:
    return World()


def test_a_job_starts_runs_and_succeeds(world: World) -> None:
    assert world.settle()["phase"] == "Starting"
    world.cluster.start_pod("a-1")
    assert world.settle()["phase"] == "Running"
    status = world.end(1, 0, result_text())
    assert status["phase"] == "Succeeded"
    assert status["modelVersion"] == {"name": "a-v1", "version": 1}
    assert status["result"]["metrics"] == [{"name": "mae", "value": "1.5"}, {"name": "r2", "value": "0.4"}]
    assert status["trainerStatus"]["progressPercentage"] == 100
    assert list(world.cluster.of(MODEL_VERSIONS)) == ["a-v1"]
    assert sorted(events_of(world.cluster)) == ["AttemptStarted", "Succeeded"]


def test_a_job_runs_after_at_most_four_writes(world: World) -> None:
    world.settle()
    world.cluster.start_pod("a-1")
    world.settle()
    assert world.cluster.writes == [
        ("create", "jobs"),
        ("create", "events"),
        ("patch", "trainingjobs"),
        ("patch", "trainingjobs"),
    ]


def test_nothing_is_written_without_a_change(world: World) -> None:
    world.end_of_life = world.settle()  # type: ignore[attr-defined]
    before = len(world.cluster.writes)
    for _ in range(3):
        world.operator.restart()
        world.later(1000)
    assert world.cluster.writes[before:] == []


def test_a_retry_waits_for_the_pause_and_resets_the_progress(world: World) -> None:
    world.settle()
    world.cluster.start_pod("a-1")
    world.operator.reports.offer(
        Key(NAMESPACE, "a"),
        world.cluster.of(TRAINING_JOBS)["a"]["metadata"]["uid"],
        1,
        ReportedStatus(progress_percentage=60),
        after=0,
        now=world.cluster.now,
    )
    assert world.settle()["trainerStatus"]["progressPercentage"] == 60
    status = world.end(1, 69, failure_text("UpstreamUnavailable", "no S3"))
    assert (status["phase"], reason_of(status)) == ("Retrying", "UpstreamUnavailable")
    assert world.jobs == ["a-1"]
    world.later(9)
    assert world.jobs == ["a-1"]
    status = world.later(2)
    assert world.jobs == ["a-1", "a-2"]
    assert status["phase"] == "Starting"
    assert "trainerStatus" not in status
    assert [attempt["number"] for attempt in status["attempts"]] == [1, 2]
    assert world.end(2, 0, result_text())["phase"] == "Succeeded"


@pytest.mark.parametrize("outcome", ["failed", "retried", "cancelled"])
def test_a_finished_attempt_has_no_estimate(world: World, outcome: str) -> None:
    world.settle()
    uid = world.cluster.of(TRAINING_JOBS)["a"]["metadata"]["uid"]
    report = ReportedStatus(progress_percentage=60, estimated_remaining_seconds=11)
    world.operator.reports.offer(Key(NAMESPACE, "a"), uid, 1, report, after=0, now=world.cluster.now)
    assert world.settle()["trainerStatus"]["estimatedRemainingSeconds"] == 11
    if outcome == "cancelled":
        world.cluster.edit("a", cancel=True)
        world.settle()
        world.cluster.collect()
        status = world.later()
    else:
        status = world.end(1, 65 if outcome == "failed" else 1)
    assert status["phase"] == {"failed": "Failed", "retried": "Retrying", "cancelled": "Cancelled"}[outcome]
    assert status["trainerStatus"]["progressPercentage"] == 60
    assert "estimatedRemainingSeconds" not in status["trainerStatus"]


def test_a_second_attempt_that_runs_at_once_gets_its_event_and_drops_old_progress(world: World) -> None:
    world.settle()
    world.operator.reports.offer(
        Key(NAMESPACE, "a"),
        world.cluster.of(TRAINING_JOBS)["a"]["metadata"]["uid"],
        1,
        ReportedStatus(progress_percentage=60),
        after=0,
        now=world.cluster.now,
    )
    world.settle()
    world.end(1, 1)
    world.cluster.tick(400)
    world.operator.reconcile("a")
    world.cluster.start_pod("a-2")
    status = world.settle()
    assert status["phase"] == "Running"
    assert "trainerStatus" not in status
    assert events_of(world.cluster).count("AttemptStarted") == 2


def test_a_job_fails_after_its_last_attempt(world: World) -> None:
    world.settle()
    for attempt in (1, 2, 3):
        status = world.end(attempt, 1)
        if attempt < 3:
            assert status["phase"] == "Retrying"
            world.later()
    assert (status["phase"], reason_of(status)) == ("Failed", "Crashed")
    assert world.jobs == ["a-1", "a-2", "a-3"]


@pytest.mark.parametrize("code", [64, 65, 66, 77, 78])
def test_final_exit_codes_are_not_retried(world: World, code: int) -> None:
    world.settle()
    status = world.end(1, code, failure_text("", "column 'price' is missing in s3://b/x.csv"))
    assert status["phase"] == "Failed"
    assert status["conditions"][0]["message"] == "column 'price' is missing in s3://b/x.csv"
    world.later()
    assert world.jobs == ["a-1"]


def test_out_of_memory_raises_the_memory(world: World) -> None:
    world.settle()
    world.end(1, 137, "", "OOMKilled")
    world.later()
    resources = world.cluster.of(JOBS)["a-2"]["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert (resources["requests"]["memory"], resources["limits"]["memory"]) == ("1536Mi", "3072Mi")


def test_cancel_waits_for_the_pods(world: World) -> None:
    world.settle()
    world.cluster.start_pod("a-1")
    world.settle()
    world.cluster.edit("a", cancel=True)
    assert world.settle()["phase"] == "Running"
    assert "deletionTimestamp" in world.cluster.of(JOBS)["a-1"]["metadata"]
    world.cluster.collect()
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Cancelled", "Cancelled")
    assert status["attempts"][0]["reason"] == "Cancelled"
    assert world.jobs == []


def test_a_deletion_is_requested_once(world: World) -> None:
    world.settle()
    world.cluster.edit("a", cancel=True)
    world.operator.deliver("TrainingJob")
    outcome = world.operator.reconcile("a")
    assert (outcome.again, outcome.after) == (False, 5.0)  # type: ignore[union-attr]


def test_a_forbidden_deletion_is_an_error_of_the_reconcile(world: World) -> None:
    world.settle()
    world.cluster.edit("a", cancel=True)
    world.operator.deliver("TrainingJob")
    world.cluster.hook = FaultyWrite(1, after=False, error=ForbiddenError(403, "Forbidden", "RBAC"))
    assert isinstance(world.operator.reconcile("a"), ForbiddenError)


def test_a_complete_job_succeeds_even_if_it_is_cancelled(world: World) -> None:
    world.settle()
    world.cluster.edit("a", cancel=True)
    assert world.end(1, 0, result_text())["phase"] == "Succeeded"


def test_cancelling_after_a_lost_response_leaves_no_job(world: World) -> None:
    world.operator.deliver_all()
    world.cluster.hook = FaultyWrite(1, after=True, error=UnavailableError(0, "Timeout", "no answer"))
    world.operator.reconcile("a")
    world.cluster.edit("a", cancel=True)
    world.operator.deliver("TrainingJob")
    world.operator.reconcile("a")
    assert world.cluster.status("a").get("phase") != "Cancelled", (
        "its capacity would go to another job while its Job exists"
    )
    world.settle()
    world.cluster.collect()
    assert world.jobs == []
    assert world.settle()["phase"] == "Cancelled"


@pytest.mark.parametrize(("field", "value"), [("shards", 2)])
def test_unsupported_fields_are_refused_before_anything_runs(field: str, value: Any) -> None:
    world = World(**{field: value})
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Failed", "InvalidSpec")
    assert f"spec.{field}" in status["conditions"][0]["message"]
    assert world.jobs == []


def test_an_edit_does_not_stop_a_running_job(world: World) -> None:
    world.settle()
    world.cluster.edit("a", priority="Low")
    assert world.settle()["phase"] == "Starting"
    assert world.end(1, 0, result_text())["phase"] == "Succeeded"


def test_an_invalid_spec_stops_the_running_job_before_it_fails(world: World) -> None:
    """This can only happen if somebody disabled the schema."""
    world.settle()
    world.cluster.edit("a", framework="Nonsense")
    world.settle()
    assert "deletionTimestamp" in world.cluster.of(JOBS)["a-1"]["metadata"]
    world.cluster.collect()
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Failed", "InvalidSpec")
    assert "spec.framework" in status["conditions"][0]["message"]


def test_a_terminal_status_never_changes(world: World) -> None:
    world.settle()
    world.end(1, 0, result_text())
    status_at_end = {**world.cluster.status("a"), "observedGeneration": 2}
    world.cluster.edit("a", priority="High")
    for job in world.jobs:
        world.cluster.remove(JOBS, NAMESPACE, job)
    assert world.later() == status_at_end
