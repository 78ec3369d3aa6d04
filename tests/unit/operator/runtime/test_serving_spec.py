"""What the spec of a ModelDeployment decides: pinned versions, two deployments for one model, invalid specs."""

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import events_of
from tests.unit.operator.serving import NAME, World, new_world
from trainyard_operator.core.serving.readiness import UNREADY_SECONDS
from trainyard_operator.kube.port import MODEL_DEPLOYMENTS


@pytest.fixture
def world() -> World:
    return new_world()


# ---- pinned versions -------------------------------------------------------------------------------------------------


def pinned(pin: str) -> dict[str, str]:
    return {"policy": "Pinned", "pin": pin}


@pytest.mark.parametrize("pin", ["1", f"sha256:{1:064x}"])
def test_a_pin_on_a_lower_version_switches_without_quarantine(world: World, pin: str) -> None:
    world.serve(1, 2)
    world.edit(version=pinned(pin))
    assert world.status["activeVersion"] == 1
    assert world.history()[:2] == [(1, "Active", "pin"), (2, "Replaced", "policy")]
    assert "rejectedVersions" not in world.status
    assert "hold" not in world.status
    world.serve(3)
    assert world.status["activeVersion"] == 1
    world.edit(version={"policy": "LatestValidated"})
    assert world.status["activeVersion"] == 3


@pytest.mark.parametrize(
    ("pin", "reason", "message"),
    [
        ("9", "PinnedVersionNotFound", "no ModelVersion of model m matches spec.version.pin '9'"),
        ("sha256:" + "f" * 64, "PinnedVersionNotFound", "no ModelVersion of model"),
        ("3", "PinnedVersionNotValidated", "version 3 is pinned but Rejected"),
        ("2", "PinnedVersionQuarantined", "version 2 is pinned but quarantined (ManualRollback"),
    ],
)
def test_a_pin_that_cannot_be_served_stalls(world: World, pin: str, reason: str, message: str) -> None:
    world.serve(1, 2)
    world.act("rollback/1/t1")
    world.cluster.publish(3, good=False)
    world.edit(version=pinned(pin))
    assert world.condition_of("Stalled")[:2] == ("True", reason)
    assert message in world.condition_of("Stalled")[2]
    assert world.condition_of("Ready")[0] == "True"
    assert world.status["activeVersion"] == world.cluster.served() == 1
    assert reason in events_of(world.cluster)


def test_the_quarantine_of_a_pinned_version_is_lifted(world: World) -> None:
    world.serve(1, 2)
    world.act("rollback/1/t1")
    world.edit(version=pinned("2"))
    assert world.act("retry/2/t2") == "version 2 is tried again"
    assert world.status["activeVersion"] == 2
    assert world.condition_of("Stalled")[0] == ""


def test_a_failed_pinned_version_stalls_until_the_spec_changes(world: World) -> None:
    world.edit(version=pinned("1"))
    world.serve(1)
    world.edit(version=pinned("2"))
    world.serve(2)
    world.cluster.health[2] = "hangs"
    world.operator.go_on(UNREADY_SECONDS + 5)
    assert world.status["activeVersion"] == 1
    assert world.condition_of("Stalled")[1] == "PinnedVersionQuarantined"
    assert world.condition_of("Ready")[0] == "True"
    world.edit(version=pinned("1"))
    assert world.condition_of("Stalled")[0] == ""
    assert world.status["phase"] == "Serving"


def test_actions_against_a_pin_are_refused(world: World) -> None:
    world.serve(1, 2)
    world.edit(version=pinned("2"))
    assert "spec.version.pin selects the version that serves" in world.act("rollback/previous/t1")
    assert "the version is pinned" in world.act("hold/t2")


# ---- two deployments for one model, invalid specs --------------------------------------------------------------------


def test_the_older_of_two_deployments_serves(world: World) -> None:
    world.serve(1)
    world.cluster.tick(5)
    world.cluster.deploy("late")
    world.operator.go_on()
    late = world.cluster.deployed("late")
    assert late["phase"] == "Failed"
    stalled = world.cluster.condition("Stalled", "late")
    assert stalled is not None
    assert stalled["reason"] == "ModelTaken"
    assert "ModelDeployment shop already serves model m" in stalled["message"]
    assert world.deployments == ["shop-v1"]
    world.cluster.act("hold/t1", "late")
    world.operator.go_on()
    assert world.cluster.deployed("late")["lastActionMessage"].startswith(
        "refused: ModelDeployment shop already serves"
    )
    world.cluster.remove(MODEL_DEPLOYMENTS, NAMESPACE, NAME)
    world.cluster.roll()
    world.operator.go_on()
    assert world.cluster.deployed("late")["activeVersion"] == 1
    assert world.cluster.condition("Stalled", "late") is None


def test_an_invalid_spec_stalls_and_keeps_serving(world: World) -> None:
    world.serve(1)
    world.edit(serving={"replicas": "two"})
    assert world.condition_of("Stalled")[1] == "InvalidSpec"
    assert "spec.serving.replicas" in world.condition_of("Stalled")[2]
    assert world.condition_of("Ready")[0] == "True"
    assert world.cluster.served() == 1


def test_a_variable_of_the_operator_stalls(world: World) -> None:
    world.serve(1)
    world.edit(serving={"env": [{"name": "TRAINYARD_MODEL_NAME", "value": "x"}]})
    assert world.condition_of("Stalled")[1] == "InvalidSpec"
    assert "TRAINYARD_MODEL_NAME" in world.condition_of("Stalled")[2]
    world.edit(serving={})
    assert world.condition_of("Stalled")[0] == ""
