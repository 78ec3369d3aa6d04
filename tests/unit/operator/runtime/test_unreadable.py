"""The running operator with an object whose status it cannot read: one Event, no write, and others continue."""

from typing import Any

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.operators import StepOperator
from tests.unit.operator.runtime.test_runtime import running, until
from tests.unit.operator.samples import SPEC, result_text
from tests.unit.operator.serving import MODEL, World, new_world
from trainyard_operator.core.unreadable import REASON, REPEAT_SECONDS
from trainyard_operator.kube.port import (
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    MODEL_DEPLOYMENTS,
    MODEL_VERSIONS,
    TRAINING_JOBS,
    Resource,
)
from trainyard_operator.runtime.reconciler import Outcome


def reported(cluster: Cluster) -> list[str]:
    """Return the names of the objects that were reported as unreadable."""
    return [body["regarding"]["name"] for body in cluster.of(EVENTS).values() if body["reason"] == REASON]


def rewrite(cluster: Cluster, resource: Resource, name: str, **status: Any) -> None:
    """Write fields of a status, as another release does."""
    cluster.change(resource, NAMESPACE, name, status={**cluster.of(resource)[name]["status"], **status})


def untouched(cluster: Cluster, resource: Resource, name: str, phase: str) -> bool:
    return bool(cluster.of(resource)[name]["status"]["phase"] == phase)


async def test_an_unreadable_job_is_reported_and_other_jobs_of_its_model_train() -> None:
    cluster = Cluster()
    cluster.submit("strange", {**SPEC, "modelName": "m"})
    cluster.of(TRAINING_JOBS)["strange"]["status"] = {"phase": "Hibernating"}
    async with running(cluster) as runtime:
        cluster.submit("a", {**SPEC, "modelName": "m"})
        await until("the Event", lambda: reported(cluster) == ["strange"])
        await until("Starting", lambda: cluster.status("a").get("phase") == "Starting")
        facts = runtime.directory.find("trainingjobs", NAMESPACE, "strange")
        assert facts is not None
        assert not facts.terminal
        assert cluster.status("strange") == {"phase": "Hibernating"}
        assert runtime.health() is None
        rewrite(cluster, TRAINING_JOBS, "strange", phase="Pending")
        await until("the job to queue up", lambda: cluster.status("strange").get("phase") == "Queued")


def test_an_unreadable_job_is_reported_once_and_retried_slowly() -> None:
    cluster = Cluster()
    cluster.submit("a", SPEC)
    cluster.of(TRAINING_JOBS)["a"]["status"] = {"phase": "Hibernating"}
    operator = StepOperator(cluster)
    for _ in range(3):
        assert operator.reconcile("a") == Outcome(after=REPEAT_SECONDS)
    assert reported(cluster) == ["a"]
    assert cluster.writes == [("create", "events")]


def test_an_unreadable_running_job_keeps_its_capacity_until_its_pods_are_gone() -> None:
    cluster = Cluster()
    operator = StepOperator(cluster)
    cluster.submit("a", {**SPEC, "modelName": "m"})
    operator.settle()
    rewrite(cluster, TRAINING_JOBS, "a", phase="Hibernating")
    cluster.submit("b", {**SPEC, "modelName": "m"})
    operator.settle()
    operator.restart()
    operator.settle()
    assert cluster.status("b")["phase"] == "Queued", "never two live jobs of one model"
    cluster.finish_pod("a-1", 0, result_text())
    operator.settle()
    assert cluster.status("b")["phase"] == "Starting"
    assert untouched(cluster, TRAINING_JOBS, "a", "Hibernating")
    assert sorted(cluster.of(JOBS)) == ["a-1", "b-1"]


# ---- versions and deployments ----------------------------------------------------------------------------------------


def serving(*numbers: int) -> World:
    world = new_world()
    world.serve(*numbers)
    return world


def test_an_unreadable_active_version_keeps_serving() -> None:
    """The version keeps serving, follows the spec, and is replaced by a newer one."""
    world = serving(1)
    rewrite(world.cluster, MODEL_VERSIONS, f"{MODEL}-v1", phase="Hibernating")
    world.operator.go_on(60.0)
    assert reported(world.cluster) == [f"{MODEL}-v1"]
    assert (world.status["phase"], world.status["activeVersion"]) == ("Serving", 1)
    world.edit(serving={"replicas": 2})
    assert world.cluster.of(DEPLOYMENTS)["shop-v1"]["spec"]["replicas"] == 2
    world.serve(2)
    assert (world.status["phase"], world.status["activeVersion"]) == ("Serving", 2)
    assert world.act("rollback/previous/t1").startswith("rolling back to version 1")
    assert world.status["activeVersion"] == 1, "the same digest has served before"
    assert untouched(world.cluster, MODEL_VERSIONS, f"{MODEL}-v1", "Hibernating")
    assert reported(world.cluster) == [f"{MODEL}-v1"]


def test_an_unreadable_candidate_is_dropped_until_it_can_be_read() -> None:
    world = serving(1)
    world.cluster.health[2] = "hangs"
    world.cluster.publish(2)
    world.operator.go_on(1.0)
    assert world.status["candidateVersion"] == 2
    rewrite(world.cluster, MODEL_VERSIONS, f"{MODEL}-v2", phase="Hibernating")
    world.operator.go_on(1.0)
    assert (world.status["phase"], world.status["activeVersion"]) == ("Serving", 1)
    assert "candidateVersion" not in world.status
    assert "never served" in world.act("rollback/2/t1")
    world.cluster.health.clear()
    rewrite(world.cluster, MODEL_VERSIONS, f"{MODEL}-v2", phase="Validated")
    world.operator.go_on(1.0)
    assert world.status["activeVersion"] == 2


def test_an_unreadable_deployment_keeps_serving_and_its_versions_wait() -> None:
    world = serving(1)
    rewrite(world.cluster, MODEL_DEPLOYMENTS, "shop", phase="Hibernating")
    before = [write for write in world.cluster.writes if write[1] != "events"]
    world.cluster.publish(2)
    world.operator.go_on(60.0)
    assert reported(world.cluster) == ["shop"]
    assert [write for write in world.cluster.writes if write[1] != "events"] == before
    assert (world.cluster.version_phase(2), world.cluster.served()) == ("Pending", 1)
    rewrite(world.cluster, MODEL_DEPLOYMENTS, "shop", phase="Serving")
    world.operator.go_on(1.0)
    assert (world.status["activeVersion"], world.cluster.version_phase(2)) == (2, "Validated")
