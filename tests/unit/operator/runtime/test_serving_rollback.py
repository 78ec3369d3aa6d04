"""Rollbacks to an earlier version, automatic and by an action, as docs/modeldeployment.md describes them."""

import pytest

from tests.unit.operator.api_server import NAMESPACE, START
from tests.unit.operator.cluster import events_of
from tests.unit.operator.serving import Health, World, new_world
from trainyard_api import meta
from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus
from trainyard_operator.core.serving.readiness import RESCHEDULED_SECONDS, UNREADY_SECONDS
from trainyard_operator.core.serving.rollout import Cause, go_back
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.kube.port import MODEL_VERSIONS, PODS


@pytest.fixture
def world() -> World:
    return new_world()


# ---- automatic rollback ----------------------------------------------------------------------------------------------


def test_the_warm_version_takes_over_if_the_active_pods_are_unready(world: World) -> None:
    world.serve(1, 2)
    world.cluster.health[2] = "hangs"
    world.operator.go_on(UNREADY_SECONDS - 1)
    assert world.cluster.served() == 2
    assert world.condition_of("Ready")[0] == "False"
    world.operator.go_on(1.0)
    assert world.cluster.served() == 1
    assert world.status["activeVersion"] == 1
    assert world.condition_of("Ready")[0] == "True"
    assert world.condition_of("RolledBack")[:2] == ("True", "Unready")
    assert world.history()[:2] == [(1, "Active", "operator"), (2, "RolledBack", "operator")]
    assert world.cluster.version_phase(2) == "Quarantined"
    assert "previousVersion" not in world.status
    assert events_of(world.cluster).count("RolledBack") == 1
    world.cluster.health[2] = "loads"
    world.operator.go_on(400.0)
    assert world.status["activeVersion"] == 1, "a quarantined version is not served again"


def test_a_server_with_a_final_error_is_rolled_back_at_once(world: World) -> None:
    world.serve(1, 2)
    world.cluster.health[2] = "corrupt"
    world.cluster.crash()
    world.operator.go_on(5.0)
    assert world.status["activeVersion"] == 1
    assert world.status["rejectedVersions"][0]["reason"] == "BadData"


@pytest.mark.parametrize("outage", ["node lost", "refused", "upstream"])
def test_an_external_outage_fails_over_without_quarantine(world: World, outage: Health) -> None:
    world.serve(1, 2)
    world.cluster.health[2] = outage
    world.cluster.roll()
    world.cluster.crash()
    world.operator.go_on(UNREADY_SECONDS)
    assert world.cluster.served() == world.status["activeVersion"] == 1
    assert world.cluster.version_phase(2) == "Validated"
    assert world.condition_of("RolledBack")[0] == ""
    assert "FailedOver" in events_of(world.cluster)
    assert world.status["candidateVersion"] == 2, "the policy selects it again, with a new deadline"
    world.cluster.health[2] = "loads"
    world.operator.go_on(1.0)
    assert world.cluster.served() == world.status["activeVersion"] == 2
    assert world.history()[:3] == [(2, "Active", "policy"), (1, "Replaced", "operator"), (2, "Replaced", "policy")]


def test_rescheduled_pods_get_more_time(world: World) -> None:
    world.serve(1, 2)
    world.cluster.health[2] = "hangs"
    world.operator.go_on(1.0)
    old = next(n for n, p in world.cluster.of(PODS).items() if p["metadata"]["labels"][meta.VERSION_LABEL] == "2")
    world.cluster.remove(PODS, NAMESPACE, old)
    world.operator.go_on(UNREADY_SECONDS + 5)
    assert world.status["activeVersion"] == 2
    world.operator.go_on(RESCHEDULED_SECONDS)
    assert world.status["activeVersion"] == 1
    assert world.cluster.version_phase(2) == "Validated", "a slow start is not a failure until its deadline"
    world.operator.go_on(60.0)
    assert world.cluster.version_phase(2) == "Quarantined"


def test_an_outage_of_both_versions_causes_no_switching(world: World) -> None:
    world.serve(1, 2)
    world.cluster.health |= {1: "hangs", 2: "hangs"}
    world.operator.go_on(30.0)
    assert world.cluster.served() == 2
    world.operator.go_on(400.0)
    assert world.status["phase"] == "Failed"
    assert world.condition_of("Stalled")[1] == "Unavailable"
    assert world.deployments == ["shop-v1", "shop-v2"], "the rollback target stays warm while nothing serves"
    world.cluster.health[2] = "loads"
    world.operator.go_on(400.0)
    assert world.status["phase"] == "Serving"
    assert world.history()[0] == (2, "Active", "policy")
    assert world.deployments == ["shop-v2"]


