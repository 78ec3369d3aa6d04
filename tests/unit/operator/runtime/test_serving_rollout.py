"""How a candidate becomes active or fails: the rows about candidates in docs/modeldeployment.md."""

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import events_of
from tests.unit.operator.serving import NAME, Health, World, new_world
from trainyard_operator.core.serving.deployments import DRAIN_SECONDS
from trainyard_operator.kube.errors import ForbiddenError
from trainyard_operator.kube.port import DEPLOYMENTS, MODEL_DEPLOYMENTS, MODEL_VERSIONS, PODS, Resource
from trainyard_operator.runtime.reconciler import Outcome


@pytest.fixture
def world() -> World:
    return new_world()


# ---- the first versions ----------------------------------------------------------------------------------------------


def test_a_deployment_without_a_version_is_pending(world: World) -> None:
    assert world.status["phase"] == "Pending"
    assert world.condition_of("Ready")[:2] == ("False", "WaitingForVersion")
    assert world.condition_of("Reconciling")[0] == "True"
    assert world.deployments == []
    assert "url" not in world.status


def test_the_first_version_becomes_active(world: World) -> None:
    world.cluster.publish(1)
    world.operator.settle()
    assert world.status["phase"] == "Progressing"
    assert world.status["candidateVersion"] == 1
    assert world.cluster.served() is None, "the Service is created when the first pods are ready"
    world.operator.go_on()
    assert world.status["phase"] == "Serving"
    assert world.condition_of("Ready") == ("True", "Serving", "version 1 serves")
    assert world.condition_of("Reconciling")[0] == ""
    assert world.status["url"] == "http://shop.team.svc/v2/models/m"
    assert world.status["activeDigest"] == f"{1:064x}"
    assert (world.status["replicas"], world.status["readyReplicas"]) == (1, 1)
    assert world.cluster.served() == 1
    assert {"RolloutStarted", "Promoted"} <= set(events_of(world.cluster))


def test_the_status_shows_the_traffic(world: World) -> None:
    world.cluster.publish(1)
    world.operator.settle()
    assert world.status["traffic"] == [{"version": 1, "weight": 0, "role": "Warm"}], "no Service yet"
    world.operator.go_on()
    assert world.status["traffic"] == [{"version": 1, "weight": 100, "role": "Live"}]
    world.cluster.publish(2)
    world.operator.settle()
    new = {"version": 2, "weight": 0, "role": "Warm"}
    assert world.status["traffic"] == [{"version": 1, "weight": 100, "role": "Live"}, new]
    world.operator.go_on()
    old = {"version": 1, "weight": 0, "role": "Warm"}
    assert world.status["traffic"] == [{"version": 2, "weight": 100, "role": "Live"}, old]


def test_the_policy_selects_the_highest_validated_version(world: World) -> None:
    world.cluster.publish(1)
    world.cluster.publish(2)
    world.cluster.publish(3, good=False)
    world.operator.go_on()
    assert world.status["activeVersion"] == 2
    assert world.history() == [(2, "Active", "policy")]
    assert world.cluster.version_phase(3) == "Rejected"


def test_a_newer_rejected_version_is_reported(world: World) -> None:
    world.cluster.publish(1, good=False)
    world.operator.go_on()
    assert world.condition_of("NewerVersionRejected")[:2] == ("True", "GatesNotMet")
    assert "no version serves" in world.condition_of("NewerVersionRejected")[2]
    world.serve(2)
    assert world.condition_of("NewerVersionRejected")[0] == ""
    made = world.cluster.of(MODEL_VERSIONS)["m-v2"]["metadata"]["creationTimestamp"]
    assert world.status["activeTrainedTime"] == made
    world.cluster.publish(3, good=False)
    world.operator.go_on()
    expected = (
        "True",
        "GatesNotMet",
        "version 3 was rejected, version 2 keeps serving: 1 of 1 gates not met: mae 2.5: required",
    )
    status, reason, message = world.condition_of("NewerVersionRejected")
    assert (status, reason, message[: len(expected[2])]) == expected
    assert world.condition_of("Ready")[:2] == ("True", "Serving")
    assert (world.condition_of("Reconciling")[0], world.condition_of("Stalled")[0]) == ("", "")
    world.cluster.remove(MODEL_VERSIONS, NAMESPACE, "m-v2")
    world.operator.go_on()
    assert world.status["activeTrainedTime"] == made, "the time is known although the ModelVersion is gone"
    world.serve(4)
    assert world.condition_of("NewerVersionRejected")[0] == ""


