"""A version whose pods cannot start: its status gives the cause, it is not rejected, and it serves once it can."""

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import events_of
from tests.unit.operator.serving import MODEL, Health, World, new_world
from trainyard_operator.core.serving.readiness import UNREADY_SECONDS
from trainyard_operator.kube.port import DEPLOYMENTS, MODEL_VERSIONS

LATE = 70.0
"""Seconds: longer than the deadline of these deployments."""

QUOTA = 'pods "shop-v1-" is forbidden: exceeded quota: q, requested: limits.cpu=1, used: 8, limited: 8'


@pytest.fixture
def world() -> World:
    return new_world()


def publish(world: World, number: int) -> None:
    world.cluster.publish(number)
    world.operator.go_on(6.0)
    world.cluster.crash()
    world.operator.go_on(20.0)


CAUSES: list[tuple[Health, str]] = [
    ("no image", "ImagePullBackOff"),
    ("no command", "StartError: exec: not found"),
    ("upstream", "ended with exit code 69"),
    ("refused", "ended with exit code 77"),
]


@pytest.mark.parametrize(("health", "cause"), CAUSES)
@pytest.mark.parametrize("before", [(), (1,)])
def test_a_blocked_candidate_gives_the_cause_and_is_not_rejected(
    world: World, health: Health, cause: str, before: tuple[int, ...]
) -> None:
    world.serve(*before)
    number = len(before) + 1
    world.cluster.health[number] = health
    publish(world, number)
    assert cause in world.condition_of("Reconciling")[2], "within 30 s"
    world.operator.go_on(LATE)
    assert cause in world.condition_of("Stalled")[2]
    assert world.condition_of("Stalled")[1] == "CandidateBlocked"
    assert world.condition_of("Ready")[0] == ("True" if before else "False")
    assert world.status["phase"] == ("Progressing" if before else "Failed")
    assert "rejectedVersions" not in world.status
    assert world.cluster.version_phase(number) == "Validated"
    del world.cluster.health[number]
    world.operator.go_on(16.0)
    assert (world.status["activeVersion"], world.status["phase"]) == (number, "Serving")
    assert world.condition_of("Stalled")[0] == ""


def test_refused_pods_are_reported_and_created_once_allowed(world: World) -> None:
    world.cluster.refused[1] = QUOTA
    world.cluster.publish(1)
    world.operator.go_on()
    assert (
        f"0 of 1 pods of version 1 are ready; Deployment shop-v1: FailedCreate: {QUOTA}"
        in world.condition_of("Ready")[2]
    )
    world.operator.go_on(LATE)
    assert QUOTA in world.condition_of("Stalled")[2]
    assert (
        "takes over when its pods are ready; to drop it, use the action abort/<token>"
        in world.condition_of("Stalled")[2]
    )
    assert events_of(world.cluster).count("CandidateBlocked") == 1
    del world.cluster.refused[1]
    world.operator.go_on(1.0)
    assert world.status["phase"] == "Serving"


