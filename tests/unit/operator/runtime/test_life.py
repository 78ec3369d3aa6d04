"""Whole lives of a TrainingJob on the in-memory cluster: the transitions of the design, and accidents on the way."""

from typing import Any

import pytest

from tests.unit.operator.cluster import NAMESPACE, Cluster, events_of
from tests.unit.operator.operators import FaultyWrite, Killed, StepOperator
from tests.unit.operator.samples import SPEC, failure_text, result_text
from trainyard_api.wire import ReportedStatus
from trainyard_operator.kube.errors import ConflictError, ForbiddenError, ThrottledError, UnavailableError
from trainyard_operator.kube.port import EVENTS, JOBS, MODEL_VERSIONS, TRAINING_JOBS
from trainyard_operator.runtime.keys import Key


class World:
    """One TrainingJob ``a``, and the operator that looks after it."""

    def __init__(self, **spec: Any) -> None:
        self.cluster = Cluster()
        self.operator = StepOperator(self.cluster)
        self.cluster.submit("a", {**SPEC, **spec})

    def settle(self) -> dict[str, Any]:
        self.operator.settle()
        return self.cluster.status("a")

    def later(self, seconds: float = 400) -> dict[str, Any]:
        self.cluster.tick(seconds)
        return self.settle()

    def end(self, attempt: int, exit_code: int, message: str = "", reason: str = "") -> dict[str, Any]:
        self.cluster.finish_pod(f"a-{attempt}", exit_code, message, reason)
        return self.settle()

    @property
    def jobs(self) -> list[str]:
        return sorted(self.cluster.of(JOBS))


@pytest.fixture
def world() -> World:
    return World()


def reason_of(status: dict[str, Any]) -> str:
    return str(next(c["reason"] for c in status["conditions"] if c["type"] == "Ready"))


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
    world.operator.turn("a")
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
    assert resources == {"requests": {"cpu": "1", "memory": "1536Mi"}, "limits": {"memory": "3072Mi"}}


def test_deleted_child_counts_as_an_attempt_although_an_older_job_is_still_there(world: World) -> None:
    world.settle()
    world.end(1, 1)
    world.later()
    world.cluster.remove(JOBS, NAMESPACE, "a-2")
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Retrying", "ChildDeleted")
    assert status["attempts"][0]["reason"] == "Crashed"
    world.later()
    assert world.jobs == ["a-1", "a-3"]
    assert world.end(3, 0, result_text())["phase"] == "Succeeded"


def test_deleted_job_of_an_ended_attempt_changes_nothing(world: World) -> None:
    world.settle()
    world.end(1, 1)
    world.later()
    world.end(2, 1)
    world.cluster.remove(JOBS, NAMESPACE, "a-2")
    world.later()
    assert world.jobs == ["a-1", "a-3"]


def test_a_job_that_the_watch_did_not_tell_of_is_no_deleted_job(world: World) -> None:
    """Another replica sees the status of an attempt before its Job."""
    other = StepOperator(world.cluster)
    world.settle()
    other.deliver("TrainingJob")
    other.turn("a")
    assert world.cluster.status("a")["phase"] == "Starting"
    assert "ChildDeleted" not in str(world.cluster.status("a"))


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
    outcome = world.operator.turn("a")
    assert (outcome.again, outcome.after) == (False, 5.0)  # type: ignore[union-attr]


def test_a_deletion_that_is_forbidden_is_an_error_of_the_turn(world: World) -> None:
    world.settle()
    world.cluster.edit("a", cancel=True)
    world.operator.deliver("TrainingJob")
    world.cluster.hook = FaultyWrite(1, after=False, error=ForbiddenError(403, "Forbidden", "RBAC"))
    assert isinstance(world.operator.turn("a"), ForbiddenError)


def test_cancel_after_completion_comes_too_late(world: World) -> None:
    world.settle()
    world.cluster.edit("a", cancel=True)
    assert world.end(1, 0, result_text())["phase"] == "Succeeded"


def test_cancel_before_the_lost_answer_of_a_creation_leaves_no_job(world: World) -> None:
    world.operator.deliver_all()
    world.cluster.hook = FaultyWrite(1, after=True, error=UnavailableError(0, "Timeout", "no answer"))
    world.operator.turn("a")
    world.cluster.edit("a", cancel=True)
    world.operator.deliver("TrainingJob")
    world.operator.turn("a")
    assert world.cluster.status("a").get("phase") != "Cancelled", "its place would go to another while its Job lives"
    world.settle()
    world.cluster.collect()
    assert world.jobs == []
    assert world.settle()["phase"] == "Cancelled"


