"""Traffic values, the strategies that return them, and the Service route, which supports one version at a time."""

import pytest

from tests.unit.operator.api_server import START
from tests.unit.operator.core import versions
from tests.unit.operator.samples import CONFIG
from trainyard_api import meta
from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus, Rollout
from trainyard_operator.core.objects import ServiceView
from trainyard_operator.core.plan import Apply, Create
from trainyard_operator.core.serving.route import SERVICE, route_of
from trainyard_operator.core.serving.state import ServingState
from trainyard_operator.core.serving.strategy import STRATEGIES, live_traffic, strategy_of
from trainyard_operator.core.serving.traffic import MOST_SHARES, Share, Traffic


def test_one_version_gets_all_requests() -> None:
    traffic = Traffic.of(3, 2, None, 3, 4, 2)
    assert traffic.shares == (Share(3, 100, "Live"), Share(2, 0, "Warm"), Share(4, 0, "Warm"))
    assert traffic.only == 3
    assert traffic.live == Traffic.of(3)
    assert traffic.versions == (3, 2, 4)


def test_without_an_active_version_there_is_no_traffic() -> None:
    assert Traffic.of(None).wire() is None
    assert Traffic.of(None, 1).only is None
    assert [share.wire() for share in Traffic.of(None, 1).wire() or ()] == [{"version": 1, "weight": 0, "role": "Warm"}]


def test_several_versions_can_share_the_requests() -> None:
    canary = Traffic((Share(1, 90, "Live"), Share(2, 10, "Live")))
    assert canary.only is None
    assert canary.live == canary


@pytest.mark.parametrize(
    "shares",
    [
        (Share(1, 90, "Live"),),
        (Share(1, 90, "Live"), Share(2, 20, "Live")),
        (Share(1, 100, "Live"), Share(2, 0, "Live")),
        (Share(1, 100, "Live"), Share(1, 0, "Warm")),
    ],
)
def test_invalid_shares_are_refused(shares: tuple[Share, ...]) -> None:
    with pytest.raises(ValueError, match="share"):
        Traffic(shares)


def test_the_status_has_a_maximum_of_shares() -> None:
    assert len(Traffic.of(*range(1, 100)).wire() or ()) == MOST_SHARES


def test_every_strategy_of_the_api_is_implemented() -> None:
    for name in STRATEGIES:
        assert strategy_of(ModelDeploymentSpec(model_name="m", rollout=Rollout(strategy=name))) is STRATEGIES[name]
    assert Rollout().strategy in STRATEGIES


def test_blue_green_sends_all_requests_to_one_version_and_keeps_the_previous_warm() -> None:
    status = ModelDeploymentStatus(active_version=2, previous_version=1, candidate_version=3)
    blue_green = STRATEGIES["BlueGreen"]
    assert blue_green.wanted(status, warm=True) == Traffic.of(2, 1, 3)
    assert blue_green.wanted(status, warm=False) == Traffic.of(2, 3)
    promoted = status.model_copy(update={"active_version": 3, "previous_version": 2, "candidate_version": None})
    assert live_traffic(ModelDeploymentSpec(model_name="m"), promoted) == Traffic.of(3)


def state(service: ServiceView | None = None) -> ServingState:
    deployment = versions.deployment(activeVersion=1)
    return ServingState(
        deployment=deployment, versions=(), children=(), service=service, others=(), now=START, config=CONFIG
    )


def test_every_model_deployment_has_a_route_for_its_strategy() -> None:
    spec = ModelDeploymentSpec(model_name="m")
    wanted = live_traffic(spec, state().deployment.status)
    assert route_of(state()).shift(state(), spec, wanted)


def test_a_service_sends_all_requests_to_one_version() -> None:
    spec = ModelDeploymentSpec(model_name="m")
    (create,) = SERVICE.shift(state(), spec, Traffic.of(1, 2))
    assert isinstance(create, Create)
    made = create.body["metadata"]["annotations"][meta.APPLIED_ANNOTATION]
    view = ServiceView("shop", "uid", create.body["spec"]["selector"], create.body["spec"], made)
    assert SERVICE.current(state()) == Traffic()
    assert SERVICE.current(state(view)) == Traffic.of(1)
    assert SERVICE.shift(state(view), spec, Traffic.of(1)) == ()
    (apply,) = SERVICE.shift(state(view), spec, Traffic.of(2))
    assert isinstance(apply, Apply)
    assert apply.body["spec"]["selector"][meta.VERSION_LABEL] == "2"


def test_a_service_refuses_several_live_versions() -> None:
    shared = Traffic((Share(1, 50, "Live"), Share(2, 50, "Live")))
    with pytest.raises(ValueError, match="one version"):
        SERVICE.shift(state(), ModelDeploymentSpec(model_name="m"), shared)