def test_requests_switch_when_all_pods_are_ready(world: World) -> None:
    world.edit(serving={"replicas": 2})
    world.serve(1)
    world.cluster.publish(2)
    world.operator.settle()
    for _ in range(2):
        world.cluster.roll(rounds=1)
        world.operator.settle()
        ready = world.cluster.of(DEPLOYMENTS)["shop-v2"]["status"]["readyReplicas"]
        assert world.cluster.served() == (2 if ready == 2 else 1)
        assert world.status["activeVersion"] == world.cluster.served()
    assert world.status["phase"] == "Serving"
    assert world.status["previousVersion"] == 1
    assert world.history() == [(2, "Active", "policy"), (1, "Replaced", "policy")]


@pytest.mark.parametrize(("keep", "stays"), [(300, 300), (0, DRAIN_SECONDS)])
def test_the_previous_version_is_kept_warm(world: World, keep: int, stays: int) -> None:
    world.edit(rollout={"keepWarmSeconds": keep})
    world.cluster.publish(1)
    world.operator.go_on()
    world.cluster.publish(2)
    world.operator.go_on()
    assert world.deployments == ["shop-v1", "shop-v2"]
    outcome = world.operator.reconcile()
    assert isinstance(outcome, Outcome)
    assert outcome.after is not None
    assert outcome.after <= stays
    world.operator.go_on(stays - 1)
    assert world.deployments == ["shop-v1", "shop-v2"]
    world.operator.go_on(1)
    assert world.deployments == ["shop-v2"]
    assert world.status["previousVersion"] == 1, "the rollback target is known, only its pods are gone"


