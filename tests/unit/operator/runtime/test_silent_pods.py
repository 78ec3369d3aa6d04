"""A pod that cannot start. The cause is only in an Event of the Job or of the pod, and the status quotes it."""

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import ON_NODE
from tests.unit.operator.runtime.test_interruptions import message_of, running
from tests.unit.operator.training import World
from trainyard_operator.kube.port import JOBS, PODS

REFUSALS = (
    "exceeded quota: compute, requested: limits.cpu=1",
    "maximum cpu usage per Container is 500m, but limit is 2",
    'violates PodSecurity "restricted:latest": runAsNonRoot != true',
    'error looking up service account team/missing: serviceaccount "missing" not found',
    "no PriorityClass with name high was found",
)


@pytest.mark.parametrize("why", REFUSALS)
def test_the_refusal_of_pods_is_reported_after_30_seconds(why: str) -> None:
    world = World()
    world.settle()
    world.cluster.refuse_pods("a-1", why)
    assert message_of(world.settle()) == "waiting for a pod of Job a-1"
    expected = f'waiting for a pod of Job a-1; FailedCreate: Error creating: pods of Job "a-1" is forbidden: {why}'
    assert message_of(world.later(31)) == expected
    world.cluster.refuse_pods("a-1", why)
    before = len(world.cluster.writes)
    assert message_of(world.later(400)) == expected
    assert world.cluster.writes[before:] == [], "another pod name is not a change"
    world.cluster.start_pod("a-1")
    assert world.settle()["phase"] == "Running"


def test_without_permission_to_read_events_the_deadline_still_holds() -> None:
    world = World(pendingDeadlineSeconds=60)
    world.cluster.events_readable = False
    world.settle()
    world.cluster.refuse_pods("a-1", REFUSALS[0])
    assert message_of(world.later(31)) == "waiting for a pod of Job a-1"
    world.later(60)
    world.cluster.collect()
    assert world.settle()["phase"] == "Failed"


def test_the_newest_event_is_quoted() -> None:
    world = World()
    world.settle()
    world.cluster.refuse_pods("a-1", "exceeded quota: old")
    world.cluster.tick(31)
    world.cluster.refuse_pods("a-1", "exceeded quota: new")
    assert message_of(world.settle()).endswith("exceeded quota: new")


def test_a_pod_that_hangs_in_container_creating_gives_the_cause() -> None:
    world = World()
    world.settle()
    world.cluster.hold_pod("a-1", "")
    creating = [{"name": "trainer", "state": {"waiting": {"reason": "ContainerCreating"}}}]
    status = {"phase": "Pending", "containerStatuses": creating}
    world.cluster.change(PODS, NAMESPACE, "a-1-pod", status=status, spec=ON_NODE)
    note = 'MountVolume.SetUp failed for volume "storage-secret" : secret "object-store" not found'
    world.cluster.warn(PODS, "a-1-pod", "FailedMount", note)
    assert message_of(world.later(31)) == f"waiting for a pod of Job a-1; pod a-1-pod: FailedMount: {note}"


def test_the_refusal_of_a_replacement_is_quoted_until_the_deadline() -> None:
    world = running(pendingDeadlineSeconds=600)
    world.cluster.tick(3600)
    world.cluster.remove(PODS, NAMESPACE, "a-1-pod")
    world.cluster.change(JOBS, NAMESPACE, "a-1", status={"startTime": "2026-11-21T08:00:00Z"})
    world.cluster.refuse_pods("a-1", "exceeded quota: compute")
    world.settle()
    assert message_of(world.later(31)).endswith("exceeded quota: compute")
    world.later(600)
    world.cluster.collect()
    assert "exceeded quota: compute" in message_of(world.settle())
    assert world.cluster.status("a")["phase"] == "Failed"
