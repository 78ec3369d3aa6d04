"""The planner of ModelDeployments for any state, also for states that no history leads to."""

from collections import Counter as Count
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.operator.api_server import START
from tests.unit.operator.core import versions
from tests.unit.operator.samples import CONFIG
from trainyard_api import meta
from trainyard_api.modeldeployment import ModelDeploymentSpec
from trainyard_operator.core.facts import Refusal
from trainyard_operator.core.objects import (
    DeploymentView,
    ModelDeploymentView,
    ModelVersionView,
    ServiceView,
    ServingPodView,
)
from trainyard_operator.core.plan import Plan
from trainyard_operator.core.serving import render as render_serving
from trainyard_operator.core.serving.planner import plan
from trainyard_operator.core.serving.state import ServingState
from trainyard_operator.core.times import to_rfc3339

numbers = st.integers(1, 3)
moments = st.integers(-100, 1000).map(lambda seconds: to_rfc3339(START + timedelta(seconds=seconds)))
phases = st.sampled_from(("Pending", "Progressing", "AwaitingPromotion", "Serving", "RollingBack", "Held", "Failed"))
readiness = st.builds(
    lambda status, time: [{"type": "Ready", "status": status, "reason": "R", "lastTransitionTime": time}],
    st.sampled_from(("True", "False")),
    moments,
)
rejections = st.lists(
    st.builds(lambda number, time: {"version": number, "reason": "R", "time": time}, numbers, moments), max_size=2
)
entries = st.builds(
    lambda number, since, outcome: {
        "version": number,
        "digest": f"{number:064x}",
        "from": since,
        "outcome": outcome,
        **({} if outcome == "Active" else {"to": since}),
    },
    numbers,
    moments,
    st.sampled_from(("Active", "Replaced", "RolledBack", "Rejected")),
)
statuses = st.fixed_dictionaries(
    {"observedGeneration": st.integers(-1, 2)},
    optional={
        "phase": phases,
        "conditions": readiness,
        "activeVersion": numbers,
        "activeDigest": numbers.map(lambda n: f"{n:064x}"),
        "previousVersion": numbers,
        "candidateVersion": numbers,
        "candidateSince": moments,
        "candidateReason": st.sampled_from(("Policy", "Pin", "Retry", "Promoted", "Rollback")),
        "promotedTime": moments,
        "rejectedVersions": rejections,
        "hold": st.builds(lambda t: {"reason": "Held", "since": t}, moments),
        "lastHandledAction": st.sampled_from(("promote/t0", "nonsense", "rollback/1/t1")),
        "history": st.lists(entries, max_size=4),
    },
)
specs = st.fixed_dictionaries(
    {"modelName": st.just("m")},
    optional={
        "version": st.sampled_from(
            (
                {"policy": "LatestValidated"},
                {"policy": "Pinned", "pin": "2"},
                {"policy": "Pinned", "pin": "9"},
                {"x": 1},
            )
        ),
        "rollout": st.sampled_from(({"autoPromote": False}, {"progressDeadlineSeconds": 60, "keepWarmSeconds": 0})),
        "serving": st.sampled_from(
            ({"replicas": 2}, {"replicas": "two"}, {"env": [{"name": "TRAINYARD_MODEL_NAME", "value": ""}]})
        ),
        "rollback": st.just({"automatic": False}),
    },
)
actions = st.sampled_from(
    ("", "rollback/previous/t1", "rollback/1/t2", "retry/2/t2", "promote/t2", "abort/t2", "hold/t2", "?")
)
children = st.builds(
    lambda number, ready, updated, deleting, settled, refusal: DeploymentView(
        name=f"shop-v{number}",
        uid=f"uid-{number}",
        version=number,
        created=START,
        applied="old",
        deleting=deleting,
        settled=settled,
        replicas=1,
        updated=updated,
        ready=ready,
        refusal=refusal,
    ),
    numbers,
    st.integers(0, 2),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
    st.sampled_from(("", "FailedCreate: exceeded quota")),
)
pods = st.builds(
    lambda code, restarts, ready, running: (
        ServingPodView(
            "p",
            START,
            ready=ready,
            running=running,
            restarts=restarts,
            exit_code=code,
            waiting="" if code or running else "ErrImagePull",
        ),
    ),
    st.sampled_from((None, 0, 1, 65, 69, 137)),
    st.integers(0, 4),
    st.booleans(),
    st.booleans(),
)
refusals = st.none() | st.builds(Refusal, st.just("no"), st.booleans())


def a_deployment(status: dict[str, Any], spec: dict[str, Any], action: str) -> ModelDeploymentView:
    view = versions.deployment("shop", **status)
    return replace(view, spec=spec, generation=2, annotations={meta.ACTION_ANNOTATION: action}, created=START)


def a_service(md: ModelDeploymentView, number: int | None) -> ServiceView | None:
    if number is None:
        return None
    spec = ModelDeploymentSpec.model_validate({"modelName": md.model})
    body = render_serving.service(md, spec, number, config=CONFIG)
    applied = body["metadata"]["annotations"][meta.APPLIED_ANNOTATION]
    return ServiceView("shop", "uid-s", selector=body["spec"]["selector"], applied=applied)


@st.composite
def states(draw: st.DrawFn) -> ServingState:
    md = a_deployment(draw(statuses), draw(specs), draw(actions))
    known = draw(st.lists(st.sampled_from(("Pending", "Validated", "Rejected", "Quarantined")), max_size=3))
    now: datetime = START + timedelta(seconds=draw(st.integers(0, 1000)))
    found = draw(st.lists(children, max_size=3, unique_by=lambda child: child.version))
    return ServingState(
        deployment=md,
        versions=tuple(versions.judged(number, phase) for number, phase in enumerate(known, start=1)),
        children=tuple(found),
        service=a_service(md, draw(st.none() | numbers)),
        others=(),
        now=now,
        config=CONFIG,
        serving_pods=draw(st.dictionaries(numbers.map(lambda n: f"shop-v{n}"), pods, max_size=3)),
        refused=draw(refusals),
    )


def test_each_version_is_read_once_per_plan() -> None:
    reads = Count[str]()

    class CountedView(ModelVersionView):
        @property
        def model(self) -> str:
            reads[self.name] += 1
            return super().model

    found = [versions.judged(number, "Validated") for number in range(1, 1001)]
    named = [CountedView(**view.__dict__) for view in found]
    state = ServingState(
        deployment=versions.deployment("shop", active_version=500),
        versions=tuple(named),
        children=(),
        service=None,
        others=(),
        now=START,
        config=CONFIG,
    )
    assert [state.version(number) for number in (1, 1000, 1001, None)] == [named[0], named[999], None, None]
    assert set(reads.values()) == {1}


@settings(max_examples=500, deadline=None)
@given(state=states())
def test_any_state_has_at_most_one_next_step(state: ServingState) -> None:
    step = plan(state)
    assert step == plan(state)
    assert sum(bool(part) for part in (step.needs, step.actions, step.status)) <= 1
    assert not step.actions or not step.events
    if state.refused is not None:
        assert all(type(action).__name__ == "Delete" for action in step.actions), "a refused action is not tried again"
    if step.status is not None:
        fields = {**state.deployment.__dict__, "status": step.status}
        stored = ModelDeploymentView(**fields)
        assert type(step.status).model_validate(step.status.wire()) == step.status, "the schema accepts the status"
        assert plan(replace(state, deployment=stored)) != Plan(status=step.status), "the status is not written twice"