def test_without_a_rollback_target_the_active_version_stays(world: World) -> None:
    world.serve(1)
    world.cluster.health[1] = "hangs"
    world.operator.go_on(61.0)
    assert world.condition_of("Ready")[0] == "False"
    assert world.condition_of("Stalled")[1] == "Unavailable"
    assert world.status["activeVersion"] == 1
    world.serve(2)
    assert world.status["activeVersion"] == 2
    assert world.condition_of("Stalled")[0] == ""


def test_automatic_rollback_can_be_disabled(world: World) -> None:
    world.edit(rollback={"automatic": False})
    world.serve(1, 2)
    world.cluster.health[2] = "hangs"
    world.operator.go_on(30.0)
    assert world.status["activeVersion"] == 2
    world.act("rollback/previous/t1")
    assert world.status["activeVersion"] == 1


# ---- rollback by an action -------------------------------------------------------------------------------------------


def test_a_rollback_to_a_warm_version_holds(world: World) -> None:
    world.serve(1, 2)
    assert world.act("rollback/previous/t1") == "rolling back to version 1"
    assert world.status["activeVersion"] == 1
    assert world.status["phase"] == "Held"
    assert world.status["hold"]["above"] == 2
    assert world.status["hold"]["by"] == "alice"
    assert world.history()[:2] == [(1, "Active", "alice"), (2, "RolledBack", "alice")]
    assert world.status["rejectedVersions"][0]["reason"] == "ManualRollback"
    assert world.cluster.version_phase(2) == "Quarantined"
    assert world.condition_of("Ready")[0] == "True"
    world.operator.go_on(400.0)
    assert world.status["activeVersion"] == 1
    assert world.deployments == ["shop-v1"]
    world.serve(3)
    assert world.status["activeVersion"] == 3
    assert "hold" not in world.status


def test_a_rollback_starts_pods_that_are_gone(world: World) -> None:
    world.serve(1, 2, 3)
    world.operator.go_on(400.0)
    assert world.deployments == ["shop-v3"]
    world.cluster.act("rollback/1/t1")
    world.operator.settle()
    assert world.status["phase"] == "RollingBack"
    assert world.cluster.served() == 3
    world.operator.go_on()
    assert world.status["activeVersion"] == 1
    assert world.status["hold"]["above"] == 3
    world.operator.go_on(20.0)
    assert world.status["activeVersion"] == 1, "version 2 is not above the version that was rolled back"


def test_the_active_version_fails_during_a_requested_rollback(world: World) -> None:
    """User and operator request the same rollback: it happens once, and the target is not quarantined."""
    world.serve(1, 2)
    world.operator.go_on(400.0)
    world.cluster.health[2] = "corrupt"
    world.cluster.act("rollback/1/t1")
    world.operator.settle()
    world.cluster.crash()
    world.cluster.roll()  # the operator observes both changes at once
    world.operator.go_on(20.0)
    assert world.status["activeVersion"] == world.cluster.served() == 1
    assert [entry["version"] for entry in world.status["rejectedVersions"]] == [2]
    assert world.status["hold"]["above"] == 2
    assert "candidateVersion" not in world.status


def test_an_automatic_rollback_to_the_requested_target_happens_once() -> None:
    status = ModelDeploymentStatus.model_validate(
        {
            "activeVersion": 2,
            "previousVersion": 1,
            "candidateVersion": 1,
            "candidateReason": "Rollback",
            "candidateBy": "alice",
            "history": [
                {"version": 2, "from": to_rfc3339(START), "outcome": "Active", "by": "operator", "reason": "r"},
                {"version": 1, "from": to_rfc3339(START), "outcome": "Replaced", "by": "operator", "reason": "r"},
            ],
        }
    )
    spec = ModelDeploymentSpec.model_validate({"modelName": "shop"})
    after = go_back(status, Cause("BadData", "one byte differs"), spec, START)
    assert (after.active_version, after.candidate_version, after.previous_version) == (1, None, None)
    assert [(each.version, each.reason) for each in after.rejected_versions or ()] == [(2, "BadData")]
    assert after.hold is not None
    assert after.hold.by == "alice"


def test_a_rollback_target_that_does_not_load_is_rejected(world: World) -> None:
    world.serve(1, 2)
    world.operator.go_on(400.0)
    world.cluster.health[1] = "hangs"
    world.act("rollback/previous/t1")
    world.operator.go_on(61.0)
    assert world.status["activeVersion"] == 2
    assert world.status["rejectedVersions"][0]["version"] == 1
    assert "hold" not in world.status


def test_a_rollback_can_hold_until_it_is_released(world: World) -> None:
    world.edit(rollback={"afterManual": "HoldUntilReleased"})
    world.serve(1, 2)
    world.act("rollback/1/t1")
    world.serve(3)
    assert world.status["activeVersion"] == 1
    assert world.act("release/t2") == "the hold is released, and the policy selects versions again"
    assert world.status["activeVersion"] == 3


