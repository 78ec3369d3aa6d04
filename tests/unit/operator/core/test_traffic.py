"""Traffic as a value, the strategies that want one, and the Service that can carry one kind of it."""

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


def test_all_requests_to_one_version() -> None:
    traffic = Traffic.of(3, 2, None, 3, 4, 2)
    assert traffic.shares == (Share(3, 100, "Live"), Share(2, 0, "Warm"), Share(4, 0, "Warm"))
    assert traffic.only == 3
    assert traffic.live == Traffic.of(3)
    assert traffic.versions == (3, 2, 4)


def test_nothing_serves_yet() -> None:
    assert Traffic.of(None).wire() is None
    assert Traffic.of(None, 1).only is None
    assert [share.wire() for share in Traffic.of(None, 1).wire() or ()] == [{"version": 1, "weight": 0, "role": "Warm"}]


def test_several_versions_may_share() -> None:
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
def test_no_request_is_lost_or_given_twice(shares: tuple[Share, ...]) -> None:
    with pytest.raises(ValueError, match="share"):
        Traffic(shares)


def test_the_status_holds_so_many() -> None:
    assert len(Traffic.of(*range(1, 100)).wire() or ()) == MOST_SHARES


def test_every_strategy_of_the_api_is_there() -> None:
    for name in STRATEGIES:
        assert strategy_of(ModelDeploymentSpec(model_name="m", rollout=Rollout(strategy=name))) is STRATEGIES[name]
    assert Rollout().strategy in STRATEGIES


def test_blue_green_gives_all_to_one_and_keeps_the_one_before_warm() -> None:
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


def test_every_model_deployment_has_a_route_that_can_carry_its_strategy() -> None:
    spec = ModelDeploymentSpec(model_name="m")
    wanted = live_traffic(spec, state().deployment.status)
    assert route_of(state()).shift(state(), spec, wanted)


def test_a_service_leads_all_requests_to_one_version() -> None:
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


def test_a_service_cannot_weigh() -> None:
    shared = Traffic((Share(1, 50, "Live"), Share(2, 50, "Live")))
    with pytest.raises(ValueError, match="one version"):
        SERVICE.shift(state(), ModelDeploymentSpec(model_name="m"), shared)
