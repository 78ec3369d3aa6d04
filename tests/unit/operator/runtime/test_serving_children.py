"""The Deployments, the Service and the PodDisruptionBudget of a ModelDeployment. Other objects stay untouched."""

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


def test_deleted_or_edited_children_are_repaired(world: World) -> None:
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


def test_several_pods_have_a_disruption_budget_for_the_active_version(world: World) -> None:
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


def test_a_single_pod_has_no_disruption_budget(world: World) -> None:
    world.serve(1)
    assert world.cluster.budgeted() is None
    world.edit(serving={"replicas": 2})
    assert world.cluster.budgeted() == 1
    world.edit(serving={"replicas": 1})
    assert world.cluster.budgeted() is None


def test_disruption_budgets_can_be_disabled_in_the_chart(world: World) -> None:
    world.edit(serving={"replicas": 2})
    world.serve(1)
    assert world.cluster.budgeted() == 1
    world.operator.config = OperatorConfig(serving=ServingDefaults(pod_disruption_budget=False))
    world.operator.restart()
    world.operator.go_on()
    assert world.cluster.budgeted() is None
    assert world.condition_of("Ready")[0] == "True"


def test_a_foreign_disruption_budget_is_reported_and_left_alone(world: World) -> None:
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


def test_a_service_pointed_to_another_ready_version_stays_and_is_reported(world: World) -> None:
    """The Service is pointed back only when the pods of the active version respond again."""
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


def test_the_target_of_the_service_is_reported_with_other_problems(world: World) -> None:
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


def test_a_scaled_deployment_is_scaled_back(world: World) -> None:
    world.serve(1, 2)
    deployment = world.cluster.of(DEPLOYMENTS)["shop-v2"]
    world.cluster.change(DEPLOYMENTS, NAMESPACE, "shop-v2", spec={**deployment["spec"], "replicas": 0})
    world.cluster.roll()
    world.operator.go_on(30.0)
    assert world.status["activeVersion"] == 2
    assert world.condition_of("Ready")[0] == "True"
    assert world.cluster.version_phase(2) == "Validated"


def test_a_new_deployment_reports_quarantined_versions(world: World) -> None:
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
    assert (
        "version 1 is quarantined: to try it again, use the action retry/1/<token>"
        in world.condition_of("Reconciling")[2]
    )


def test_a_copy_of_a_deployment_is_not_deleted(world: World) -> None:
    world.serve(1)
    copy = world.cluster.of(DEPLOYMENTS)["shop-v1"]
    labels = {**copy["metadata"]["labels"], meta.VERSION_LABEL: "7"}
    world.cluster.add(DEPLOYMENTS, NAMESPACE, {"metadata": {"name": "debug", "labels": labels}, "spec": copy["spec"]})
    world.operator.go_on(400.0)
    assert world.deployments == ["debug", "shop-v1"]


def test_pods_of_a_deleted_version_keep_serving(world: World) -> None:
    world.serve(1)
    world.cluster.remove(MODEL_VERSIONS, NAMESPACE, "m-v1")
    world.operator.go_on()
    assert world.condition_of("Ready")[0] == "True"
    assert "its ModelVersion no longer exists" in world.condition_of("Ready")[2]
    assert world.cluster.served() == 1


def test_lost_pods_of_a_deleted_version_fail_over_to_the_previous_version(world: World) -> None:
    world.serve(1, 2)
    world.cluster.remove(MODEL_VERSIONS, NAMESPACE, "m-v2")
    world.cluster.remove(DEPLOYMENTS, NAMESPACE, "shop-v2")
    world.cluster.collect()
    world.operator.go_on(UNREADY_SECONDS)
    assert world.cluster.served() == world.status["activeVersion"] == 1
    assert world.status["phase"] == "Serving"


def test_the_policy_does_not_select_a_lower_version_when_the_active_one_is_deleted(world: World) -> None:
    world.serve(1, 2)
    world.cluster.remove(MODEL_VERSIONS, NAMESPACE, "m-v2")
    world.operator.go_on(400.0)
    assert world.status["activeVersion"] == world.cluster.served() == 2


def test_the_service_is_not_switched_from_ready_pods_to_unready_ones(world: World) -> None:
    """This happens after a crash between a switch and its status, or after an edit."""
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
def test_a_foreign_child_with_the_same_name_is_reported(world: World, resource: Resource, name: str) -> None:
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


def test_the_history_is_limited_and_keeps_the_rollback_target(world: World) -> None:
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


def test_nothing_is_written_without_a_change(world: World) -> None:
    world.serve(1, 2)
    world.operator.go_on(400.0)
    before = len(world.cluster.writes)
    world.operator.restart()
    world.operator.go_on(4000.0)
    assert world.cluster.writes[before:] == []
    assert world.operator.reconcile() == Outcome()


@pytest.mark.parametrize(("resource", "name"), [(DEPLOYMENTS, "shop-v1"), (SERVICES, NAME)])
def test_an_edited_child_is_repaired(world: World, resource: Resource, name: str) -> None:
    world.serve(1)
    before = world.cluster.of(resource)[name]["spec"]
    world.cluster.edit_child(resource, name)
    world.operator.settle()
    assert world.cluster.of(resource)[name]["spec"] == before
    world.operator.go_on(30.0)
    assert world.condition_of("Ready")[0] == "True"


def test_a_change_that_a_webhook_reverts_is_reported_without_a_loop(world: World) -> None:
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


def test_a_watch_may_deliver_a_change_before_the_response(world: World) -> None:
    """The response then contains nothing new, although the change took effect."""

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


def test_added_fields_are_not_an_edit() -> None:
    wanted = {"ports": [{"name": "http", "port": 80}], "type": "ClusterIP", "env": [{"name": "A", "value": ""}]}
    actual = {
        "ports": [{"name": "mesh", "port": 9}, {"name": "http", "port": 80, "protocol": "TCP"}],
        "type": "ClusterIP",
        "env": [{"name": "A"}],
        "clusterIP": "10.0.0.7",
    }
    assert difference(wanted, actual) == ""
    actual["ports"][1]["port"] = 81
    assert difference(wanted, actual) == "spec.ports[http].port is 81 instead of 80"
    resources = {"resources": {"limits": {"cpu": "1000m"}}}
    assert difference(resources, {"resources": {"limits": {"cpu": "1"}}}) == ""
    assert difference({"args": ["a", "b"]}, {"args": ["a"]}) == "spec.args[1] is None instead of 'b'"
