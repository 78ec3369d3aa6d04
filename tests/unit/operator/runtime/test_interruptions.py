"""Interrupted pods: the TrainingJob reports the cause, and waits for a new pod within its deadlines."""

from typing import Any

import pytest

from tests.unit.operator.cluster import events_of
from tests.unit.operator.samples import SPEC, result_text
from tests.unit.operator.training import World, reason_of
from trainyard_operator.kube.port import JOBS

GPU = {"limits": {"nvidia.com/gpu": 1}}
NO_GPU = "0/5 nodes are available: 5 Insufficient nvidia.com/gpu."


def message_of(status: dict[str, Any]) -> str:
    return str(next(c["message"] for c in status["conditions"] if c["type"] == "Ready"))


def running(**spec: Any) -> World:
    world = World(**spec)
    world.settle()
    world.cluster.start_pod("a-1")
    assert world.settle()["phase"] == "Running"
    return world


def test_an_eviction_is_reported_and_counted_and_the_replacement_runs() -> None:
    world = running()
    world.cluster.tick(3600)
    world.cluster.evict_pod("a-1")
    status = world.settle()
    assert (status["phase"], reason_of(status), status["evictions"]) == ("Starting", "Evicted", 1)
    assert status["interruptedTime"] == "2026-11-21T09:00:00Z"
    cause = "pod a-1-pod on node node-1 was evicted: The node was low on resource: memory"
    assert message_of(status).startswith(f"{cause}; waiting for a pod of Job a-1")
    assert "Evicted" in events_of(world.cluster)
    world.later(400)
    world.cluster.start_pod("a-1")
    status = world.settle()
    assert (status["phase"], status["evictions"], len(status["attempts"])) == ("Running", 1, 1)
    status = world.end(1, 0, result_text())
    assert (status["phase"], status["evictions"]) == ("Succeeded", 1)


def test_the_pending_deadline_holds_for_a_replacement() -> None:
    world = running(pendingDeadlineSeconds=600)
    world.cluster.tick(5 * 3600)
    world.cluster.evict_pod("a-1")
    world.cluster.hold_pod("a-1", NO_GPU)
    assert world.settle()["phase"] == "Starting"
    status = world.later(590)
    assert (status["phase"], NO_GPU in message_of(status)) == ("Starting", True), "the whole deadline starts again"
    world.later(20)
    world.cluster.collect()
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Failed", "PendingDeadlineExceeded")
    assert NO_GPU in message_of(status)


def test_a_replacement_without_an_accelerator_falls_back() -> None:
    wanted = {"resource": "nvidia.com/gpu", "count": 1, "fallback": "CPU", "fallbackAfterSeconds": 60}
    world = running(accelerator=wanted)
    world.cluster.tick(5 * 3600)
    world.cluster.evict_pod("a-1")
    world.cluster.hold_pod("a-1", NO_GPU)
    assert reason_of(world.settle()) == "Evicted"
    assert world.later(50)["phase"] == "Starting"
    assert world.jobs == ["a-1"]
    world.later(20)
    world.cluster.collect()
    world.later(5)
    assert world.jobs == ["a-1-cpu"]


def test_a_training_that_fills_every_node_fails() -> None:
    world = running(retry={**SPEC["retry"], "maxAttempts": 1})
    for number in (1, 2, 3):
        world.cluster.start_pod("a-1")
        world.settle()
        world.cluster.tick(60)
        world.cluster.evict_pod("a-1", message="The node was low on resource: ephemeral-storage. ")
        status = world.settle()
        assert status["evictions"] == number
    assert (status["phase"], reason_of(status)) == ("Failed", "Evicted")
    assert "3 pods of Job a-1" in message_of(status)
    assert "raise ephemeral-storage in spec.resources" in message_of(status)
    assert "deletionTimestamp" in world.cluster.of(JOBS)["a-1"]["metadata"]


def test_an_attempt_evicted_too_often_is_retried_after_its_job_is_gone() -> None:
    world = running()
    for _ in range(3):
        world.cluster.start_pod("a-1")
        world.settle()
        world.cluster.tick(60)
        world.cluster.evict_pod("a-1")
        status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Retrying", "Evicted")
    world.later(400)
    assert world.jobs == ["a-1"], "its pod may still run"
    world.cluster.collect()
    world.later(5)
    assert world.jobs == ["a-2"]


def test_a_lost_node_is_named() -> None:
    world = running()
    world.cluster.lose_node("a-1")
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Starting", "NodeLost")
    assert "node node-1 does not answer" in message_of(status)
    world.cluster.start_pod("a-1")
    assert world.settle()["phase"] == "Running"


@pytest.mark.parametrize("restarts", [False, True])
def test_an_interruption_is_counted_once(*, restarts: bool) -> None:
    world = running()
    world.cluster.tick(10)
    world.cluster.evict_pod("a-1")
    for _ in range(3):
        if restarts:
            world.operator.restart()
        assert world.later(40)["evictions"] == 1
    world.cluster.start_pod("a-1")
    world.later(40)
    world.cluster.evict_pod("a-1")
    assert world.settle()["evictions"] == 2


@pytest.mark.parametrize(("field", "reason"), [("suspend", "Suspending"), ("cancel", "Cancelling")])
@pytest.mark.parametrize("lost", [False, True])
def test_a_pod_that_does_not_terminate_is_named(field: str, reason: str, *, lost: bool) -> None:
    world = running()
    if lost:
        world.cluster.lose_node("a-1")
        world.settle()
    world.cluster.edit("a", **{field: True})
    status = world.settle()
    assert (reason_of(status), status["observedGeneration"]) == (reason, 2), "reported at once"
    assert message_of(status) == f"spec.{field} stops the pods of Job a-1"
    assert "pod a-1-pod does not stop" in message_of(world.later(91))
    why = "node node-1 does not answer" if lost else "it still runs on node node-1"
    assert f"{why}. Check the node; if it no longer exists, run kubectl delete node node-1" in message_of(
        world.later(7 * 24 * 3600)
    )
    world.cluster.collect()
    assert world.settle()["phase"] == {"suspend": "Suspended", "cancel": "Cancelled"}[field]