def test_a_newer_version_replaces_a_candidate(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "hangs"
    world.serve(2, 3)
    assert world.status["activeVersion"] == 3
    world.operator.go_on(DRAIN_SECONDS)
    assert world.deployments == ["shop-v1", "shop-v3"]
    assert world.history() == [(3, "Active", "policy"), (1, "Replaced", "policy")]


# ---- a candidate that fails ------------------------------------------------------------------------------------------


def test_a_corrupt_artifact_is_rejected_with_the_message_of_the_server(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "corrupt"
    world.cluster.publish(2)
    world.operator.go_on()
    world.cluster.crash()
    world.operator.go_on(6.0)
    assert world.status["activeVersion"] == 1
    assert world.status["phase"] == "Serving"
    assert "candidateVersion" not in world.status
    assert world.status["rejectedVersions"][0]["reason"] == "BadData"
    assert "BadData: code 65" in world.status["rejectedVersions"][0]["message"]
    assert world.condition_of("Ready")[0] == "True"
    assert world.condition_of("RolledBack")[:2] == ("True", "BadData")
    assert world.condition_of("Stalled")[0] == ""
    assert world.history() == [(2, "Rejected", "operator"), (1, "Active", "policy")]
    assert world.cluster.version_phase(2) == "Quarantined"
    assert events_of(world.cluster).count("CandidateRejected") == 1
    world.operator.go_on(6.0)
    assert world.deployments == ["shop-v1"]
    world.operator.restart()
    world.operator.go_on(400.0)
    assert world.status["activeVersion"] == 1
    world.serve(3)
    assert world.status["activeVersion"] == 3
    assert world.condition_of("RolledBack")[0] == ""


def test_a_candidate_that_is_not_ready_in_time_is_rejected(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "hangs"
    world.cluster.publish(2)
    world.operator.go_on(58.0)
    assert world.status["phase"] == "Progressing"
    assert "0 of 1 pods of version 2 are ready" in world.condition_of("Reconciling")[2]
    world.operator.go_on(3.0)
    assert world.status["phase"] == "Serving"
    assert world.status["rejectedVersions"][0]["reason"] == "ProgressDeadlineExceeded"


def test_an_edit_of_the_spec_restarts_the_deadline_of_a_candidate(world: World) -> None:
    world.cluster.health[1] = "hangs"
    world.cluster.publish(1)
    world.operator.go_on(58.0)
    world.edit(serving={"podLabels": {"team": "shop"}})
    world.operator.go_on(50.0)
    assert world.status["candidateVersion"] == 1
    world.operator.go_on(11.0)
    assert "candidateVersion" not in world.status


def test_a_change_of_replicas_does_not_restart_the_deadline(world: World) -> None:
    """An autoscaler may change the number every few seconds."""
    world.cluster.health[1] = "hangs"
    world.cluster.publish(1)
    for replicas in (2, 3, 2, 3):
        world.operator.go_on(14.0)
        world.edit(serving={"replicas": replicas})
    world.operator.go_on(15.0)
    assert world.status["rejectedVersions"][0]["reason"] == "ProgressDeadlineExceeded"


def test_the_status_has_replicas_and_selector_for_an_autoscaler(world: World) -> None:
    assert (world.status["replicas"], "selector" in world.status) == (0, False)
    world.serve(1)
    world.edit(serving={"replicas": 3})
    uid = world.cluster.of(MODEL_DEPLOYMENTS)[NAME]["metadata"]["uid"]
    assert world.status["replicas"] == world.status["readyReplicas"] == 3
    assert world.status["selector"] == f"trainyard.dev/modeldeployment-uid={uid},trainyard.dev/version=1"
    world.serve(2)
    assert world.status["selector"].endswith("version=2")
    assert world.status["replicas"] == 3


def publish_failing(world: World, how: Health, times: int) -> None:
    """Publish version 2 while version 1 serves, and restart the server of version 2 ``times`` times."""
    world.serve(1)
    world.cluster.health[2] = how
    world.cluster.publish(2)
    world.operator.go_on(6.0)
    for _ in range(times):
        world.cluster.crash()
        world.operator.go_on(2.0)


def test_a_candidate_that_crashes_repeatedly_is_rejected(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "crashes"
    world.cluster.publish(2)
    world.operator.go_on(6.0)
    for restarts in range(1, 4):
        assert world.status["candidateVersion"] == 2, restarts
        world.cluster.crash()
        world.operator.go_on(2.0)
    assert world.status["rejectedVersions"][0]["reason"] == "CrashLoop"


def test_an_unavailable_storage_does_not_reject_the_version(world: World) -> None:
    publish_failing(world, "upstream", 5)
    assert world.status["candidateVersion"] == 2
    assert "ended with exit code 69" in world.condition_of("Reconciling")[2]


def test_pods_from_before_an_edit_do_not_count(world: World) -> None:
    publish_failing(world, "crashes", 2)
    world.edit(serving={"podLabels": {"memory": "more"}})
    world.cluster.crash()  # the third restart of the old pod, which stays until the new one is ready
    world.operator.go_on(6.0)
    assert world.status["candidateVersion"] == 2
    world.cluster.health[2] = "loads"
    world.operator.go_on(1.0)
    assert world.status["activeVersion"] == 2


def test_refused_credentials_do_not_reject_the_version(world: World) -> None:
    publish_failing(world, "refused", 5)
    assert world.status["candidateVersion"] == 2
    assert "ended with exit code 77" in world.condition_of("Reconciling")[2]
    world.cluster.health[2] = "loads"
    world.operator.go_on(1.0)
    assert world.status["activeVersion"] == 2


def test_a_deployment_whose_only_version_fails_is_failed(world: World) -> None:
    world.cluster.health[1] = "hangs"
    world.cluster.publish(1)
    world.operator.go_on(61.0)
    assert world.status["phase"] == "Failed"
    assert world.condition_of("Stalled")[1] == "NoVersionServes"
    assert "retry/1/<token>" in world.condition_of("Stalled")[2]
    world.cluster.health[1] = "loads"
    assert world.act("retry/1/t1") == "version 1 is tried again"
    assert world.status["phase"] == "Serving"
    assert world.cluster.version_phase(1) == "Validated"


def test_a_quota_does_not_reject_the_version(world: World) -> None:
    world.serve(1)

    def quota(verb: str, resource: Resource, after: bool) -> None:
        if resource == DEPLOYMENTS and verb == "apply":
            raise ForbiddenError(403, "Forbidden", "exceeded quota: deployments")

    world.cluster.hook = quota
    world.cluster.publish(2)
    for _ in range(3):
        world.operator.deliver_all()
        world.operator.settle()
        world.cluster.tick(100)
    assert world.status["candidateVersion"] == 2
    assert world.condition_of("Reconciling")[1:] == ("ChildRefused", "403 Forbidden: exceeded quota: deployments")
    assert world.condition_of("Ready")[0] == "True"
    world.cluster.hook = lambda *_: None
    world.operator.go_on()
    assert world.status["activeVersion"] == 2


def test_an_invalid_spec_does_not_reject_the_version(world: World) -> None:
    world.cluster.health[1] = "hangs"
    world.cluster.publish(1)
    world.operator.go_on()
    world.edit(serving={"env": [{"name": "TRAINYARD_MODEL_NAME", "value": "x"}]})
    world.operator.go_on(500.0)
    assert world.status["candidateVersion"] == 1
    assert world.condition_of("Stalled")[1] == "InvalidSpec"


def test_a_candidate_whose_version_is_deleted_is_dropped(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "hangs"
    world.cluster.publish(2)
    world.operator.go_on()
    world.cluster.remove(MODEL_VERSIONS, NAMESPACE, "m-v2")
    world.operator.go_on(DRAIN_SECONDS)
    assert "candidateVersion" not in world.status
    assert world.deployments == ["shop-v1"]
    assert "CandidateDropped" in events_of(world.cluster)


def test_an_image_that_cannot_be_pulled_is_reported(world: World) -> None:
    world.cluster.health[1] = "hangs"
    world.cluster.publish(1)
    world.operator.go_on()
    name, pod = next(iter(world.cluster.of(PODS).items()))
    state = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
    containers = [{**pod["status"]["containerStatuses"][0], "state": state}]
    world.cluster.change(PODS, NAMESPACE, name, status={**pod["status"], "containerStatuses": containers})
    world.operator.go_on(6.0)
    assert "0 of 1 pods of version 1 are ready; pod" in world.condition_of("Reconciling")[2]
    assert "ErrImagePull: not found" in world.condition_of("Ready")[2]


# ---- promotion by a user --------------------------------------------------------------------------------------------


def test_a_candidate_can_wait_for_promotion(world: World) -> None:
    world.edit(rollout={"autoPromote": False, "progressDeadlineSeconds": 60})
    world.serve(1)
    assert world.status["activeVersion"] == 1, "the first version needs no promotion"
    world.serve(2)
    assert world.status["phase"] == "AwaitingPromotion"
    assert world.condition_of("Reconciling")[1] == "AwaitingPromotion"
    assert world.cluster.served() == 1
    world.operator.go_on(500.0)
    assert world.status["phase"] == "AwaitingPromotion", "a promotion by a user has no deadline"
    world.serve(3)
    assert world.status["candidateVersion"] == 3
    assert "takes over" in world.act("promote/t1")
    assert world.status["activeVersion"] == 3
    assert world.history()[0] == (3, "Active", "alice")


def test_a_waiting_candidate_that_loses_its_pods_gets_a_new_deadline(world: World) -> None:
    world.edit(rollout={"autoPromote": False, "progressDeadlineSeconds": 60})
    world.serve(1, 2)
    world.cluster.tick(600)
    world.cluster.health[2] = "hangs"
    world.operator.go_on(30.0)
    assert world.status["candidateVersion"] == 2
    world.operator.go_on(31.0)
    assert "candidateVersion" not in world.status
