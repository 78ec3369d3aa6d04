"""A candidate that only lacked room, its image or the storage is tried again when an edit may have cured that."""

from typing import Any

import pytest

from tests.unit.operator.cluster import NAMESPACE, events_of
from tests.unit.operator.serving import MODEL, Health, World, new_world
from trainyard_operator.kube.port import MODEL_VERSIONS

LATE = 70.0
"""Seconds: longer than the deadline of these deployments."""


@pytest.fixture
def world() -> World:
    return new_world()


def fail(world: World, number: int, health: Health) -> dict[str, Any]:
    """Publish a version that does not come up in time, and return why it was rejected."""
    world.cluster.health[number] = health
    world.cluster.publish(number)
    world.operator.go_on(6.0)
    world.cluster.crash()
    world.operator.go_on(LATE)
    rejection: dict[str, Any] = world.status["rejectedVersions"][-1]
    assert rejection["version"] == number
    return rejection


@pytest.mark.parametrize("health", ["upstream", "refused", "no image"])
@pytest.mark.parametrize("before", [(), (1,)])
def test_an_edit_of_what_lacked_lifts_the_quarantine(world: World, health: Health, before: tuple[int, ...]) -> None:
    world.serve(*before)
    number = len(before) + 1
    rejection = fail(world, number, health)
    assert rejection["reason"] == "ProgressDeadlineExceeded"
    assert rejection["triedWith"].endswith("/60")
    assert world.cluster.version_phase(number) == "Quarantined"
    del world.cluster.health[number]
    world.edit(serving={"image": "mended:1"})
    assert (world.status["activeVersion"], world.cluster.version_phase(number)) == (number, "Validated")
    assert "rejectedVersions" not in world.status
    assert world.history()[0] == (number, "Active", "operator")
    assert "TriedAgain" in events_of(world.cluster)


def test_once_for_each_edit(world: World) -> None:
    fail(world, 1, "upstream")
    assert "edit what it lacks, or try it again with the action retry/1/<token>" in world.told("Stalled")[2]
    world.operator.go_on(600.0)
    assert world.status["phase"] == "Failed"
    first = world.status["rejectedVersions"][0]["triedWith"]
    world.edit(serving={"resources": {"limits": {"memory": "2Gi"}}})
    assert (world.status["phase"], world.status["candidateVersion"]) == ("Progressing", 1)
    world.operator.go_on(6.0)
    world.cluster.crash()
    world.operator.go_on(LATE)
    assert world.status["rejectedVersions"][0]["triedWith"] != first
    writes = len(world.cluster.writes)
    world.operator.restart()
    world.operator.go_on(600.0)
    assert world.cluster.writes[writes:] == [], "it is at rest until the next edit"
    assert sum(entry[1] == "Rejected" for entry in world.history()) == 2


def test_more_time_is_a_cure_too(world: World) -> None:
    fail(world, 1, "no image")
    world.edit(rollout={"keepWarmSeconds": 300, "progressDeadlineSeconds": 900})
    assert world.status["candidateVersion"] == 1


@pytest.mark.parametrize("edit", [{"history": {"limit": 5}}, {"rollback": {"automatic": False}}])
def test_an_edit_of_something_else_is_no_cure(world: World, edit: dict[str, Any]) -> None:
    fail(world, 1, "upstream")
    world.edit(**edit)
    assert "candidateVersion" not in world.status


@pytest.mark.parametrize("health", ["hangs", "crashes", "corrupt"])
def test_one_that_failed_by_itself_needs_the_verb(world: World, health: Health) -> None:
    world.serve(1)
    world.cluster.health[2] = health
    world.cluster.publish(2)
    for _ in range(4):
        world.operator.go_on(6.0)
        world.cluster.crash()
    world.operator.go_on(LATE)
    assert "triedWith" not in world.status["rejectedVersions"][0]
    world.edit(serving={"image": "mended:1"})
    assert "candidateVersion" not in world.status
    assert world.status["activeVersion"] == 1


def test_one_that_was_aborted_needs_the_verb(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "upstream"
    world.cluster.publish(2)
    world.operator.go_on(6.0)
    world.act("abort/t1")
    world.edit(serving={"image": "mended:1"})
    assert "candidateVersion" not in world.status


def test_a_newer_version_that_serves_has_made_it_needless(world: World) -> None:
    fail(world, 1, "upstream")
    world.serve(2)
    world.edit(serving={"image": "mended:1"})
    assert (world.status["activeVersion"], world.status.get("candidateVersion")) == (2, None)
    assert world.status["rejectedVersions"][0]["version"] == 1


def test_a_hold_holds(world: World) -> None:
    world.serve(1)
    fail(world, 2, "upstream")
    world.act("hold/t1")
    world.edit(serving={"image": "mended:1"})
    assert "candidateVersion" not in world.status
    world.act("release/t2")
    assert world.status["candidateVersion"] == 2


def test_the_newest_of_several_is_tried(world: World) -> None:
    world.serve(1)
    for number in (2, 3):
        fail(world, number, "refused")
    world.edit(serving={"serviceAccountName": "reader"})
    assert world.status["candidateVersion"] == 3
    assert [entry["version"] for entry in world.status["rejectedVersions"]] == [2]


@pytest.mark.parametrize("mend", ["edit", "verb"])
def test_a_pinned_version_that_never_served_is_tried_again(world: World, mend: str) -> None:
    world.serve(1)
    world.edit(version={"policy": "Pinned", "pin": "2"})
    fail(world, 2, "upstream")
    assert world.told("Stalled")[1] == "PinnedVersionQuarantined"
    del world.cluster.health[2]
    if mend == "edit":
        world.edit(serving={"image": "mended:1"})
    else:
        assert world.act("retry/2/t1") == "version 2 is tried again"
    assert world.status["activeVersion"] == 2
    assert world.told("Stalled")[0] == ""


def test_what_another_deployment_holds_against_it_is_not_lifted(world: World) -> None:
    world.serve(1)
    fail(world, 2, "upstream")
    status = world.cluster.of(MODEL_VERSIONS)[f"{MODEL}-v2"]["status"]
    world.cluster.change(MODEL_VERSIONS, NAMESPACE, f"{MODEL}-v2", status={**status, "quarantinedBy": "elsewhere"})
    world.edit(serving={"image": "mended:1"})
    assert "candidateVersion" not in world.status