@pytest.mark.parametrize(("field", "value"), [("shards", 2), ("queue", {"name": "q"})])
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


def test_result_missing(world: World) -> None:
    world.settle()
    status = world.end(1, 0, "")
    assert (status["phase"], reason_of(status)) == ("Failed", "ResultMissing")


def test_a_version_of_another_job_is_not_taken_over(world: World) -> None:
    world.settle()
    world.end(1, 0, result_text())
    world.cluster.submit("b", {**SPEC, "modelName": "a"})
    world.operator.settle()
    world.cluster.finish_pod("b-1", 0, result_text())
    world.operator.settle()
    status = world.cluster.status("b")
    assert (status["phase"], reason_of(status)) == ("Failed", "VersionConflict")


def test_quota_holds_a_job_back_and_lets_it_go(world: World) -> None:
    world.cluster.quota = 0
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Pending", "JobRefused")
    assert "exceeded quota" in status["conditions"][0]["message"]
    world.cluster.quota = None
    assert world.later(30)["phase"] == "Starting"


def test_a_foreign_job_in_our_place_is_left_alone(world: World) -> None:
    world.cluster.add(JOBS, NAMESPACE, {"metadata": {"name": "a-1"}, "spec": {}})
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Pending", "JobRefused")
    assert "Job a-1 exists" in status["conditions"][0]["message"]
    world.cluster.remove(JOBS, NAMESPACE, "a-1")
    assert world.later(30)["phase"] == "Starting"


def test_recreated_under_the_same_name_is_another_job(world: World) -> None:
    world.settle()
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, "a")
    world.cluster.submit("a", SPEC)
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Queued", "ModelLocked")
    message = "waiting for TrainingJob a (deleted): one TrainingJob of model a runs at a time"
    assert status["conditions"][0]["message"] == message
    world.cluster.collect()
    assert world.settle()["phase"] == "Starting"


def test_resync_finds_lost_deletions(world: World) -> None:
    world.settle()
    world.cluster.start_pod("a-1")
    world.settle()
    world.cluster.remove(JOBS, NAMESPACE, "a-1")
    world.operator.read["Job"] = len(world.cluster.log)  # the watch broke and lost it
    world.operator.turn("a")
    assert world.cluster.status("a")["phase"] == "Running"
    world.operator.resync()
    assert world.settle()["phase"] == "Retrying"


def test_a_late_answer_does_not_bring_the_deleted_back(world: World) -> None:
    world.settle()
    old = world.cluster.of(TRAINING_JOBS)["a"]
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, "a")
    world.operator.deliver_all()
    assert not world.operator.store.apply("TrainingJob", old)
    assert world.operator.store.training_job(Key(NAMESPACE, "a")) is None


def success(world: World) -> None:
    world.settle()
    world.cluster.start_pod("a-1")
    world.settle()
    world.end(1, 0, result_text())


def fail_then_retry(world: World) -> None:
    world.settle()
    world.end(1, 75)
    world.later()
    world.cluster.start_pod("a-2")
    world.settle()
    world.end(2, 0, result_text())


FAULTS: list[BaseException] = [
    Killed(),
    UnavailableError(500, "InternalError", "etcd"),
    ThrottledError(429, "TooManyRequests", "slow down", 1.0),
    ConflictError(409, "Conflict", "changed"),
]


@pytest.mark.parametrize("path", [success, fail_then_retry])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_one_fault_at_any_write_changes_nothing(path: Any, error: BaseException, *, after: bool) -> None:
    """``after`` is the lost answer: written, and the operator does not know."""
    calm = World()
    path(calm)
    for at in range(1, len(calm.cluster.writes) + 1):
        world = World()
        world.cluster.hook = FaultyWrite(at, after=after, error=error)
        path(world)
        assert world.cluster.status("a") == calm.cluster.status("a"), f"write {at}"
        assert world.jobs == calm.jobs
        assert list(world.cluster.of(MODEL_VERSIONS)) == ["a-v1"]
        told, wanted = sorted(world.cluster.of(EVENTS)), sorted(calm.cluster.of(EVENTS))
        uid = {w.cluster.of(TRAINING_JOBS)["a"]["metadata"]["uid"] for w in (world, calm)}
        if isinstance(error, Killed) and len(uid) == 1:
            assert told == wanted, f"write {at}"
