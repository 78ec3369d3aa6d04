"""Each row of the tables in docs/modeldeployment.md: both planners, the Deployment controller and pods in memory."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.unit.operator.cluster import NAMESPACE, events_of
from tests.unit.operator.serving import NAME, Health, ServingCluster, ServingOperator
from trainyard_api import meta
from trainyard_operator.core.serving.children import DRAIN_SECONDS
from trainyard_operator.core.serving.waits import RESCHEDULED_SECONDS, UNREADY_SECONDS
from trainyard_operator.kube.errors import ForbiddenError
from trainyard_operator.kube.port import DEPLOYMENTS, MODEL_DEPLOYMENTS, MODEL_VERSIONS, PODS, SERVICES, Resource
from trainyard_operator.runtime.reconciler import Outcome


@dataclass
class World:
    """A cluster and its operator."""

    cluster: ServingCluster
    operator: ServingOperator

    def serve(self, *numbers: int) -> None:
        """Publish versions one after the other, and let each take over."""
        for number in numbers:
            self.cluster.publish(number)
            self.operator.go_on(1.0)

    def act(self, text: str) -> str:
        """Ask for an action, let it happen, and return what came of it."""
        self.cluster.act(text)
        self.operator.go_on(1.0)
        return str(self.status["lastActionMessage"])

    def edit(self, **spec: Any) -> None:
        """Edit the spec and let it happen."""
        self.cluster.respec(**spec)
        self.operator.go_on(1.0)

    @property
    def status(self) -> dict[str, Any]:
        return self.cluster.deployed()

    @property
    def deployments(self) -> list[str]:
        return sorted(self.cluster.of(DEPLOYMENTS))

    def told(self, kind: str) -> tuple[str, str, str]:
        """Return status, reason and sentence of a condition; empty where there is none."""
        found = self.cluster.condition(kind)
        return ("", "", "") if found is None else (found["status"], found["reason"], found["message"])

    def history(self) -> list[tuple[int, str, str]]:
        return [(e["version"], e["outcome"], e["by"]) for e in self.status.get("history") or ()]


@pytest.fixture
def world() -> World:
    cluster = ServingCluster()
    world = World(cluster, ServingOperator(cluster))
    cluster.deploy(rollout={"keepWarmSeconds": 300, "progressDeadlineSeconds": 60})
    world.operator.go_on()
    return world


# ---- from nothing to serving -----------------------------------------------------------------------------------------


def test_no_version_yet(world: World) -> None:
    assert world.status["phase"] == "Pending"
    assert world.told("Ready")[:2] == ("False", "WaitingForVersion")
    assert world.told("Reconciling")[0] == "True"
    assert world.deployments == []
    assert "url" not in world.status


def test_the_first_version_serves(world: World) -> None:
    world.cluster.publish(1)
    world.operator.settle()
    assert world.status["phase"] == "Progressing"
    assert world.status["candidateVersion"] == 1
    assert world.cluster.served() is None, "the Service comes with the first pods that are ready"
    world.operator.go_on()
    assert world.status["phase"] == "Serving"
    assert world.told("Ready") == ("True", "Serving", "version 1 serves")
    assert world.told("Reconciling")[0] == ""
    assert world.status["url"] == "http://shop.team.svc/v2/models/m"
    assert world.status["activeDigest"] == f"{1:064x}"
    assert (world.status["replicas"], world.status["readyReplicas"]) == (1, 1)
    assert world.cluster.served() == 1
    assert {"RolloutStarted", "Promoted"} <= set(events_of(world.cluster))


def test_the_policy_takes_the_highest_validated_version_and_never_a_lower_one(world: World) -> None:
    world.cluster.publish(1)
    world.cluster.publish(2)
    world.cluster.publish(3, good=False)
    world.operator.go_on()
    assert world.status["activeVersion"] == 2
    assert world.history() == [(2, "Active", "policy")]
    assert world.cluster.version_phase(3) == "Rejected"


def test_requests_move_when_all_pods_are_ready_and_not_before(world: World) -> None:
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
def test_the_version_before_stays_for_a_while(world: World, keep: int, stays: int) -> None:
    world.edit(rollout={"keepWarmSeconds": keep})
    world.cluster.publish(1)
    world.operator.go_on()
    world.cluster.publish(2)
    world.operator.go_on()
    assert world.deployments == ["shop-v1", "shop-v2"]
    outcome = world.operator.turn()
    assert isinstance(outcome, Outcome)
    assert outcome.after is not None
    assert outcome.after <= stays
    world.operator.go_on(stays - 1)
    assert world.deployments == ["shop-v1", "shop-v2"]
    world.operator.go_on(1)
    assert world.deployments == ["shop-v2"]
    assert world.status["previousVersion"] == 1, "the way back is known, only its pods are gone"


def test_a_newer_version_takes_the_place_of_a_candidate(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "hangs"
    world.serve(2, 3)
    assert world.status["activeVersion"] == 3
    world.operator.go_on(DRAIN_SECONDS)
    assert world.deployments == ["shop-v1", "shop-v3"]
    assert world.history() == [(3, "Active", "policy"), (1, "Replaced", "policy")]


# ---- a candidate that fails ------------------------------------------------------------------------------------------


def test_a_corrupt_artifact_is_rejected_with_the_servers_sentence(world: World) -> None:
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
    assert world.told("Ready")[0] == "True"
    assert world.told("RolledBack")[:2] == ("True", "BadData")
    assert world.told("Stalled")[0] == ""
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
    assert world.told("RolledBack")[0] == ""


def test_a_candidate_that_is_not_ready_in_time(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "hangs"
    world.cluster.publish(2)
    world.operator.go_on(58.0)
    assert world.status["phase"] == "Progressing"
    assert "0 of 1 pods of version 2 are ready" in world.told("Reconciling")[2]
    world.operator.go_on(3.0)
    assert world.status["phase"] == "Serving"
    assert world.status["rejectedVersions"][0]["reason"] == "ProgressDeadlineExceeded"


def test_an_edit_of_the_spec_gives_a_candidate_its_time_again(world: World) -> None:
    world.cluster.health[1] = "hangs"
    world.cluster.publish(1)
    world.operator.go_on(58.0)
    world.edit(serving={"podLabels": {"team": "shop"}})
    world.operator.go_on(50.0)
    assert world.status["candidateVersion"] == 1
    world.operator.go_on(11.0)
    assert "candidateVersion" not in world.status


def test_a_candidate_that_crashes_again_and_again(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "crashes"
    world.cluster.publish(2)
    world.operator.go_on(6.0)
    for restarts in range(1, 4):
        assert world.status["candidateVersion"] == 2, restarts
        world.cluster.crash()
        world.operator.go_on(2.0)
    assert world.status["rejectedVersions"][0]["reason"] == "CrashLoop"


def test_a_storage_that_does_not_answer_is_not_the_versions_fault_until_the_deadline(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "upstream"
    world.cluster.publish(2)
    world.operator.go_on(6.0)
    for _ in range(5):
        world.cluster.crash()
        world.operator.go_on(2.0)
    assert world.status["candidateVersion"] == 2
    assert "ended with exit code 69" in world.told("Reconciling")[2]
    world.operator.go_on(60.0)
    assert world.status["rejectedVersions"][0]["reason"] == "ProgressDeadlineExceeded"


def test_pods_from_before_an_edit_say_nothing_about_it(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "crashes"
    world.cluster.publish(2)
    world.operator.go_on(6.0)
    for _ in range(2):
        world.cluster.crash()
        world.operator.go_on(2.0)
    world.edit(serving={"podLabels": {"memory": "more"}})
    world.cluster.crash()  # the old pod for the third time: it stays until the new one is ready
    world.operator.go_on(6.0)
    assert world.status["candidateVersion"] == 2
    world.cluster.health[2] = "loads"
    world.operator.go_on(1.0)
    assert world.status["activeVersion"] == 2


def test_credentials_that_are_refused_are_not_the_versions_fault_until_the_deadline(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "refused"
    world.cluster.publish(2)
    world.operator.go_on(6.0)
    for _ in range(5):
        world.cluster.crash()
        world.operator.go_on(2.0)
    assert world.status["candidateVersion"] == 2
    assert "ended with exit code 77" in world.told("Reconciling")[2]
    world.cluster.health[2] = "loads"
    world.operator.go_on(1.0)
    assert world.status["activeVersion"] == 2


def test_nothing_serves_and_the_only_version_fails(world: World) -> None:
    world.cluster.health[1] = "hangs"
    world.cluster.publish(1)
    world.operator.go_on(61.0)
    assert world.status["phase"] == "Failed"
    assert world.told("Stalled")[1] == "NoVersionServes"
    assert "retry/1/<token>" in world.told("Stalled")[2]
    world.cluster.health[1] = "loads"
    assert world.act("retry/1/t1") == "version 1 is tried again"
    assert world.status["phase"] == "Serving"
    assert world.cluster.version_phase(1) == "Validated"


def test_pods_that_may_not_be_made_are_not_the_versions_fault(world: World) -> None:
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
    assert world.told("Reconciling")[1:] == ("ChildRefused", "403 Forbidden: exceeded quota: deployments")
    assert world.told("Ready")[0] == "True"
    world.cluster.hook = lambda *_: None
    world.operator.go_on()
    assert world.status["activeVersion"] == 2


def test_a_spec_that_cannot_be_rendered_is_not_the_versions_fault(world: World) -> None:
    world.cluster.health[1] = "hangs"
    world.cluster.publish(1)
    world.operator.go_on()
    world.edit(serving={"env": [{"name": "TRAINYARD_MODEL_NAME", "value": "x"}]})
    world.operator.go_on(500.0)
    assert world.status["candidateVersion"] == 1
    assert world.told("Stalled")[1] == "InvalidSpec"


def test_a_candidate_whose_version_is_deleted(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "hangs"
    world.cluster.publish(2)
    world.operator.go_on()
    world.cluster.remove(MODEL_VERSIONS, NAMESPACE, "m-v2")
    world.operator.go_on(DRAIN_SECONDS)
    assert "candidateVersion" not in world.status
    assert world.deployments == ["shop-v1"]
    assert "CandidateDropped" in events_of(world.cluster)


def test_an_image_that_cannot_be_pulled_is_told(world: World) -> None:
    world.cluster.health[1] = "hangs"
    world.cluster.publish(1)
    world.operator.go_on()
    name, pod = next(iter(world.cluster.of(PODS).items()))
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
    containers = [{**pod["status"]["containerStatuses"][0], "state": waiting}]
    world.cluster.change(PODS, NAMESPACE, name, status={**pod["status"], "containerStatuses": containers})
    world.operator.go_on(6.0)
    assert "0 of 1 pods of version 1 are ready; pod" in world.told("Reconciling")[2]
    assert "ErrImagePull: not found" in world.told("Ready")[2]


# ---- waiting for a person --------------------------------------------------------------------------------------------


def test_promotion_by_hand(world: World) -> None:
    world.edit(rollout={"autoPromote": False, "progressDeadlineSeconds": 60})
    world.serve(1)
    assert world.status["activeVersion"] == 1, "the first version has nobody to take requests from"
    world.serve(2)
    assert world.status["phase"] == "AwaitingPromotion"
    assert world.told("Reconciling")[1] == "AwaitingPromotion"
    assert world.cluster.served() == 1
    world.operator.go_on(500.0)
    assert world.status["phase"] == "AwaitingPromotion", "no deadline for people"
    world.serve(3)
    assert world.status["candidateVersion"] == 3
    assert "takes over" in world.act("promote/t1")
    assert world.status["activeVersion"] == 3
    assert world.history()[0] == (3, "Active", "alice")


def test_a_candidate_that_waits_and_loses_its_pods_gets_its_time_again(world: World) -> None:
    world.edit(rollout={"autoPromote": False, "progressDeadlineSeconds": 60})
    world.serve(1, 2)
    world.cluster.tick(600)
    world.cluster.health[2] = "hangs"
    world.operator.go_on(30.0)
    assert world.status["candidateVersion"] == 2
    world.operator.go_on(31.0)
    assert "candidateVersion" not in world.status


# ---- going back by itself --------------------------------------------------------------------------------------------


def test_the_active_version_loses_its_pods_and_the_warm_one_takes_over(world: World) -> None:
    world.serve(1, 2)
    world.cluster.health[2] = "hangs"
    world.operator.go_on(UNREADY_SECONDS - 1)
    assert world.cluster.served() == 2
    assert world.told("Ready")[0] == "False"
    world.operator.go_on(1.0)
    assert world.cluster.served() == 1
    assert world.status["activeVersion"] == 1
    assert world.told("Ready")[0] == "True"
    assert world.told("RolledBack")[:2] == ("True", "Unready")
    assert world.history()[:2] == [(1, "Active", "operator"), (2, "RolledBack", "operator")]
    assert world.cluster.version_phase(2) == "Quarantined"
    assert "previousVersion" not in world.status
    assert events_of(world.cluster).count("RolledBack") == 1
    world.cluster.health[2] = "loads"
    world.operator.go_on(400.0)
    assert world.status["activeVersion"] == 1, "at most once: a quarantined version does not come back"


def test_a_server_that_cannot_go_on_is_left_at_once(world: World) -> None:
    world.serve(1, 2)
    world.cluster.health[2] = "corrupt"
    world.cluster.crash()
    world.operator.go_on(5.0)
    assert world.status["activeVersion"] == 1
    assert world.status["rejectedVersions"][0]["reason"] == "BadData"


@pytest.mark.parametrize("outage", ["node lost", "refused", "upstream"])
def test_an_outage_beside_the_version_is_not_held_against_it(world: World, outage: Health) -> None:
    world.serve(1, 2)
    world.cluster.health[2] = outage
    world.cluster.roll()
    world.cluster.crash()
    world.operator.go_on(UNREADY_SECONDS)
    assert world.cluster.served() == world.status["activeVersion"] == 1
    assert world.cluster.version_phase(2) == "Validated"
    assert world.told("RolledBack")[0] == ""
    assert "FailedOver" in events_of(world.cluster)
    assert world.status["candidateVersion"] == 2, "the policy wants it, and it is given its time"
    world.cluster.health[2] = "loads"
    world.operator.go_on(1.0)
    assert world.cluster.served() == world.status["activeVersion"] == 2
    assert world.history()[:3] == [(2, "Active", "policy"), (1, "Replaced", "operator"), (2, "Replaced", "policy")]


def test_pods_on_their_way_from_a_drained_node_get_more_time(world: World) -> None:
    world.serve(1, 2)
    world.cluster.health[2] = "hangs"
    world.operator.go_on(1.0)
    old = next(n for n, p in world.cluster.of(PODS).items() if p["metadata"]["labels"][meta.VERSION_LABEL] == "2")
    world.cluster.remove(PODS, NAMESPACE, old)
    world.operator.go_on(UNREADY_SECONDS + 5)
    assert world.status["activeVersion"] == 2
    world.operator.go_on(RESCHEDULED_SECONDS)
    assert world.status["activeVersion"] == 1
    assert world.cluster.version_phase(2) == "Validated", "a slow start is no fault until its deadline"
    world.operator.go_on(60.0)
    assert world.cluster.version_phase(2) == "Quarantined"


def test_an_outage_of_both_does_not_flap(world: World) -> None:
    world.serve(1, 2)
    world.cluster.health |= {1: "hangs", 2: "hangs"}
    world.operator.go_on(30.0)
    assert world.cluster.served() == 2
    world.operator.go_on(400.0)
    assert world.status["phase"] == "Failed"
    assert world.told("Stalled")[1] == "Unavailable"
    assert world.deployments == ["shop-v1", "shop-v2"], "the way back stays warm while nothing serves"
    world.cluster.health[2] = "loads"
    world.operator.go_on(400.0)
    assert world.status["phase"] == "Serving"
    assert world.history()[0] == (2, "Active", "policy")
    assert world.deployments == ["shop-v2"]


def test_no_way_back(world: World) -> None:
    world.serve(1)
    world.cluster.health[1] = "hangs"
    world.operator.go_on(61.0)
    assert world.told("Ready")[0] == "False"
    assert world.told("Stalled")[1] == "Unavailable"
    assert world.status["activeVersion"] == 1
    world.serve(2)
    assert world.status["activeVersion"] == 2
    assert world.told("Stalled")[0] == ""


def test_rollback_that_is_not_automatic(world: World) -> None:
    world.edit(rollback={"automatic": False})
    world.serve(1, 2)
    world.cluster.health[2] = "hangs"
    world.operator.go_on(30.0)
    assert world.status["activeVersion"] == 2
    world.act("rollback/previous/t1")
    assert world.status["activeVersion"] == 1


# ---- going back by hand ----------------------------------------------------------------------------------------------


def test_rollback_to_a_warm_version(world: World) -> None:
    world.serve(1, 2)
    assert world.act("rollback/previous/t1") == "going back to version 1"
    assert world.status["activeVersion"] == 1
    assert world.status["phase"] == "Held"
    assert world.status["hold"]["above"] == 2
    assert world.status["hold"]["by"] == "alice"
    assert world.history()[:2] == [(1, "Active", "alice"), (2, "RolledBack", "alice")]
    assert world.status["rejectedVersions"][0]["reason"] == "ManualRollback"
    assert world.cluster.version_phase(2) == "Quarantined"
    assert world.told("Ready")[0] == "True"
    world.operator.go_on(400.0)
    assert world.status["activeVersion"] == 1
    assert world.deployments == ["shop-v1"]
    world.serve(3)
    assert world.status["activeVersion"] == 3
    assert "hold" not in world.status


def test_rollback_to_a_version_whose_pods_are_gone(world: World) -> None:
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
    assert world.status["activeVersion"] == 1, "version 2 is not above the one that was left"


def test_a_rollback_whose_target_does_not_load(world: World) -> None:
    world.serve(1, 2)
    world.operator.go_on(400.0)
    world.cluster.health[1] = "hangs"
    world.act("rollback/previous/t1")
    world.operator.go_on(61.0)
    assert world.status["activeVersion"] == 2
    assert world.status["rejectedVersions"][0]["version"] == 1
    assert "hold" not in world.status


def test_hold_until_released(world: World) -> None:
    world.edit(rollback={"afterManual": "HoldUntilReleased"})
    world.serve(1, 2)
    world.act("rollback/1/t1")
    world.serve(3)
    assert world.status["activeVersion"] == 1
    assert world.act("release/t2") == "the policy decides again"
    assert world.status["activeVersion"] == 3


def test_hold_and_release(world: World) -> None:
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


def test_a_lower_version_whose_rejection_is_lifted_can_be_gone_back_to(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "hangs"
    world.cluster.publish(2)
    world.operator.go_on(61.0)
    world.cluster.health[2] = "loads"
    world.serve(3)
    assert world.cluster.version_phase(2) == "Quarantined"
    assert "quarantined" in world.act("rollback/2/t0")
    assert world.act("retry/2/t1").startswith("version 2 may serve again: rollback/2/<token>")
    assert world.status["activeVersion"] == 3
    assert world.act("rollback/2/t2") == "going back to version 2"
    assert world.status["activeVersion"] == 2
    assert world.cluster.version_phase(2) == "Validated"


def test_abort(world: World) -> None:
    world.serve(1)
    world.cluster.health[2] = "hangs"
    world.cluster.publish(2)
    world.operator.go_on()
    assert "not tried again until retry/2/<token>" in world.act("abort/t1")
    world.operator.go_on(10.0)
    assert world.status["activeVersion"] == 1
    assert world.deployments == ["shop-v1"]
    assert world.status["rejectedVersions"][0]["reason"] == "Aborted"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rolback/1/t1", "'rolback/1/t1' is no action: write rollback/<version|previous>/<token>"),
        ("rollback/previous", "is no action"),
        ("rollback/v1/t1", "is no action"),
        ("retry/previous/t1", "is no action"),
        ("promote", "is no action"),
        ("promote/", "is no action"),
        ("promote/two words", "is no action"),
        ("hold/" + "x" * 300, "is no action"),
        ("rollback/9/t1", "model m has no version 9"),
        ("retry/9/t1", "model m has no version 9"),
        ("rollback/previous/t1", "there is nothing to go back to"),
        ("rollback/1/t1", "version 1 serves already"),
        ("rollback/2/t1", "version 2 has never served and is Rejected: only a validated version can take over"),
        ("retry/1/t1", "version 1 is not quarantined"),
        ("retry/2/t1", "version 2 did not pass its gates"),
        ("promote/t1", "there is no candidate to promote"),
        ("abort/t1", "there is no candidate to abort"),
        ("release/t1", "nothing is held"),
    ],
)
def test_an_action_is_refused_once_with_a_sentence(world: World, text: str, sentence: str) -> None:
    world.serve(1)
    world.cluster.publish(2, good=False)
    world.operator.go_on()
    message = world.act(text)
    assert message.startswith("refused: ")
    assert sentence in message
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
    told = "refused: token 't1' was used before: take a new one, such as the time"
    assert world.act("rollback/1/t1") == told
    assert world.act("release/t2") == "the policy decides again"
    assert world.act("rollback/previous/t1") == told, "an annotation in Git that comes back is no new wish"
    assert world.status["activeVersion"] == 2
    for number in range(40):
        world.act(f"hold/u{number}")
    assert world.status["usedTokens"][-1] == "u39"


def test_a_quarantined_version_is_no_way_back(world: World) -> None:
    world.serve(1, 2)
    world.act("rollback/1/t1")
    assert "version 2 is quarantined (ManualRollback): lift that with retry/2/<token> first" in world.act(
        "rollback/2/t2"
    )


def test_another_model_under_the_number_of_one_that_served(world: World) -> None:
    world.serve(1, 2)
    world.cluster.remove(MODEL_VERSIONS, NAMESPACE, "m-v1")
    body = world.cluster.publish(1)
    artifact = {**body["spec"]["artifact"], "manifestSha256": "f" * 64}
    world.cluster.change(MODEL_VERSIONS, NAMESPACE, "m-v1", spec={**body["spec"], "artifact": artifact})
    assert "its digest is another" in world.act("rollback/1/t1")


# ---- Git says which --------------------------------------------------------------------------------------------------


def pinned(pin: str) -> dict[str, str]:
    return {"policy": "Pinned", "pin": pin}


@pytest.mark.parametrize("pin", ["1", f"sha256:{1:064x}"])
def test_a_pin_of_a_lower_version_goes_back_without_quarantine(world: World, pin: str) -> None:
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
    ("pin", "reason", "sentence"),
    [
        ("9", "PinnedVersionNotFound", "spec.version.pin '9' names no ModelVersion of model m"),
        ("sha256:" + "f" * 64, "PinnedVersionNotFound", "names no ModelVersion"),
        ("3", "PinnedVersionNotValidated", "version 3 is pinned but Rejected"),
        ("2", "PinnedVersionQuarantined", "version 2 is pinned but quarantined (ManualRollback"),
    ],
)
def test_a_pin_that_cannot_be_honoured(world: World, pin: str, reason: str, sentence: str) -> None:
    world.serve(1, 2)
    world.act("rollback/1/t1")
    world.cluster.publish(3, good=False)
    world.edit(version=pinned(pin))
    assert world.told("Stalled")[:2] == ("True", reason)
    assert sentence in world.told("Stalled")[2]
    assert world.told("Ready")[0] == "True"
    assert world.status["activeVersion"] == world.cluster.served() == 1
    assert reason in events_of(world.cluster)


def test_the_quarantine_of_a_pinned_version_is_lifted(world: World) -> None:
    world.serve(1, 2)
    world.act("rollback/1/t1")
    world.edit(version=pinned("2"))
    assert world.act("retry/2/t2") == "version 2 is tried again"
    assert world.status["activeVersion"] == 2
    assert world.told("Stalled")[0] == ""


def test_a_pinned_version_that_fails_is_told_until_git_changes(world: World) -> None:
    world.edit(version=pinned("1"))
    world.serve(1)
    world.edit(version=pinned("2"))
    world.serve(2)
    world.cluster.health[2] = "hangs"
    world.operator.go_on(UNREADY_SECONDS + 5)
    assert world.status["activeVersion"] == 1
    assert world.told("Stalled")[1] == "PinnedVersionQuarantined"
    assert world.told("Ready")[0] == "True"
    world.edit(version=pinned("1"))
    assert world.told("Stalled")[0] == ""
    assert world.status["phase"] == "Serving"


def test_verbs_do_not_argue_with_a_pin(world: World) -> None:
    world.serve(1, 2)
    world.edit(version=pinned("2"))
    assert "spec.version.pin decides which version serves" in world.act("rollback/previous/t1")
    assert "a pinned version is held by its pin" in world.act("hold/t2")


# ---- two for one model, specs that cannot be read --------------------------------------------------------------------


def test_the_older_of_two_serves(world: World) -> None:
    world.serve(1)
    world.cluster.tick(5)
    world.cluster.deploy("late")
    world.operator.go_on()
    late = world.cluster.deployed("late")
    assert late["phase"] == "Failed"
    stalled = world.cluster.condition("Stalled", "late")
    assert stalled is not None
    assert stalled["reason"] == "ModelTaken"
    assert "ModelDeployment shop serves model m already" in stalled["message"]
    assert world.deployments == ["shop-v1"]
    world.cluster.act("hold/t1", "late")
    world.operator.go_on()
    assert world.cluster.deployed("late")["lastActionMessage"].startswith("refused: ModelDeployment shop serves")
    world.cluster.remove(MODEL_DEPLOYMENTS, NAMESPACE, NAME)
    world.cluster.roll()
    world.operator.go_on()
    assert world.cluster.deployed("late")["activeVersion"] == 1
    assert world.cluster.condition("Stalled", "late") is None


def test_a_spec_that_passed_an_older_schema(world: World) -> None:
    world.serve(1)
    world.edit(serving={"replicas": "two"})
    assert world.told("Stalled")[1] == "InvalidSpec"
    assert "spec.serving.replicas" in world.told("Stalled")[2]
    assert world.told("Ready")[0] == "True"
    assert world.cluster.served() == 1


def test_a_variable_that_is_the_operators(world: World) -> None:
    world.serve(1)
    world.edit(serving={"env": [{"name": "TRAINYARD_MODEL_NAME", "value": "x"}]})
    assert world.told("Stalled")[1] == "InvalidSpec"
    assert "TRAINYARD_MODEL_NAME" in world.told("Stalled")[2]
    world.edit(serving={})
    assert world.told("Stalled")[0] == ""


# ---- children --------------------------------------------------------------------------------------------------------


def test_replicas_and_templates_change_in_place(world: World) -> None:
    world.serve(1)
    uid = world.cluster.of(DEPLOYMENTS)["shop-v1"]["metadata"]["uid"]
    world.edit(serving={"replicas": 3, "podLabels": {"team": "a"}})
    body = world.cluster.of(DEPLOYMENTS)["shop-v1"]
    assert body["metadata"]["uid"] == uid
    assert body["spec"]["replicas"] == 3
    assert world.status["readyReplicas"] == 3
    assert world.told("Reconciling")[0] == ""


def test_children_that_were_deleted_or_edited_come_back(world: World) -> None:
    world.serve(1)
    world.cluster.remove(DEPLOYMENTS, NAMESPACE, "shop-v1")
    world.cluster.remove(SERVICES, NAMESPACE, NAME)
    world.operator.go_on()
    assert world.deployments == ["shop-v1"]
    assert world.cluster.served() == 1
    service = world.cluster.of(SERVICES)[NAME]
    world.cluster.change(SERVICES, NAMESPACE, NAME, spec={**service["spec"], "selector": {"app": "mine"}})
    world.operator.go_on()
    assert world.cluster.served() == 1
    assert world.status["phase"] == "Serving"


def test_a_deployment_that_somebody_scaled_comes_back_to_its_size(world: World) -> None:
    world.serve(1, 2)
    deployment = world.cluster.of(DEPLOYMENTS)["shop-v2"]
    world.cluster.change(DEPLOYMENTS, NAMESPACE, "shop-v2", spec={**deployment["spec"], "replicas": 0})
    world.cluster.roll()
    world.operator.go_on(30.0)
    assert world.status["activeVersion"] == 2
    assert world.told("Ready")[0] == "True"
    assert world.cluster.version_phase(2) == "Validated"


def test_a_new_deployment_says_what_keeps_the_versions_from_serving(world: World) -> None:
    world.cluster.health[1] = "corrupt"
    world.cluster.publish(1)
    world.operator.go_on()
    world.cluster.crash()
    world.operator.go_on(6.0)
    world.cluster.remove(MODEL_DEPLOYMENTS, NAMESPACE, NAME)
    world.operator.go_on()
    world.cluster.deploy()
    world.operator.go_on()
    assert world.told("Reconciling")[1] == "WaitingForVersion"
    assert "version 1 is quarantined: retry/1/<token>" in world.told("Reconciling")[2]


def test_a_copy_of_a_deployment_is_not_ours_to_delete(world: World) -> None:
    world.serve(1)
    copy = world.cluster.of(DEPLOYMENTS)["shop-v1"]
    labels = {**copy["metadata"]["labels"], meta.VERSION_LABEL: "7"}
    world.cluster.add(DEPLOYMENTS, NAMESPACE, {"metadata": {"name": "debug", "labels": labels}, "spec": copy["spec"]})
    world.operator.go_on(400.0)
    assert world.deployments == ["debug", "shop-v1"]


def test_the_model_version_is_gone_and_its_pods_serve_on(world: World) -> None:
    world.serve(1)
    world.cluster.remove(MODEL_VERSIONS, NAMESPACE, "m-v1")
    world.operator.go_on()
    assert world.told("Ready")[0] == "True"
    assert "its ModelVersion is gone" in world.told("Ready")[2]
    assert world.cluster.served() == 1


def test_pods_that_cannot_be_made_again_are_left_for_those_that_are_there(world: World) -> None:
    world.serve(1, 2)
    world.cluster.remove(MODEL_VERSIONS, NAMESPACE, "m-v2")
    world.cluster.remove(DEPLOYMENTS, NAMESPACE, "shop-v2")
    world.cluster.collect()
    world.operator.go_on(UNREADY_SECONDS)
    assert world.cluster.served() == world.status["activeVersion"] == 1
    assert world.status["phase"] == "Serving"


def test_the_policy_does_not_go_down_when_the_active_version_is_deleted(world: World) -> None:
    world.serve(1, 2)
    world.cluster.remove(MODEL_VERSIONS, NAMESPACE, "m-v2")
    world.operator.go_on(400.0)
    assert world.status["activeVersion"] == world.cluster.served() == 2


def test_requests_are_not_taken_from_pods_that_answer(world: World) -> None:
    """As after a crash between a switch and its status, or an edit by hand."""
    world.edit(rollback={"automatic": False})
    world.serve(1, 2)
    world.cluster.health[2] = "hangs"
    world.operator.go_on()
    service = world.cluster.of(SERVICES)[NAME]
    to_version_1 = {**service["spec"]["selector"], meta.VERSION_LABEL: "1"}
    world.cluster.change(SERVICES, NAMESPACE, NAME, spec={**service["spec"], "selector": to_version_1})
    world.operator.go_on(30.0)
    assert world.cluster.served() == 1
    world.cluster.health[2] = "loads"
    world.operator.go_on()
    assert world.cluster.served() == 2


@pytest.mark.parametrize(("resource", "name"), [(DEPLOYMENTS, "shop-v1"), (SERVICES, NAME)])
def test_a_foreign_child_has_the_name(world: World, resource: Resource, name: str) -> None:
    spec = {"selector": {}, "replicas": 1, "template": {"metadata": {"labels": {}}}}
    labels = {meta.VERSION_LABEL: "9"}
    world.cluster.add(resource, NAMESPACE, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    world.cluster.publish(1)
    for _ in range(4):
        world.operator.settle()
        world.cluster.roll()
        world.cluster.tick(20)
    assert f"{name} exists and is not of this ModelDeployment" in world.told("Ready")[2]
    assert world.told("Reconciling")[1] == "ChildRefused"


def test_the_history_is_bounded_and_never_forgets_the_way_back(world: World) -> None:
    world.edit(history={"limit": 1}, rollout={"keepWarmSeconds": 0})
    world.serve(1, 2, 3)
    assert world.history() == [(3, "Active", "policy"), (2, "Replaced", "policy")]
    world.edit(history={"limit": 3})
    world.serve(4, 5, 6)
    assert [number for number, _, _ in world.history()] == [6, 5, 4]


def test_a_deployment_that_is_being_deleted_is_left_alone(world: World) -> None:
    world.serve(1)
    world.cluster.mark_deleted(MODEL_DEPLOYMENTS, NAMESPACE, NAME)
    before = len(world.cluster.writes)
    world.cluster.publish(2)
    world.operator.go_on(60.0)
    assert {plural for _, plural in world.cluster.writes[before:]} == {"modelversions", "events"}


def test_silence_at_rest(world: World) -> None:
    world.serve(1, 2)
    world.operator.go_on(400.0)
    before = len(world.cluster.writes)
    world.operator.restart()
    world.operator.go_on(4000.0)
    assert world.cluster.writes[before:] == []
    assert world.operator.turn() == Outcome()
