"""Restored objects without a status, in any order: a rollback stays in effect, and nothing trains again."""

from itertools import permutations
from typing import Any

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import Cluster, events_of
from tests.unit.operator.operators import FaultyWrite, Killed, StepOperator
from tests.unit.operator.samples import SPEC, result_text
from tests.unit.operator.schedules import World as ScheduleWorld
from tests.unit.operator.serving import World, new_world
from trainyard_api import meta
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.errors import ForbiddenError
from trainyard_operator.kube.port import (
    JOBS,
    MODEL_DEPLOYMENTS,
    MODEL_VERSIONS,
    TRAINING_JOBS,
    TRAINING_SCHEDULES,
    Resource,
)

Stored = tuple[Resource, Body]


def back_up(cluster: Cluster) -> list[Stored]:
    """Delete everything, and return the objects as in a backup."""
    cluster.restore()  # the objects now look as in a backup
    kept = [(key[0], body) for key, body in cluster.objects.items() if key[0] in (MODEL_VERSIONS, MODEL_DEPLOYMENTS)]
    for key in list(cluster.objects):
        cluster.remove(*key)
    return kept


def rolled_back() -> World:
    world = new_world()
    world.serve(1, 2)
    world.act("rollback/previous/t1")
    assert world.status["phase"] == "Held"
    return world


def assert_held_as_before(world: World) -> None:
    assert world.status["phase"] == "Held"
    assert world.status["activeVersion"] == 1
    assert world.status["hold"]["above"] == 2
    assert [entry["version"] for entry in world.status["rejectedVersions"]] == [2]
    assert [(number, outcome) for number, outcome, _ in world.history()] == [
        (1, "Active"),
        (2, "RolledBack"),
        (1, "Replaced"),
    ]
    assert world.cluster.version_phase(1) == "Validated"
    assert world.cluster.version_phase(2) == "Quarantined"
    assert world.cluster.served() == 1
    assert world.deployments == ["shop-v1"]


