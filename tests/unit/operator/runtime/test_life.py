"""Whole lives of a TrainingJob on the in-memory cluster: the transitions of the design, and what users do meanwhile."""

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


def test_from_nothing_to_succeeded(world: World) -> None:
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


def test_at_most_four_writes_until_it_runs(world: World) -> None:
    world.settle()
    world.cluster.start_pod("a-1")
    world.settle()
    assert world.cluster.writes == [
        ("create", "jobs"),
        ("create", "events"),
        ("patch", "trainingjobs"),
        ("patch", "trainingjobs"),
    ]


def test_nothing_is_written_at_the_fixed_point(world: World) -> None:
    world.end_of_life = world.settle()  # type: ignore[attr-defined]
    before = len(world.cluster.writes)
    for _ in range(3):
        world.operator.restart()
        world.later(1000)
    assert world.cluster.writes[before:] == []


def test_retry_waits_for_the_back_off_and_begins_afresh(world: World) -> None:
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


@pytest.mark.parametrize("end", ["failed", "retried", "cancelled"])
def test_nothing_is_estimated_of_an_attempt_that_is_over(world: World, end: str) -> None:
    world.settle()
    uid = world.cluster.of(TRAINING_JOBS)["a"]["metadata"]["uid"]
    told = ReportedStatus(progress_percentage=60, estimated_remaining_seconds=11)
    world.operator.reports.offer(Key(NAMESPACE, "a"), uid, 1, told, after=0, now=world.cluster.now)
    assert world.settle()["trainerStatus"]["estimatedRemainingSeconds"] == 11
    if end == "cancelled":
        world.cluster.edit("a", cancel=True)
        world.settle()
        world.cluster.collect()
        status = world.later()
    else:
        status = world.end(1, 65 if end == "failed" else 1)
    assert status["phase"] == {"failed": "Failed", "retried": "Retrying", "cancelled": "Cancelled"}[end]
    assert status["trainerStatus"]["progressPercentage"] == 60
    assert "estimatedRemainingSeconds" not in status["trainerStatus"]


def test_an_attempt_that_runs_at_once_still_tells_its_start_and_drops_old_progress(world: World) -> None:
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


def test_attempts_run_out(world: World) -> None:
    world.settle()
    for attempt in (1, 2, 3):
        status = world.end(attempt, 1)
        if attempt < 3:
            assert status["phase"] == "Retrying"
            world.later()
    assert (status["phase"], reason_of(status)) == ("Failed", "Crashed")
    assert world.jobs == ["a-1", "a-2", "a-3"]


@pytest.mark.parametrize("code", [64, 65, 66, 77, 78])
def test_no_retry_where_retry_cannot_help(world: World, code: int) -> None:
    world.settle()
    status = world.end(1, code, failure_text("", "column 'price' is missing in s3://b/x.csv"))
    assert status["phase"] == "Failed"
    assert status["conditions"][0]["message"] == "column 'price' is missing in s3://b/x.csv"
    world.later()
    assert world.jobs == ["a-1"]


def test_out_of_memory_grows(world: World) -> None:
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


def test_a_deletion_is_asked_for_once(world: World) -> None:
    world.settle()
    world.cluster.edit("a", cancel=True)
    world.operator.deliver("TrainingJob")
    outcome = world.operator.reconcile("a")
    assert (outcome.again, outcome.after) == (False, 5.0)  # type: ignore[union-attr]


def test_a_deletion_that_is_forbidden_is_an_error_of_the_turn(world: World) -> None:
    world.settle()
    world.cluster.edit("a", cancel=True)
    world.operator.deliver("TrainingJob")
    world.cluster.hook = FaultyWrite(1, after=False, error=ForbiddenError(403, "Forbidden", "RBAC"))
    assert isinstance(world.operator.reconcile("a"), ForbiddenError)


def test_cancel_after_completion_comes_too_late(world: World) -> None:
    world.settle()
    world.cluster.edit("a", cancel=True)
    assert world.end(1, 0, result_text())["phase"] == "Succeeded"


def test_cancel_before_the_lost_answer_of_a_creation_leaves_no_job(world: World) -> None:
    world.operator.deliver_all()
    world.cluster.hook = FaultyWrite(1, after=True, error=UnavailableError(0, "Timeout", "no answer"))
    world.operator.reconcile("a")
    world.cluster.edit("a", cancel=True)
    world.operator.deliver("TrainingJob")
    world.operator.reconcile("a")
    assert world.cluster.status("a").get("phase") != "Cancelled", "its place would go to another while its Job lives"
    world.settle()
    world.cluster.collect()
    assert world.jobs == []
    assert world.settle()["phase"] == "Cancelled"


@pytest.mark.parametrize(("field", "value"), [("shards", 2)])
def test_what_this_release_cannot_do_is_refused_before_anything_runs(field: str, value: Any) -> None:
    world = World(**{field: value})
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Failed", "InvalidSpec")
    assert f"spec.{field}" in status["conditions"][0]["message"]
    assert world.jobs == []


def test_an_edit_does_not_kill_what_runs(world: World) -> None:
    world.settle()
    world.cluster.edit("a", priority="Low")
    assert world.settle()["phase"] == "Starting"
    assert world.end(1, 0, result_text())["phase"] == "Succeeded"


def test_a_broken_spec_stops_what_runs_before_it_fails(world: World) -> None:
    """Only where somebody switched the schema off."""
    world.settle()
    world.cluster.edit("a", framework="Nonsense")
    world.settle()
    assert "deletionTimestamp" in world.cluster.of(JOBS)["a-1"]["metadata"]
    world.cluster.collect()
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Failed", "InvalidSpec")
    assert "spec.framework" in status["conditions"][0]["message"]


def test_terminal_is_sticky(world: World) -> None:
    world.settle()
    world.end(1, 0, result_text())
    end = {**world.cluster.status("a"), "observedGeneration": 2}
    world.cluster.edit("a", priority="High")
    for job in world.jobs:
        world.cluster.remove(JOBS, NAMESPACE, job)
    assert world.later() == end
