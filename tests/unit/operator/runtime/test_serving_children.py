"""The Deployments and the Service of a ModelDeployment: kept as they should be, and no others touched."""

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.serving import NAME, World, new_world
from trainyard_api import meta
from trainyard_operator.core.config import OperatorConfig, ServingDefaults
from trainyard_operator.core.serving.drift import difference
from trainyard_operator.core.serving.readiness import REFUSED_SECONDS, UNREADY_SECONDS
from trainyard_operator.kube.port import (
    DEPLOYMENTS,
    MODEL_DEPLOYMENTS,
    MODEL_VERSIONS,
    POD_DISRUPTION_BUDGETS,
    SERVICES,
    Resource,
)
from trainyard_operator.runtime.reconciler import Outcome


@pytest.fixture
def world() -> World:
    return new_world()


def test_replicas_and_templates_change_in_place(world: World) -> None:
    world.serve(1)
    uid = world.cluster.of(DEPLOYMENTS)["shop-v1"]["metadata"]["uid"]
    world.edit(serving={"replicas": 3, "podLabels": {"team": "a"}})
    body = world.cluster.of(DEPLOYMENTS)["shop-v1"]
    assert body["metadata"]["uid"] == uid
    assert body["spec"]["replicas"] == 3
    assert world.status["readyReplicas"] == 3
    assert world.condition_of("Reconciling")[0] == ""


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


def test_several_pods_have_a_budget_that_follows_what_serves(world: World) -> None:
    world.edit(serving={"replicas": 2}, rollout={"autoPromote": False})
    world.serve(1, 2)
    assert world.status["phase"] == "AwaitingPromotion"
    assert world.cluster.budgeted() == 1
    world.act("promote/t1")
    assert world.cluster.budgeted() == 2
    budget = world.cluster.of(POD_DISRUPTION_BUDGETS)[NAME]
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    world.cluster.edit_child(POD_DISRUPTION_BUDGETS, NAME)
    world.operator.go_on()
    assert world.cluster.of(POD_DISRUPTION_BUDGETS)[NAME]["spec"]["maxUnavailable"] == 1
    world.cluster.remove(POD_DISRUPTION_BUDGETS, NAMESPACE, NAME)
    world.operator.go_on()
    assert world.cluster.budgeted() == 2


def test_one_pod_has_no_budget_for_it_could_never_be_drained(world: World) -> None:
    world.serve(1)
    assert world.cluster.budgeted() is None
    world.edit(serving={"replicas": 2})
    assert world.cluster.budgeted() == 1
    world.edit(serving={"replicas": 1})
    assert world.cluster.budgeted() is None


def test_the_chart_may_leave_budgets_to_others(world: World) -> None:
    world.edit(serving={"replicas": 2})
    world.serve(1)
    assert world.cluster.budgeted() == 1
    world.operator.config = OperatorConfig(serving=ServingDefaults(pod_disruption_budget=False))
    world.operator.restart()
    world.operator.go_on()
    assert world.cluster.budgeted() is None
    assert world.condition_of("Ready")[0] == "True"


def test_a_budget_of_somebody_else_with_our_name_is_told_and_left_alone(world: World) -> None:
    foreign = {"metadata": {"name": NAME}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}}
    world.cluster.add(POD_DISRUPTION_BUDGETS, NAMESPACE, foreign)
    world.edit(serving={"replicas": 2})
    world.serve(1)
    assert world.cluster.served() == 1
    assert world.condition_of("Reconciling")[1] == "ChildRefused"
    assert (
        "PodDisruptionBudget shop already exists and does not belong to this ModelDeployment"
        in world.condition_of("Reconciling")[2]
    )
    assert world.cluster.of(POD_DISRUPTION_BUDGETS)[NAME]["spec"] == foreign["spec"]


def test_a_service_that_somebody_pointed_to_pods_that_answer_stays_there_and_is_told(world: World) -> None:
    """It is not taken from them for pods that do not answer; once those do, it comes back."""
    world.edit(rollback={"automatic": False})
    world.serve(1, 2)
    world.cluster.health[2] = "hangs"
    world.operator.go_on(6.0)
    service = world.cluster.of(SERVICES)[NAME]
    selector = {**service["spec"]["selector"], meta.VERSION_LABEL: "1"}
    world.cluster.change(SERVICES, NAMESPACE, NAME, spec={**service["spec"], "selector": selector})
    world.operator.go_on(100.0)
    assert world.cluster.served() == 1
    assert world.status["activeVersion"] == 2
    assert world.condition_of("Ready")[0] == "False"
    assert "the Service points to version 1" in world.condition_of("Ready")[2]
    world.cluster.health[2] = "loads"
    world.operator.go_on(30.0)
    assert world.cluster.served() == 2
    assert world.condition_of("Ready")[0] == "True"