def test_hold_and_release_by_actions(world: World) -> None:
    world.serve(1)
    world.act("hold/t1")
    assert world.status["phase"] == "Held"
    world.serve(2)
    assert world.status["activeVersion"] == 1
    world.act("release/t2")
    assert world.status["activeVersion"] == 2


def test_retry_lifts_the_quarantine(world: World) -> None:
    world.serve(1, 2)
    world.act("rollback/previous/t1")
    assert world.act("retry/2/t2") == "version 2 is tried again"
    assert world.status["activeVersion"] == 2
    assert "rejectedVersions" not in world.status
    assert "hold" not in world.status
    assert world.cluster.version_phase(2) == "Validated"
    assert world.history()[0] == (2, "Active", "alice")


def test_a_lower_version_is_a_rollback_target_after_retry(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "hangs"
    world.cluster.publish(2)
    world.operator.go_on(61.0)
    world.cluster.health[2] = "loads"
    world.serve(3)
    assert world.cluster.version_phase(2) == "Quarantined"
    assert "quarantined" in world.act("rollback/2/t0")
    assert world.act("retry/2/t1").startswith("version 2 is no longer quarantined: to serve it, use rollback/2/<token>")
    assert world.status["activeVersion"] == 3
    assert world.act("rollback/2/t2") == "rolling back to version 2"
    assert world.status["activeVersion"] == 2
    assert world.cluster.version_phase(2) == "Validated"


def test_abort_rejects_the_candidate(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "hangs"
    world.cluster.publish(2)
    world.operator.go_on()
    assert "to try it again, use the action retry/2/<token>" in world.act("abort/t1")
    world.operator.go_on(10.0)
    assert world.status["activeVersion"] == 1
    assert world.deployments == ["shop-v1"]
    assert world.status["rejectedVersions"][0]["reason"] == "Aborted"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rolback/1/t1", "'rolback/1/t1' is not a valid action: write rollback/<version|previous>/<token>"),
        ("rollback/previous", "is not a valid action"),
        ("rollback/v1/t1", "is not a valid action"),
        ("retry/previous/t1", "is not a valid action"),
        ("promote", "is not a valid action"),
        ("promote/", "is not a valid action"),
        ("promote/two words", "is not a valid action"),
        ("hold/" + "x" * 300, "is not a valid action"),
        ("rollback/9/t1", "model m has no version 9"),
        ("retry/9/t1", "model m has no version 9"),
        ("rollback/previous/t1", "there is no version to roll back to"),
        ("rollback/1/t1", "version 1 already serves"),
        ("rollback/2/t1", "version 2 has never served and is Rejected: only a validated version can take over"),
        ("retry/1/t1", "version 1 is not quarantined"),
        ("retry/2/t1", "version 2 did not pass its gates"),
        ("promote/t1", "there is no candidate to promote"),
        ("abort/t1", "there is no candidate to abort"),
        ("release/t1", "there is no hold"),
    ],
)
def test_an_invalid_action_is_refused_once_with_a_message(world: World, text: str, expected: str) -> None:
    world.serve(1)
    world.cluster.publish(2, good=False)
    world.operator.go_on()
    message = world.act(text)
    assert message.startswith("refused: ")
    assert expected in message
    assert world.status["lastHandledAction"] == text[:256]
    assert world.status["activeVersion"] == 1
    assert events_of(world.cluster).count("ActionRefused") == 1
    before = len(world.cluster.writes)
    world.operator.restart()
    world.operator.go_on(100.0)
    assert world.cluster.writes[before:] == []


def test_a_used_token_is_refused(world: World) -> None:
    world.serve(1, 2, 3)
    world.act("rollback/previous/t1")
    refusal = "refused: token 't1' was used before: use a new one, such as the time"
    assert world.act("rollback/1/t1") == refusal
    assert world.act("release/t2") == "the hold is released, and the policy selects versions again"
    assert world.act("rollback/previous/t1") == refusal, "an old annotation that Git applies again is not a new request"
    assert world.status["activeVersion"] == 2
    for number in range(40):
        world.act(f"hold/u{number}")
    assert world.status["usedTokens"][-1] == "u39"


def test_a_quarantined_version_is_not_a_rollback_target(world: World) -> None:
    world.serve(1, 2)
    world.act("rollback/1/t1")
    assert (
        "version 2 is quarantined (ManualRollback): lift the quarantine first, with the action retry/2/<token>"
        in world.act("rollback/2/t2")
    )


def test_a_version_recreated_with_another_digest_is_refused(world: World) -> None:
    world.serve(1, 2)
    world.cluster.remove(MODEL_VERSIONS, NAMESPACE, "m-v1")
    body = world.cluster.publish(1)
    artifact = {**body["spec"]["artifact"], "manifestSha256": "f" * 64}
    world.cluster.change(MODEL_VERSIONS, NAMESPACE, "m-v1", spec={**body["spec"], "artifact": artifact})
    assert "its digest differs" in world.act("rollback/1/t1")
