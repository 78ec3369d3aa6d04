"""A stored status that this release cannot read: each planner reports it, and makes no unsafe decision."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.unit.operator.core import versions
from tests.unit.operator.samples import CONFIG, child, job_view, observed
from trainyard_api.base import ApiModel
from trainyard_api.trainingschedule import TrainingScheduleStatus
from trainyard_operator.core.objects import ModelDeploymentView, ObjectView, TrainingJobView, TrainingScheduleView
from trainyard_operator.core.plan import NOTHING, Plan
from trainyard_operator.core.schedule import planner as schedules
from trainyard_operator.core.schedule.state import ScheduleState
from trainyard_operator.core.serving import planner as serving
from trainyard_operator.core.serving.state import ServingState
from trainyard_operator.core.training import planner as training
from trainyard_operator.core.unreadable import REASON, REPEAT_SECONDS
from trainyard_operator.core.version import planner as version
from trainyard_operator.kinds.model_version import MODEL_VERSION

WHY = "status.phase: Input should be 'Pending'"
NOW = versions.NOW


def unreadable(view: Any) -> Any:
    return replace(view, unreadable=WHY)


def schedule(**spec: Any) -> TrainingScheduleView:
    return TrainingScheduleView(
        namespace="team",
        name="nightly",
        uid="uid-s",
        resource_version="7",
        generation=1,
        created=NOW - timedelta(hours=1),
        deleting=False,
        spec={"schedule": "* * * * *", "template": {"spec": job_view().spec}, **spec},
        status=TrainingScheduleStatus(),
    )


def served(view: ModelDeploymentView, *around: Any) -> ServingState:
    return ServingState(
        deployment=view, versions=tuple(around), children=(), service=None, others=(), now=NOW, config=CONFIG
    )


def assert_reported(step: Plan, view: ObjectView[ApiModel]) -> None:
    (event,) = step.events
    assert step == Plan(events=(event,), requeue_after=REPEAT_SECONDS)
    assert (event.type, event.reason, event.about) == ("Warning", REASON, WHY)
    assert event.message.startswith(WHY)
    assert "run the operator of that release or a newer one" in event.message
    assert len(event.message) <= 1024, view


def test_each_planner_reports_an_unreadable_status_and_changes_nothing() -> None:
    job: TrainingJobView = unreadable(job_view())
    assert_reported(training.plan(observed(job, child(complete=True), after=9999)), job)
    view = unreadable(schedule(suspend=True))
    assert_reported(schedules.plan(ScheduleState(schedule=view, jobs=(), now=NOW)), view)
    model = unreadable(versions.version(1))
    assert_reported(version.plan(versions.observed(model)), model)
    md = unreadable(versions.deployment())
    assert_reported(serving.plan(served(md, versions.judged(1))), md)


def test_an_unreadable_object_that_is_being_deleted_is_not_reported() -> None:
    assert training.plan(observed(replace(job_view(), unreadable=WHY, deleting=True))) == NOTHING


# ---- other objects ---------------------------------------------------------------------------------------------------


def test_an_unreadable_earlier_version_does_not_block_judging() -> None:
    step = version.plan(versions.observed(versions.version(2), unreadable(versions.version(1)))).status
    assert step is not None
    assert step.phase == "Validated"  # type: ignore[attr-defined]


def test_the_active_version_is_the_champion_even_if_its_status_is_unreadable() -> None:
    """The comparison needs only its spec."""
    fields = versions.spec(2, "9", [versions.CHAMPION])
    active = versions.deployment(activeVersion=1)
    step = version.plan(
        versions.observed(versions.version(2, fields=fields), unreadable(versions.version(1)), active)
    ).status
    assert step is not None
    (gate,) = step.gates  # type: ignore[attr-defined]
    assert (gate.reason, gate.champion) == ("NotMet", 1)


def test_versions_wait_for_an_unreadable_deployment() -> None:
    """The deployment may serve them, or may have rolled them back."""
    for view in (versions.version(2), versions.judged(2), versions.judged(2, "Quarantined")):
        assert version.plan(versions.observed(view, unreadable(versions.deployment()))) == NOTHING


def test_a_deployment_takes_the_newest_readable_version() -> None:
    step = serving.plan(served(versions.deployment(), versions.judged(1), unreadable(versions.version(2)))).status
    assert step is not None
    assert step.candidate_version == 1  # type: ignore[attr-defined]


def test_a_pin_on_an_unreadable_version_stalls() -> None:
    md = replace(
        versions.deployment(), spec={"modelName": "m", "version": {"policy": "Pinned", "pin": "2"}}, generation=2
    )
    step = serving.plan(served(md, versions.judged(1), unreadable(versions.version(2)))).status
    assert step is not None
    stalled = next(c for c in step.conditions if c.type == "Stalled")  # type: ignore[attr-defined]
    assert stalled.reason == "PinnedVersionUnreadable"
    assert "see the Events of m-v2" in stalled.message


def test_an_unreadable_run_counts_as_active_and_is_not_replaced() -> None:
    job = unreadable(job_view())
    for policy, blocked in (("Forbid", True), ("Replace", True), ("Allow", False)):
        due = schedule(concurrencyPolicy=policy)
        seen = ScheduleState(schedule=due, jobs=(job,), now=NOW, listed=True)
        first = schedules.plan(seen).status
        assert isinstance(first, TrainingScheduleStatus)
        step = schedules.plan(replace(seen, schedule=replace(due, status=first)))
        assert (step.actions == ()) == blocked, policy
        assert ("waits until TrainingJob diabetes" in str(first.conditions)) == blocked


def test_a_view_names_the_unreadable_field() -> None:
    metadata = {
        "namespace": "team",
        "name": "m-v1",
        "uid": "u",
        "resourceVersion": "1",
        "creationTimestamp": "2026-11-21T08:00:00Z",
    }
    body = {"metadata": metadata, "spec": versions.spec(1), "status": {"phase": "Hibernating", "newField": 1}}
    view = MODEL_VERSION.view(body)
    assert view.unreadable.startswith("status.phase: Input should be 'Pending', 'Validated'")
    assert (view.status.phase, view.is_pending) == (None, False)
    assert not MODEL_VERSION.view({**body, "status": {"phase": "Validated", "newField": 1}}).unreadable