def test_where_the_requests_go_is_told_beside_whatever_else_there_is_to_say(world: World) -> None:
    world.edit(rollback={"automatic": False}, rollout={"autoPromote": False})
    world.serve(1, 2)
    assert world.status["phase"] == "AwaitingPromotion"
    world.cluster.health[1] = "hangs"
    world.operator.go_on(6.0)
    service = world.cluster.of(SERVICES)[NAME]
    selector = {**service["spec"]["selector"], meta.VERSION_LABEL: "2"}
    world.cluster.change(SERVICES, NAMESPACE, NAME, spec={**service["spec"], "selector": selector})
    world.operator.go_on(100.0)
    assert "waits for the action promote/<token>; the Service points to version 2" in world.condition_of("Ready")[2]
    world.edit(version={"policy": "Pinned", "pin": "9"})
    assert "no ModelVersion of model" in world.condition_of("Stalled")[2]
    assert "the Service points to version 2" in world.condition_of("Ready")[2]


def test_a_deployment_that_somebody_scaled_comes_back_to_its_size(world: World) -> None:
    world.serve(1, 2)
    deployment = world.cluster.of(DEPLOYMENTS)["shop-v2"]
    world.cluster.change(DEPLOYMENTS, NAMESPACE, "shop-v2", spec={**deployment["spec"], "replicas": 0})
    world.cluster.roll()
    world.operator.go_on(30.0)
    assert world.status["activeVersion"] == 2
    assert world.condition_of("Ready")[0] == "True"
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
    assert world.condition_of("Reconciling")[1] == "WaitingForVersion"
    assert "version 1 is quarantined: to try it again, use the action retry/1/<token>" in world.condition_of("Reconciling")[2]


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
    assert world.condition_of("Ready")[0] == "True"
    assert "its ModelVersion no longer exists" in world.condition_of("Ready")[2]
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
    template = {"metadata": {"labels": {}}, "spec": {"containers": [{"image": "i"}]}}
    spec = {"selector": {}, "replicas": 1, "template": template}
    labels = {meta.VERSION_LABEL: "9"}
    world.cluster.add(resource, NAMESPACE, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    world.cluster.publish(1)
    for _ in range(4):
        world.operator.settle()
        world.cluster.roll()
        world.cluster.tick(20)
    assert f"{name} already exists and does not belong to this ModelDeployment" in world.condition_of("Ready")[2]
    assert world.condition_of("Reconciling")[1] == "ChildRefused"


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
    assert world.operator.reconcile() == Outcome()


@pytest.mark.parametrize(("resource", "name"), [(DEPLOYMENTS, "shop-v1"), (SERVICES, NAME)])
def test_what_somebody_edits_past_the_model_deployment_is_brought_back(
    world: World, resource: Resource, name: str
) -> None:
    world.serve(1)
    before = world.cluster.of(resource)[name]["spec"]
    world.cluster.edit_child(resource, name)
    world.operator.settle()
    assert world.cluster.of(resource)[name]["spec"] == before
    world.operator.go_on(30.0)
    assert world.condition_of("Ready")[0] == "True"


def test_what_a_webhook_changes_back_is_told_and_not_fought_over(world: World) -> None:
    world.serve(1)

    def webhook(verb: str, resource: Resource, after: bool) -> None:
        if verb == "apply" and resource == DEPLOYMENTS and after:
            world.cluster.objects[DEPLOYMENTS, NAMESPACE, "shop-v1"] = stored

    world.cluster.edit_child(DEPLOYMENTS, "shop-v1", image="mirror.example/server:1")
    stored = world.cluster.of(DEPLOYMENTS)["shop-v1"]
    world.cluster.hook = webhook
    world.operator.deliver_all()
    assert world.operator.reconcile() == Outcome(after=REFUSED_SECONDS)
    assert "Deployment shop-v1 did not change after an apply" in (world.condition_of("Reconciling")[2])
    writes = len(world.cluster.writes)
    world.operator.settle()
    assert len(world.cluster.writes) <= writes + 2


def test_a_watch_that_tells_of_a_change_before_the_answer_does(world: World) -> None:
    """Then the answer is no news, and yet the change has happened."""

    def watch(verb: str, resource: Resource, after: bool) -> None:
        if verb == "apply" and after:
            world.operator.deliver_all()
            outcomes.append(resource)

    outcomes: list[Resource] = []
    world.serve(1)
    world.cluster.hook = watch
    world.cluster.edit_child(DEPLOYMENTS, "shop-v1")
    world.operator.deliver_all()
    assert world.operator.reconcile() == Outcome(again=True)
    assert outcomes == [DEPLOYMENTS]
    world.operator.go_on(1.0)
    assert world.condition_of("Reconciling")[0] == ""


def test_what_others_add_beside_is_no_edit() -> None:
    wanted = {"ports": [{"name": "http", "port": 80}], "type": "ClusterIP", "env": [{"name": "A", "value": ""}]}
    there = {
        "ports": [{"name": "mesh", "port": 9}, {"name": "http", "port": 80, "protocol": "TCP"}],
        "type": "ClusterIP",
        "env": [{"name": "A"}],
        "clusterIP": "10.0.0.7",
    }
    assert difference(wanted, there) == ""
    there["ports"][1]["port"] = 81
    assert difference(wanted, there) == "spec.ports[http].port is 81 instead of 80"
    resources = {"resources": {"limits": {"cpu": "1000m"}}}
    assert difference(resources, {"resources": {"limits": {"cpu": "1"}}}) == ""
    assert difference({"args": ["a", "b"]}, {"args": ["a"]}) == "spec.args[1] is None instead of 'b'"
