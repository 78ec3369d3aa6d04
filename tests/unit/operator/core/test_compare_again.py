"""If the champion changes during a training, the model is compared again before its ModelVersion is created."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.operator.core.test_champion import digest, model_objects
from tests.unit.operator.core.versions import deployment, judged, version
from tests.unit.operator.samples import SPEC, child, job_view, observed, pod, result_text
from trainyard_api.training import Retry
from trainyard_operator.core.batch.attempts import backoff_left, failures
from trainyard_operator.core.champion import ModelObjects
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.plan import Create, Plan
from trainyard_operator.core.training.compare_again import MOST
from trainyard_operator.core.training.planner import plan

GATED = {**SPEC, "gates": [{"metric": "mae", "compareTo": "Champion"}]}
COMPARED = {"champion": 1, "championDigest": digest(1), "reason": "Compared"}
NOW_2 = model_objects(judged(1), judged(2), deployment(activeVersion=2))


def ended(
    around: ModelObjects | None,
    *,
    spec: dict[str, Any] = GATED,
    status: dict[str, Any] | None = None,
    ago: float = 0,
    **result: Any,
) -> Plan:
    """Return the plan for a job whose attempt has just produced version 3."""
    number = len((status or {}).get("attempts", ())) + 1
    view = job_view({"phase": "Running", **(status or {})}, spec=spec)
    job = child(number, complete=True)
    pods = {job.name: (pod(0, termination_message=result_text(3, **{"comparison": COMPARED, **result})),)}
    return plan(observed(view, job, pods=pods, versions={"diabetes-v3": None}, model_objects=around, after=ago))


def makes_version(step: Plan) -> bool:
    return any(isinstance(action, Create) and action.kind == "ModelVersion" for action in step.actions)


def attempts_that_changed(count: int) -> dict[str, Any]:
    each = {"reason": "ChampionChanged", "start": "2026-11-21T08:00:00Z", "end": "2026-11-21T08:00:10Z"}
    return {"attempts": [{"number": n + 1, "jobName": f"diabetes-{n + 1}", **each} for n in range(count)]}


def test_the_versions_of_the_model_are_read_first() -> None:
    assert ended(None).needs == (Need(Fact.MODEL_OBJECTS, "diabetes"),)


def test_a_changed_champion_ends_the_attempt_without_a_failure() -> None:
    step = ended(NOW_2)
    assert not step.actions
    status = step.status
    assert status is not None
    assert (status.phase, status.attempts[-1].reason, status.attempts[-1].exit_code) == (
        "Retrying",
        "ChampionChanged",
        0,
    )
    assert failures(status) == []
    assert any("version 2 serves now" in event.message for event in step.events)
    after = job_view(status.wire(), spec=GATED)
    view = observed(after, model_objects=NOW_2, after=60)
    assert backoff_left(Retry(), status.attempts[-1], view) <= 0, "no pause"
    (create,) = plan(view).actions
    assert isinstance(create, Create)
    assert create.body["metadata"]["name"] == "diabetes-2"


@pytest.mark.parametrize(
    ("around", "more"),
    [
        (model_objects(judged(1), deployment(activeVersion=1)), {}),
        (model_objects(), {}),
        (NOW_2, {"spec": SPEC}),
        (NOW_2, {"spec": {**GATED, "gates": [{"metric": "mae", "op": "<", "value": 2}]}}),
        (NOW_2, {"comparison": None}),
        (NOW_2, {"status": attempts_that_changed(MOST)}),
        (NOW_2, {"spec": {**GATED, "activeDeadlineSeconds": 30}}),
    ],
    ids=["same", "none", "no gates", "fixed gates", "not compared", "often enough", "no time left"],
)
def test_otherwise_the_version_is_created(around: ModelObjects, more: dict[str, Any]) -> None:
    assert makes_version(ended(around, **more))


def test_the_job_waits_for_a_version_that_is_being_judged() -> None:
    step = ended(model_objects(judged(1), version(2)))
    assert (step.actions, step.status, step.requeue_after) == ((), None, 1.0)
    assert makes_version(ended(model_objects(judged(1), judged(2, "Rejected"))))
    again = ended(model_objects(judged(1), judged(2)))
    assert again.status is not None
    assert again.status.phase == "Retrying"


@pytest.mark.parametrize(
    "around",
    [
        model_objects(judged(1), replace(version(2), deleting=True)),
        model_objects(judged(1), replace(version(2), unreadable=True)),
    ],
    ids=["deleted", "unreadable"],
)
def test_the_job_does_not_wait_for_a_verdict_that_may_never_come(around: ModelObjects) -> None:
    assert makes_version(ended(around))


def test_the_job_waits_only_for_a_limited_time() -> None:
    assert makes_version(ended(model_objects(judged(1), version(2)), ago=120))
