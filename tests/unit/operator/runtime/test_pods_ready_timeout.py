"""A job whose pods do not become ready releases its capacity to waiting jobs, so a wrong spec cannot block a queue."""

from typing import Any

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import ON_NODE
from tests.unit.operator.runtime.test_queue_of_jobs import World
from trainyard_operator.core.config import Admission, OperatorConfig
from trainyard_operator.kube.port import EVENTS, JOBS, PODS

NO_NODE = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."


class Queue(World):
    """A queue with a limit of one job: job ``a``, whose pod is unschedulable, runs."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(max_concurrent_jobs=1)
        self.submit("a", **spec)
        self.settle()
        self.cluster.hold_pod("a-1", NO_NODE)
        self.later(31)

    def later(self, seconds: float) -> dict[str, str]:
        self.cluster.tick(seconds)
        self.settle()
        self.cluster.collect()
        return self.settle()

    def jobs(self) -> list[str]:
        return sorted(self.cluster.of(JOBS))


def test_a_job_without_a_node_releases_its_capacity() -> None:
    queue = Queue()
    queue.submit("b")
    assert queue.later(500) == {"a": "Starting", "b": "Queued 1"}
    assert queue.later(70) == {"a": "Queued", "b": "Starting"}
    assert queue.jobs() == ["b-1"]
    reason, message = queue.reason("a")
    assert reason == "PodsReadyTimeout"
    assert message == (
        "attempt 1 releases its slot, because other TrainingJobs wait for it and no pod was ready after 601 s "
        f"(pod a-1-pod: Unschedulable: {NO_NODE}); the job requests a slot again in 300 s"
    )
    [attempt] = queue.cluster.status("a")["attempts"]
    assert attempt["reason"] == "PodsReadyTimeout"
    assert "start" not in attempt
    events = [e for e in queue.cluster.of(EVENTS).values() if e["reason"] == "PodsReadyTimeout"]
    assert [each["type"] for each in events] == ["Warning"]
    queue.end("b")
    assert queue.settle() == {"a": "Queued", "b": "Succeeded"}
    assert queue.later(301) == {"a": "Starting", "b": "Succeeded"}
    assert queue.jobs() == ["a-2", "b-1"]


def test_a_job_keeps_its_capacity_if_no_job_waits_for_it() -> None:
    queue = Queue()
    assert queue.later(3600) == {"a": "Starting"}
    queue.submit("b")
    queue.later(300)
    assert queue.settle() == {"a": "Queued", "b": "Starting"}


def test_a_job_of_the_same_model_gets_the_capacity_too() -> None:
    queue = Queue(modelName="m")
    queue.submit("b", modelName="m")
    queue.later(600)
    assert queue.settle() == {"a": "Queued", "b": "Starting"}


def test_a_slow_start_keeps_its_capacity() -> None:
    """The image is large: the pod has a node and no current error. Earlier errors do not count."""
    queue = Queue()
    queue.submit("b")
    queue.cluster.warn(PODS, "a-1-pod", "FailedScheduling", NO_NODE)
    creating = [{"name": "trainer", "state": {"waiting": {"reason": "ContainerCreating"}}}]
    queue.cluster.change(
        PODS, NAMESPACE, "a-1-pod", status={"phase": "Pending", "containerStatuses": creating}, spec=ON_NODE
    )
    for _ in range(5):
        assert queue.later(400) == {"a": "Starting", "b": "Queued 1"}
    queue.cluster.warn(PODS, "a-1-pod", "FailedMount", "no such volume")
    assert queue.later(300) == {"a": "Queued", "b": "Starting"}


def test_releasing_capacity_uses_no_retry_and_the_pause_grows() -> None:
    queue = Queue(retry={"maxAttempts": 1})
    pauses = []
    for number in range(1, 7):
        queue.submit(f"b-{number}")
        queue.later(601)
        reason, message = queue.reason("a")
        assert reason == "PodsReadyTimeout"
        pauses.append(int(message.rpartition(" in ")[2].removesuffix(" s")))
        queue.end(f"b-{number}")
        queue.settle()
        queue.later(pauses[-1] + 1)
        assert queue.shown("a") == "Starting"
        queue.cluster.hold_pod(f"a-{number + 1}", NO_NODE)
    assert pauses == [300, 600, 1200, 2400, 3600, 3600]


def test_the_pending_deadline_continues_while_queued_again() -> None:
    queue = Queue(pendingDeadlineSeconds=1000)
    queue.submit("b")
    queue.later(600)
    assert queue.shown("a") == "Queued"
    queue.later(400)
    assert queue.shown("a") == "Failed"
    assert queue.reason("a")[0] == "PendingDeadlineExceeded"


@pytest.mark.parametrize("seconds", [0, 1200])
def test_the_timeout_is_configured_in_the_chart(seconds: int) -> None:
    queue = Queue()
    limits = Admission(max_concurrent_jobs=1, pods_ready_timeout_seconds=seconds)
    queue.operator.config = OperatorConfig(admission=limits)
    queue.operator.restart()
    queue.submit("b")
    assert queue.later(1100)["a"] == "Starting"
    assert queue.later(300)["a"] == ("Queued" if seconds else "Starting")


def test_a_priority_above_the_limit_of_its_namespace_is_lowered() -> None:
    world = World(max_concurrent_jobs=1, max_priority_by_namespace={NAMESPACE: "Normal"})
    world.submit("a")
    world.settle()
    world.submit("b")
    world.submit("c", priority="Urgent")
    assert world.settle() == {"a": "Starting", "b": "Queued 1", "c": "Queued 2"}
    assert world.reason("c")[1].endswith("; priority Urgent counts as Normal in namespace team (admission.maxPriority)")
    assert "counts as" not in world.reason("b")[1]
