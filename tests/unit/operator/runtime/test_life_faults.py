"""Faults in the life cycle of a TrainingJob: lost children, foreign objects, quotas, failed writes."""

from typing import Any

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.operators import FaultyWrite, Killed, StepOperator
from tests.unit.operator.samples import SPEC, result_text
from tests.unit.operator.training import World, reason_of
from trainyard_operator.kinds.training_job import TRAINING_JOB
from trainyard_operator.kube.errors import ConflictError, ThrottledError, UnavailableError
from trainyard_operator.kube.port import EVENTS, JOBS, MODEL_VERSIONS, PODS, TRAINING_JOBS


@pytest.fixture
def world() -> World:
    return World()


def test_a_deleted_child_counts_as_an_attempt(world: World) -> None:
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


def test_deleting_the_job_of_a_finished_attempt_changes_nothing(world: World) -> None:
    world.settle()
    world.end(1, 1)
    world.later()
    world.end(2, 1)
    world.cluster.remove(JOBS, NAMESPACE, "a-2")
    world.later()
    assert world.jobs == ["a-1", "a-3"]


def test_an_unobserved_job_does_not_count_as_deleted(world: World) -> None:
    """Another replica observes the status of an attempt before its Job."""
    other = StepOperator(world.cluster)
    world.settle()
    other.deliver("TrainingJob")
    other.reconcile("a")
    assert world.cluster.status("a")["phase"] == "Starting"
    assert "ChildDeleted" not in str(world.cluster.status("a"))


def test_a_completed_job_without_a_result_fails(world: World) -> None:
    world.settle()
    status = world.end(1, 0, "")
    assert (status["phase"], reason_of(status)) == ("Failed", "ResultMissing")


def test_a_completed_job_whose_pod_is_gone_is_retried(world: World) -> None:
    """The operator is stopped while the training completes, and the node is removed before it runs again."""
    world.settle()
    world.cluster.finish_pod("a-1", 0, result_text())
    world.cluster.remove(PODS, NAMESPACE, "a-1-pod")
    world.operator.restart()
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Retrying", "ResultMissing")
    world.later()
    status = world.end(2, 0, result_text())
    assert (status["phase"], status["modelVersion"]["name"]) == ("Succeeded", "a-v1")
    assert [attempt["reason"] for attempt in status["attempts"]] == ["ResultMissing", "Completed"]


def test_a_version_of_another_job_is_a_conflict(world: World) -> None:
    world.settle()
    world.end(1, 0, result_text())
    world.cluster.submit("b", {**SPEC, "modelName": "a"})
    world.operator.settle()
    world.cluster.finish_pod("b-1", 0, result_text())
    world.operator.settle()
    status = world.cluster.status("b")
    assert (status["phase"], reason_of(status)) == ("Failed", "VersionConflict")


def test_a_job_starts_when_the_quota_allows_it(world: World) -> None:
    world.cluster.quota = 0
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Pending", "JobRefused")
    assert "exceeded quota" in status["conditions"][0]["message"]
    world.cluster.quota = None
    assert world.later(30)["phase"] == "Starting"


def test_a_foreign_job_with_the_same_name_is_left_alone(world: World) -> None:
    world.cluster.add(JOBS, NAMESPACE, {"metadata": {"name": "a-1"}, "spec": {}})
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Pending", "JobRefused")
    assert "Job a-1 already exists" in status["conditions"][0]["message"]
    world.cluster.remove(JOBS, NAMESPACE, "a-1")
    assert world.later(30)["phase"] == "Starting"


def test_a_job_recreated_under_the_same_name_is_another_job(world: World) -> None:
    world.settle()
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, "a")
    world.cluster.submit("a", SPEC)
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Queued", "ModelLocked")
    message = "waiting for TrainingJob a (deleted): only one TrainingJob of model a runs at a time"
    assert status["conditions"][0]["message"] == message
    world.cluster.collect()
    assert world.settle()["phase"] == "Starting"


def test_resync_finds_lost_deletions(world: World) -> None:
    world.settle()
    world.cluster.start_pod("a-1")
    world.settle()
    world.cluster.remove(JOBS, NAMESPACE, "a-1")
    world.operator.read["Job"] = len(world.cluster.log)  # the watch broke and lost the event
    world.operator.reconcile("a")
    assert world.cluster.status("a")["phase"] == "Running"
    world.operator.resync()
    assert world.settle()["phase"] == "Retrying"


def test_a_late_response_does_not_restore_a_deleted_object(world: World) -> None:
    world.settle()
    old = world.cluster.of(TRAINING_JOBS)["a"]
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, "a")
    world.operator.deliver_all()
    assert not world.operator.store.apply("TrainingJob", old)
    assert world.operator.store.get(TRAINING_JOB, NAMESPACE, "a") is None


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
def test_one_fault_at_any_write_does_not_change_the_result(path: Any, error: BaseException, *, after: bool) -> None:
    """``after``: the write took effect, but its response is lost."""
    calm = World()
    path(calm)
    for at in range(1, len(calm.cluster.writes) + 1):
        world = World()
        world.cluster.hook = FaultyWrite(at, after=after, error=error)
        path(world)
        assert world.cluster.status("a") == calm.cluster.status("a"), f"write {at}"
        assert world.jobs == calm.jobs
        assert list(world.cluster.of(MODEL_VERSIONS)) == ["a-v1"]
        events, expected = sorted(world.cluster.of(EVENTS)), sorted(calm.cluster.of(EVENTS))
        uid = {w.cluster.of(TRAINING_JOBS)["a"]["metadata"]["uid"] for w in (world, calm)}
        if isinstance(error, Killed) and len(uid) == 1:
            assert events == expected, f"write {at}"


def test_a_changed_deadline_detects_an_unobserved_deletion() -> None:
    world = World()
    world.settle()
    world.cluster.remove(JOBS, NAMESPACE, "a-1")
    world.operator.read["Job"] = len(world.cluster.log)  # the watch broke and lost the event
    world.cluster.edit("a", activeDeadlineSeconds=30)
    status = world.settle()
    assert status["attempts"][0]["reason"] == "ChildDeleted"
    assert status["phase"] == "Retrying"
