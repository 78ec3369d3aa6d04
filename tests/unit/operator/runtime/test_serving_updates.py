"""A new release of the operator changes every Deployment: only a limited number is updated at a time."""

from itertools import pairwise
from typing import Any

import pytest

from tests.unit.operator.api_server import NAMESPACE, no_fault
from tests.unit.operator.core import versions
from tests.unit.operator.samples import CONFIG
from tests.unit.operator.serving import NAME, ServingCluster, ServingOperator, World, new_world
from trainyard_api import API_VERSION, meta
from trainyard_operator.core.config import Images, OperatorConfig, ServingDefaults
from trainyard_operator.kube.errors import ApiError, ForbiddenError, InvalidError
from trainyard_operator.kube.port import DEPLOYMENTS, MODEL_VERSIONS, SERVICES, Resource
from trainyard_operator.runtime.updates import exchanging

MODELS = ("a", "b", "c", "d", "e")


def upgraded(limit: int) -> OperatorConfig:
    serving = ServingDefaults(max_concurrent_updates=limit)
    return CONFIG.model_copy(update={"images": Images(server="server:next"), "serving": serving})


def upgrade(operator: ServingOperator, limit: int) -> None:
    operator.config = upgraded(limit)
    operator.restart()


def image_of(cluster: ServingCluster, name: str) -> str:
    return str(cluster.of(DEPLOYMENTS)[name]["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.fixture
def world() -> World:
    return new_world()


def many() -> World:
    cluster = ServingCluster()
    world = World(cluster, ServingOperator(cluster))
    for model in MODELS:
        spec = {**versions.spec(1, "1.5", gates=[versions.BELOW_2]), "model": model}
        body = {"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": {"name": f"{model}-v1"}, "spec": spec}
        cluster.add(MODEL_VERSIONS, NAMESPACE, body)
        cluster.deploy(f"serve-{model}", modelName=model)
    world.operator.go_on(1.0)
    return world


def changed(world: World) -> set[str]:
    return {name for name in world.cluster.of(DEPLOYMENTS) if image_of(world.cluster, name) == "server:next"}


def test_updates_are_limited_and_all_are_made_in_the_end() -> None:
    world = many()
    upgrade(world.operator, 2)
    steps = [0]
    for _ in range(100):
        world.operator.settle()
        steps.append(len(changed(world)))
        moving = {str(key) for key in exchanging(world.operator.store)}
        assert len(moving) <= 2, moving
        world.cluster.roll(1)
        world.cluster.tick(5.0)
    assert steps[1] == 2
    assert max(after - before for before, after in pairwise(steps)) <= 2
    assert steps[-1] == len(MODELS)
    writes = len(world.cluster.writes)
    world.operator.go_on(600.0)
    assert world.cluster.writes[writes:] == []


def test_a_new_server_that_is_never_ready_stops_the_update() -> None:
    world = many()
    world.cluster.broken.add("server:next")
    upgrade(world.operator, 2)
    for _ in range(20):
        world.operator.go_on(20.0)
    assert len(changed(world)) == 2
    assert all((world.cluster.condition("Ready", f"serve-{m}") or {})["status"] == "True" for m in MODELS)


def test_without_a_limit_all_are_updated_at_once() -> None:
    world = many()
    upgrade(world.operator, 0)
    world.operator.settle()
    assert len(changed(world)) == len(MODELS)


def test_a_delayed_update_is_reported_and_keeps_serving() -> None:
    world = many()
    upgrade(world.operator, 2)
    world.operator.settle()
    delayed = [f"serve-{m}" for m in MODELS if f"serve-{m}-v1" not in changed(world)]
    assert len(delayed) == len(MODELS) - 2
    condition = world.cluster.condition("Ready", delayed[0]) or {}
    assert (condition["status"], "server.maxConcurrentUpdates" in condition["message"]) == ("True", True)
    world.operator.go_on(60.0)
    world.operator.go_on(60.0)
    world.operator.go_on(60.0)
    assert all("in turn" not in (world.cluster.condition("Ready", f"serve-{m}") or {})["message"] for m in MODELS)


def test_an_edit_by_a_user_is_not_delayed() -> None:
    world = many()
    upgrade(world.operator, 2)
    world.operator.settle()
    last = next(m for m in reversed(MODELS) if f"serve-{m}-v1" not in changed(world))
    world.cluster.respec(f"serve-{last}", serving={"podLabels": {"team": last}})
    world.operator.settle()
    assert f"serve-{last}-v1" in changed(world)


def test_the_previous_version_is_not_updated_and_can_be_rolled_back_to(world: World) -> None:
    world.serve(1, 2)
    upgrade(world.operator, 5)
    world.operator.go_on(1.0)
    assert (image_of(world.cluster, "shop-v1"), image_of(world.cluster, "shop-v2")) == (
        CONFIG.images.server,
        "server:next",
    )
    world.act("rollback/previous/t1")
    assert (world.status["activeVersion"], world.condition_of("Ready")[0]) == (1, "True")
    world.operator.go_on(60.0)
    assert image_of(world.cluster, "shop-v1") == "server:next"


# ---- children that the API server refuses ----------------------------------------------------------------------------

REFUSALS = (
    ForbiddenError(403, "Forbidden", 'admission webhook "labels" denied the request: label owner is missing'),
    InvalidError(422, "Invalid", "ValidatingAdmissionPolicy 'labels' denied request: label owner is missing"),
    InvalidError(400, "BadRequest", 'admission webhook "labels" denied the request: label owner is missing'),
)


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error.status))
@pytest.mark.parametrize("resource", [DEPLOYMENTS, SERVICES], ids=lambda resource: resource.plural)
def test_a_child_refused_by_a_policy_is_created_once_allowed(world: World, resource: Resource, error: ApiError) -> None:
    def policy(verb: str, kind: Resource, after: bool) -> None:
        if kind == resource and verb in ("create", "apply") and not after:
            raise error

    world.cluster.hook = policy
    world.cluster.publish(1)
    pauses = []
    for _ in range(8):
        world.operator.go_on(1.0)
        outcome: Any = world.operator.reconcile()
        pauses.append(outcome.after)
        world.cluster.tick(outcome.after)
    assert "label owner is missing" in world.condition_of("Ready")[2]
    assert pauses[0] == 10.0
    assert pauses == sorted(pauses), "the pauses grow"
    assert pauses[-1] == 60.0
    assert "rejectedVersions" not in world.status
    world.cluster.hook = no_fault
    world.operator.go_on(60.0)
    assert (world.status["activeVersion"], world.condition_of("Ready")[0]) == (1, "True")
    assert world.cluster.of(SERVICES)[NAME]["spec"]["selector"][meta.VERSION_LABEL] == "1"
