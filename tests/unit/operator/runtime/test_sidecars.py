"""A sidecar that keeps running after the trainer keeps the pod, but not the training."""

from tests.unit.operator.cluster import events_of
from tests.unit.operator.runtime.test_interruptions import running
from tests.unit.operator.samples import failure_text, result_text
from tests.unit.operator.training import reason_of
from trainyard_operator.kube.port import EVENTS, JOBS


def test_a_completed_training_ends_even_if_a_sidecar_runs() -> None:
    world = running()
    world.cluster.leave_sidecar("a-1", 0, result_text())
    status = world.settle()
    assert (status["phase"], status["modelVersion"]["name"]) == ("Succeeded", "a-v1")
    assert "deletionTimestamp" in world.cluster.of(JOBS)["a-1"]["metadata"], (
        "without the deletion its pod would keep running"
    )
    (event,) = [body for body in world.cluster.of(EVENTS).values() if body["reason"] == "ContainerStayed"]
    assert "container proxy of pod a-1-pod still ran" in event["note"]


def test_a_failed_training_with_a_sidecar_is_retried() -> None:
    world = running()
    world.cluster.leave_sidecar("a-1", 69, failure_text("UpstreamUnavailable", "no S3"))
    status = world.settle()
    assert (status["phase"], reason_of(status)) == ("Retrying", "UpstreamUnavailable")
    world.later(400)
    world.cluster.collect()
    world.later(5)
    assert world.jobs == ["a-2"]
    assert "ContainerStayed" in events_of(world.cluster)


def test_a_short_training_with_a_sidecar_ends() -> None:
    """The training ended before the operator observed it running."""
    world = running()
    world.operator.restart()
    world.cluster.leave_sidecar("a-1", 0, result_text())
    assert world.later(31)["phase"] == "Succeeded"