@pytest.mark.parametrize("running", [True, False], ids=["operator running", "operator stopped"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_a_restore_does_not_matter(order: tuple[int, ...], running: bool) -> None:
    world = rolled_back()
    kept = back_up(world.cluster)
    world.operator.restart()
    for number in order:
        resource, body = kept[number]
        world.cluster.add(resource, NAMESPACE, body)
        if running:
            world.operator.go_on(1.0)
    if not running:
        world.operator.restart()
    world.operator.go_on(400.0)
    assert_held_as_before(world)
    assert events_of(world.cluster).count("Restored") == 3


def test_after_a_restore_new_versions_are_served() -> None:
    world = rolled_back()
    world.cluster.restore()
    world.operator.go_on(1.0)
    world.serve(3)
    assert world.status["activeVersion"] == 3
    assert "hold" not in world.status
    message = world.act("retry/2/t2")
    assert message.startswith("version 2 is no longer quarantined")
    assert "rollback/2/<token>" in message


def test_a_handled_action_is_not_handled_again() -> None:
    world = rolled_back()
    world.act("release/t2")
    world.cluster.restore()
    world.operator.go_on(1.0)
    assert world.status["lastHandledAction"] == "release/t2"
    assert world.status["activeVersion"] == 1
    assert "hold" not in world.status


def test_a_restored_candidate_gets_its_whole_deadline() -> None:
    world = new_world()
    world.serve(1)
    world.cluster.health[2] = "hangs"
    world.cluster.publish(2)
    world.operator.go_on(10.0)
    assert world.status["candidateVersion"] == 2
    world.cluster.tick(7 * 86400)
    world.cluster.restore()
    world.cluster.health.pop(2)
    world.operator.go_on(1.0)
    assert (world.status["activeVersion"], world.status.get("rejectedVersions")) == (2, None)


# ---- TrainingJobs ----------------------------------------------------------------------------------------------------


def trained() -> tuple[Cluster, StepOperator]:
    cluster = Cluster()
    operator = StepOperator(cluster)
    cluster.submit("a", SPEC)
    operator.settle()
    cluster.finish_pod("a-1", 0, result_text(version=1))
    operator.settle()
    assert cluster.status("a")["phase"] == "Succeeded"
    return cluster, operator


def saved_on(cluster: Cluster, name: str) -> str | None:
    annotations: dict[str, str] = cluster.of(TRAINING_JOBS)[name]["metadata"].get("annotations") or {}
    return annotations.get(meta.SAVED_ANNOTATION)


@pytest.mark.parametrize("saved", [True, False], ids=["with the annotation", "from Git"])
def test_a_job_whose_version_exists_trains_nothing(saved: bool) -> None:
    cluster, operator = trained()
    before = cluster.status("a")
    if not saved:
        cluster.of(TRAINING_JOBS)["a"]["metadata"].pop("annotations")
    cluster.restore(MODEL_VERSIONS)
    cluster.restore(TRAINING_JOBS)
    operator.settle()
    after = cluster.status("a")
    assert not cluster.of(JOBS)
    for field in ("phase", "modelVersion", "objectiveValue", "verdict"):
        assert after.get(field) == before.get(field)


def test_a_copy_under_another_name_trains() -> None:
    cluster, operator = trained()
    body = cluster.of(TRAINING_JOBS)["a"]
    cluster.submit("b", body["spec"], annotations=body["metadata"]["annotations"])
    operator.settle()
    assert list(cluster.of(JOBS)) == ["a-1", "b-1"]


def test_a_kill_between_the_two_writes_keeps_the_saved_status() -> None:
    cluster = Cluster()
    operator = StepOperator(cluster)
    cluster.submit("a", SPEC)
    operator.settle()
    cluster.finish_pod("a-1", 0, result_text(version=1))
    operator.deliver_all()

    def die(verb: str, resource: Resource, after: bool) -> None:
        saves = saved_on(cluster, "a") is not None
        if verb == "patch" and resource == TRAINING_JOBS and saves and not after:
            raise Killed

    cluster.hook = die
    for _ in range(8):
        operator.reconcile("a")
    assert cluster.status("a")["phase"] != "Succeeded"
    cluster.hook = lambda *_: None
    cluster.restore(TRAINING_JOBS)
    operator.restart()
    operator.settle()
    assert cluster.status("a")["phase"] == "Succeeded"
    assert not cluster.of(JOBS)


def test_a_removed_annotation_is_written_again() -> None:
    cluster, operator = trained()
    text = saved_on(cluster, "a")
    cluster.of(TRAINING_JOBS)["a"]["metadata"].pop("annotations")
    cluster.change(TRAINING_JOBS, NAMESPACE, "a")
    operator.settle()
    assert saved_on(cluster, "a") == text is not None
    written = len(cluster.writes)
    operator.restart()
    operator.settle()
    assert cluster.writes[written:] == []


def test_without_permission_to_annotate_the_job_still_ends(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    operator = StepOperator(cluster)

    def forbid(verb: str, resource: Resource, after: bool) -> None:
        if verb == "annotate":
            raise ForbiddenError(403, "Forbidden", "trainingjobs is forbidden")

    cluster.hook = forbid
    cluster.submit("a", SPEC)
    operator.settle()
    cluster.finish_pod("a-1", 0, result_text(version=1))
    operator.settle()
    assert cluster.status("a")["phase"] == "Succeeded"
    assert "a restore loses this status" in caplog.text


def test_kills_after_any_write_lose_nothing() -> None:
    cluster = Cluster()
    operator = StepOperator(cluster)
    cluster.submit("a", SPEC)
    operator.settle()
    cluster.finish_pod("a-1", 0, result_text(version=1))
    for at in range(1, 6):
        cluster.hook = FaultyWrite(at, after=True, error=Killed())
        operator.deliver_all()
        operator.reconcile("a")
        cluster.hook = lambda *_: None
    operator.restart()
    operator.settle()
    assert (cluster.status("a")["phase"], saved_on(cluster, "a") is not None) == ("Succeeded", True)


# ---- TrainingSchedules -----------------------------------------------------------------------------------------------


def test_a_restored_schedule_does_not_catch_up() -> None:
    world = ScheduleWorld(schedule="0 * * * *")
    world.go_to("2026-11-21T09:00:30")
    world.end_all()
    world.operator.settle()
    before = world.status
    created = world.created()
    world.cluster.restore(TRAINING_SCHEDULES)
    world.go_to("2026-11-28T17:20:00")
    world.operator.settle()
    assert world.created() == created
    assert world.status["lastScheduleTime"] == before["lastScheduleTime"]
    assert world.status["missed"] == before["missed"]
    assert world.status["nextScheduleTime"] == "2026-11-28T18:00:00Z"


def test_handled_requests_and_templates_are_not_run_again() -> None:
    world = ScheduleWorld(runOnChange=True)
    world.operator.settle()
    world.end_all()
    world.annotate("t1")
    world.operator.settle()
    world.end_all()
    world.operator.settle()
    created = world.created()
    assert len(created) == 2
    world.cluster.restore(TRAINING_SCHEDULES)
    world.operator.settle()
    assert world.created() == created
    kept: dict[str, Any] = world.status
    assert kept["lastHandledRunNow"] == "t1"