def test_after_an_edit_pods_from_before_do_not_count(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "hangs"
    publish(world, 2)
    world.cluster.refused[2] = QUOTA
    world.edit(serving={"podLabels": {"memory": "more"}})
    world.operator.go_on(LATE)
    assert "rejectedVersions" not in world.status
    assert QUOTA in world.condition_of("Stalled")[2]
    world.cluster.health[2] = "loads"
    del world.cluster.refused[2]
    world.operator.go_on(1.0)
    assert world.status["activeVersion"] == 2


def test_a_server_that_is_never_ready_is_rejected_even_if_another_pod_is_refused(world: World) -> None:
    world.serve(1)
    world.edit(serving={"replicas": 2})
    world.cluster.health[2] = "hangs"
    publish(world, 2)
    world.cluster.refused[2] = QUOTA
    world.operator.go_on(LATE)
    assert world.status["rejectedVersions"][0]["reason"] == "ProgressDeadlineExceeded"


def test_a_volume_that_cannot_be_mounted_is_reported_from_its_event(world: World) -> None:
    world.cluster.health[1] = "no volume"
    world.cluster.publish(1)
    world.operator.go_on()
    world.cluster.report(1, "FailedMount", 'MountVolume.SetUp failed: secret "object-store" not found')
    world.operator.go_on(6.0)
    assert (
        'FailedMount: MountVolume.SetUp failed: secret "object-store" not found' in world.condition_of("Reconciling")[2]
    )
    world.operator.go_on(LATE)
    assert 'secret "object-store" not found' in world.condition_of("Stalled")[2]
    assert world.cluster.version_phase(1) == "Validated"


def test_a_missing_second_pod_is_explained(world: World) -> None:
    world.serve(1)
    world.cluster.refused[1] = QUOTA
    world.edit(serving={"replicas": 2})
    assert (
        f"1 of 2 pods of version 1 are ready; Deployment shop-v1: FailedCreate: {QUOTA}"
        in (world.condition_of("Reconciling")[2])
    )
    assert world.condition_of("Ready")[0] == "True"


def test_a_newer_version_replaces_a_blocked_candidate(world: World) -> None:
    world.serve(1)
    world.cluster.refused[2] = QUOTA
    publish(world, 2)
    world.operator.go_on(LATE)
    world.serve(3)
    assert (world.status["activeVersion"], world.status.get("candidateVersion")) == (3, None)
    assert "rejectedVersions" not in world.status
    assert "shop-v2" not in world.deployments


def test_an_abort_rejects_a_blocked_candidate(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "no image"
    publish(world, 2)
    world.operator.go_on(LATE)
    world.act("abort/t1")
    assert (world.status["phase"], world.condition_of("Stalled")[0]) == ("Serving", "")
    assert world.status["rejectedVersions"][0]["reason"] == "Aborted"


def test_an_edit_restarts_the_deadline_of_a_blocked_candidate(world: World) -> None:
    world.cluster.health[1] = "no image"
    publish(world, 1)
    world.operator.go_on(LATE)
    world.edit(serving={"image": "mended:1"})
    assert world.condition_of("Reconciling")[1] == "Progressing"
    assert world.condition_of("Stalled")[0] == ""


def test_nothing_is_written_while_a_candidate_is_blocked(world: World) -> None:
    world.cluster.refused[1] = QUOTA
    publish(world, 1)
    world.operator.go_on(LATE)
    writes = len(world.cluster.writes)
    world.operator.restart()
    world.operator.go_on(4000.0)
    assert world.cluster.writes[writes:] == []


# ---- the ModelVersion and its pods are gone --------------------------------------------------------------------------


def lose_active(world: World) -> None:
    world.edit(rollout={"keepWarmSeconds": 0, "progressDeadlineSeconds": 60})
    world.serve(1, 2)
    world.operator.go_on(30.0)
    assert world.deployments == ["shop-v2"]
    world.cluster.remove(MODEL_VERSIONS, NAMESPACE, f"{MODEL}-v2")


def test_a_lost_version_and_its_pods_are_reported_with_a_remedy(world: World) -> None:
    lose_active(world)
    world.cluster.remove(DEPLOYMENTS, NAMESPACE, "shop-v2")
    world.operator.go_on(1.0)
    assert (world.status["phase"], world.condition_of("Stalled")[1]) == ("Failed", "ModelVersionGone")
    assert world.condition_of("Stalled")[2] == (
        "version 2 cannot be started again: its ModelVersion no longer exists; 0 of 1 pods of version 2 are ready; "
        "roll back to version 1 with the action rollback/previous/<token>"
    )
    assert world.act("rollback/previous/t1") == "rolling back to version 1"
    assert (world.status["activeVersion"], world.condition_of("Stalled")[0]) == (1, "")


def test_failing_pods_of_a_deleted_version_are_reported_with_a_remedy(world: World) -> None:
    lose_active(world)
    world.cluster.health[2] = "hangs"
    world.operator.go_on(UNREADY_SECONDS)
    assert (
        "its ModelVersion no longer exists; 0 of 1 pods of version 2 are ready" in world.condition_of("Reconciling")[2]
    )
    assert "roll back to version 1 with the action rollback/previous/<token>" in world.condition_of("Reconciling")[2]
    world.operator.go_on(LATE)
    assert world.condition_of("Stalled")[1] == "Unavailable"
    assert "its ModelVersion no longer exists; 0 of 1 pods" in world.condition_of("Stalled")[2]


@pytest.mark.parametrize(("pinned", "cure"), [(True, "pin another version"), (False, "train a new version")])
def test_without_a_rollback_target_the_message_gives_another_remedy(world: World, *, pinned: bool, cure: str) -> None:
    if pinned:
        world.edit(version={"policy": "Pinned", "pin": "1"})
    world.serve(1)
    world.cluster.remove(MODEL_VERSIONS, NAMESPACE, f"{MODEL}-v1")
    world.cluster.remove(DEPLOYMENTS, NAMESPACE, "shop-v1")
    world.operator.go_on(1.0)
    assert world.condition_of("Stalled")[1] == "ModelVersionGone"
    assert cure in world.condition_of("Stalled")[2]
