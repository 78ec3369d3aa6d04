"""Foreign copies of children, and children of an earlier object of the same name, change nothing."""

from typing import Any

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.bodies import pod_of
from tests.unit.operator.operators import run
from tests.unit.operator.samples import SPEC
from tests.unit.operator.schedules import World as ScheduleWorld
from tests.unit.operator.serving import NAME, _pod_status, new_world
from tests.unit.operator.training import World
from trainyard_operator.core.objects import PodView
from trainyard_operator.core.plan import Body
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.port import DEPLOYMENTS, JOBS, PODS, SERVICES, TRAINING_JOBS
from trainyard_operator.runtime.directory import Directory

EVIL = "evil"


def forged(body: Body, name: str, *, owned: bool) -> Body:
    """Return a copy of a child under another name, with its owner reference or with its labels only."""
    metadata: dict[str, Any] = {"name": name, "labels": body["metadata"]["labels"]}
    if owned:
        metadata["ownerReferences"] = body["metadata"]["ownerReferences"]
    return {"metadata": metadata, "spec": body["spec"]}


@pytest.mark.parametrize(("namespace", "owned"), [(EVIL, False), (EVIL, True), (NAMESPACE, False)])
@pytest.mark.parametrize("ended", [True, False])
def test_a_forged_job_changes_no_training_job(namespace: str, *, owned: bool, ended: bool) -> None:
    world = World()
    world.settle()
    world.cluster.start_pod("a-1")
    before = world.settle()
    forged_name = "a-999999999"
    world.cluster.add(JOBS, namespace, forged(world.cluster.of(JOBS)["a-1"], forged_name, owned=owned))
    done = [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-21T08:00:00Z"}]
    status = {"conditions": done} if ended else {"active": 1}
    world.cluster.change(JOBS, namespace, forged_name, status=status)
    world.operator.resync()
    assert world.settle() == before
    assert "deletionTimestamp" not in world.cluster.of(JOBS)["a-1"]["metadata"]
    facts = Directory(world.operator.store).find("trainingjobs", NAMESPACE, "a")
    assert facts is not None
    assert facts.current_attempt == 1


def test_a_forged_run_changes_no_schedule() -> None:
    world = ScheduleWorld(schedule="* * * * *", concurrencyPolicy="Forbid")
    world.cluster.tick(60)
    world.operator.settle()
    before = world.status
    (run,) = world.cluster.of(TRAINING_JOBS).values()
    world.cluster.add(TRAINING_JOBS, EVIL, forged(run, "nightly-1", owned=True))
    world.operator.resync()
    world.operator.settle()
    assert world.status == before


@pytest.mark.parametrize("owned", [True, False])
def test_a_forged_deployment_or_service_changes_no_model_deployment(*, owned: bool) -> None:
    world = new_world()
    world.serve(1)
    before = world.status
    deployment, service = (next(iter(world.cluster.of(resource).values())) for resource in (DEPLOYMENTS, SERVICES))
    world.cluster.add(DEPLOYMENTS, EVIL, forged(deployment, f"{NAME}-v9", owned=owned))
    world.cluster.change(DEPLOYMENTS, EVIL, f"{NAME}-v9", status={"readyReplicas": 9})
    world.cluster.add(SERVICES, EVIL, forged(service, "another", owned=owned))
    world.operator.resync()
    world.operator.settle()
    assert world.status == before


def pods_read(world: World) -> tuple[PodView, ...]:
    uid = world.cluster.of(TRAINING_JOBS)["a"]["metadata"]["uid"]
    return run(world.operator.reconciler._pods_of_job(Key(NAMESPACE, "a"), uid, "a-1"))


def test_pods_of_an_earlier_job_of_the_same_name_do_not_count() -> None:
    """A TrainingJob is deleted and created again while the pods of its first Job still terminate."""
    world = World()
    world.settle()
    world.cluster.start_pod("a-1")
    earlier = world.cluster.of(PODS)["a-1-pod"]
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, "a")
    world.cluster.remove(JOBS, NAMESPACE, "a-1")
    world.operator.settle()
    world.cluster.submit("a", SPEC)
    assert world.settle()["phase"] == "Starting"
    job = world.cluster.of(JOBS)["a-1"]
    assert earlier["metadata"]["ownerReferences"][0]["uid"] != job["metadata"]["uid"]
    assert "a-1-pod" in world.cluster.of(PODS)
    assert pods_read(world) == ()


def test_a_pod_that_copies_the_labels_does_not_count_for_a_job() -> None:
    world = World()
    world.settle()
    job = world.cluster.of(JOBS)["a-1"]
    copy = pod_of(job, "copy")
    copy["metadata"]["ownerReferences"] = []
    world.cluster.add(PODS, NAMESPACE, copy)
    assert pods_read(world) == ()


def test_a_pod_that_copies_the_labels_does_not_count_for_a_version() -> None:
    world = new_world()
    world.cluster.health[1] = "no image"
    world.cluster.publish(1)
    world.operator.go_on(1.0)
    (pod,) = world.cluster.of(PODS).values()
    copy = {**forged(pod | {"spec": {}}, "copy", owned=False), "status": _pod_status(ready=False, code=65, restarts=3)}
    stranger = world.cluster.add(DEPLOYMENTS, EVIL, {"metadata": {"name": "stranger"}, "spec": {"replicas": 0}})
    owner = {"kind": "ReplicaSet", "name": "stranger-1", "uid": stranger["metadata"]["uid"], "controller": True}
    copy["metadata"]["ownerReferences"] = [owner]
    world.cluster.add(PODS, NAMESPACE, copy)
    before = world.status
    world.operator.resync()
    world.operator.settle()
    assert (world.status["phase"], world.status.get("candidateVersion")) == (
        before["phase"],
        before.get("candidateVersion"),
    )
