"""What of a status outlives it: on the same object it is all that decisions rest on, on another one it says nothing."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.operator.core.versions import judged, version
from tests.unit.operator.samples import SPEC, job_view
from trainyard_api import meta
from trainyard_api.batch import TERMINAL_PHASES
from trainyard_api.modeldeployment import ModelDeploymentStatus
from trainyard_api.trainingjob import TrainingJobStatus
from trainyard_api.trainingschedule import TrainingScheduleStatus
from trainyard_operator.core import saved
from trainyard_operator.core.objects import ModelDeploymentView, ObjectView, TrainingJobView, TrainingScheduleView
from trainyard_operator.runtime.registry import KINDS

V = TypeVar("V", bound=ObjectView[Any])

STAMP = "2026-11-21T09:00:00Z"
READY = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "done", "lastTransitionTime": STAMP}
ENDED = {
    "observedGeneration": 1,
    "phase": "Succeeded",
    "conditions": [READY],
    "completionTime": STAMP,
    "modelVersion": {"name": "diabetes-v1", "version": 1},
    "result": {"metrics": [{"name": "mae", "value": "1"}], "report": "s3://models/report.html", "warnings": ["w"]},
    "trainerStatus": {"progressPercentage": 100, "sequence": 4},
}
OBJECT: dict[str, Any] = {
    "namespace": "team",
    "name": "shop",
    "uid": "uid-1",
    "resource_version": "7",
    "generation": 1,
    "created": datetime(2026, 11, 21, 8, 0, tzinfo=UTC),
    "deleting": False,
}
HELD = {
    "observedGeneration": 4,
    "phase": "Held",
    "activeVersion": 1,
    "rejectedVersions": [{"version": 2, "reason": "ManualRollback", "message": "m" * 900, "time": STAMP}],
    "hold": {"reason": "ManualRollback", "above": 2, "since": STAMP, "by": "alice"},
    "lastHandledAction": "rollback/previous/1",
    "history": [{"version": 1, "from": STAMP, "outcome": "Active", "by": "alice", "reason": "r" * 900}],
    "readyReplicas": 1,
}
NIGHTS = {
    "observedGeneration": 2,
    "phase": "Active",
    "conditions": [READY, {**READY, "type": "ModelAccepted"}],
    "lastScheduleTime": STAMP,
    "nextScheduleTime": "2026-11-22T09:00:00Z",
    "lastTemplateHash": "ab",
    "missed": 3,
    "lastHandledRunNow": "t",
}


def ended(**more: Any) -> TrainingJobView:
    return job_view(status=ENDED, **more)


def deployment(status: dict[str, Any], **more: Any) -> ModelDeploymentView:
    found = ModelDeploymentStatus.model_validate(status)
    return ModelDeploymentView(**{**OBJECT, "spec": {"modelName": "m"}, **more}, status=found)


def schedule(status: dict[str, Any], **more: Any) -> TrainingScheduleView:
    return TrainingScheduleView(**{**OBJECT, "spec": {}, **more}, status=TrainingScheduleStatus.model_validate(status))


def saves_of(view: Any) -> saved.Saves[Any]:
    found = KINDS[type(view).__name__.removesuffix("View")].saves
    assert found is not None
    return found


def text_of(view: Any, status: Any) -> str | None:
    return saved.text_of(saves_of(view), view, status)


def due(view: Any, status: Any) -> str | None:
    return saved.due(saves_of(view), view, status)


def recall(view: V) -> V:
    return saved.recall(saves_of(view), view)


def back(view: V, **changes: Any) -> V:
    """Return an object as a restore brings it back, and as it is then read."""
    text = text_of(view, view.status)
    assert text is not None
    empty: Any = type(view.status)()
    fields = {"uid": "uid-new", "generation": 1, **changes}
    return recall(replace(view, status=empty, annotations={meta.SAVED_ANNOTATION: text}, **fields))


def test_a_job_that_ended_has_ended() -> None:
    found = back(ended())
    assert found.finished
    assert found.recalled_from == "uid-tj"
    assert found.status.model_version == ended().status.model_version
    assert found.status.conditions == ended().status.conditions
    assert found.status.result is not None
    assert found.status.result.report == "s3://models/report.html"
    assert found.status.result.metrics is None


@pytest.mark.parametrize("phase", [None, "Pending", "Queued", "Starting", "Running", "Retrying", "Suspended"])
def test_a_job_that_has_not_ended_begins_anew(phase: str | None) -> None:
    view = job_view(status={"observedGeneration": 1, **({} if phase is None else {"phase": phase})})
    assert text_of(view, view.status) is None
    assert not due(view, view.status)


@pytest.mark.parametrize("phase", sorted(TERMINAL_PHASES))
def test_every_end_is_saved(phase: str) -> None:
    assert back(job_view(status={**ENDED, "phase": phase})).status.phase == phase


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"namespace": "elsewhere"},
        {"spec": {**SPEC, "modelName": "m"}},
        {"spec": {**SPEC, "parameters": {"num_leaves": 5}}},
        {"spec": {**SPEC, "data": {"uri": "s3://other.csv", "target": "y"}}},
    ],
)
def test_of_another_job_it_says_nothing(change: dict[str, Any]) -> None:
    found = back(ended(), **change)
    assert not found.recalled_from
    assert found.status == TrainingJobStatus()


@pytest.mark.parametrize(
    "spec",
    [
        {**SPEC, "priority": "High", "cancel": True},
        {**SPEC, "mode": "Train", "shards": 1},
        {**SPEC, "split": None},
        {**SPEC, "fieldOfANewerRelease": 1},
    ],
)
def test_what_does_not_define_the_model_makes_no_other_job(spec: dict[str, Any]) -> None:
    assert back(ended(), spec=spec).finished


def test_a_spec_that_cannot_be_read_has_a_digest_too() -> None:
    view = job_view(spec={"framework": "Nonsense"}, status={**ENDED, "phase": "Failed"})
    assert back(view).finished
    assert not back(view, spec={"framework": "Other"}).recalled_from


def test_a_status_of_its_own_comes_first() -> None:
    text = text_of(ended(), ended().status)
    running = job_view(
        status={"observedGeneration": 1, "phase": "Running"}, annotations={meta.SAVED_ANNOTATION: str(text)}
    )
    assert recall(running) == running


@pytest.mark.parametrize("phase", ["Validated", "Rejected", "Quarantined"])
def test_a_verdict_is_kept_for_these_files_alone(phase: str) -> None:
    view = judged(2, phase)
    assert back(view).status.phase == phase
    assert not back(view, spec=version(3).spec, name="m-v3").recalled_from


def test_a_version_that_waits_is_judged_again() -> None:
    assert text_of(version(1), version(1).status) is None


def test_a_deployment_knows_its_hold_and_its_history() -> None:
    found = back(deployment(HELD)).status
    assert (found.active_version, found.hold) == (1, deployment(HELD).status.hold)
    assert found.last_handled_action == "rollback/previous/1"
    assert [entry.version for entry in found.rejected_versions or ()] == [2]
    assert [(entry.version, entry.reason) for entry in found.history or ()] == [(1, "r" * 256)]
    assert found.phase is None
    assert found.ready_replicas is None
    assert not back(deployment(HELD), spec={"modelName": "other"}).recalled_from


def test_a_schedule_knows_what_it_ran_and_promises_nothing() -> None:
    found = back(schedule(NIGHTS), spec={"schedule": "@daily"}).status
    assert (found.last_schedule_time, found.last_template_hash, found.missed) == (STAMP, "ab", 3)
    assert found.last_handled_run_now == "t"
    assert found.next_schedule_time is None
    assert [condition.type for condition in found.conditions or ()] == ["ModelAccepted"]


@pytest.mark.parametrize(
    "view", [ended(), judged(2), deployment(HELD), schedule(NIGHTS)], ids=lambda v: type(v).__name__
)
def test_it_is_written_once(view: Any) -> None:
    assert due(view, view.status)
    text = text_of(view, view.status)
    known = replace(view, annotations={meta.SAVED_ANNOTATION: text})
    assert due(known, known.status) is None
    assert text_of(back(view), back(view).status) == text
    assert not due(replace(view, deleting=True), view.status)


@pytest.mark.parametrize(
    "view", [ended(), judged(2), deployment(HELD), schedule(NIGHTS)], ids=lambda v: type(v).__name__
)
def test_who_died_before_the_first_status_restores_nothing(view: Any) -> None:
    assert back(view, uid=view.uid).status == type(view.status)()
    assert not back(view, uid=view.uid).recalled_from


def test_a_restore_that_died_half_way_is_one_still() -> None:
    """Its annotation may be written anew before its status is; it still is of the object before the restore."""
    once = back(deployment(HELD))
    status = once.status.model_copy(update={"candidate_version": None})
    text = text_of(once, status)
    assert text is not None
    again = recall(replace(once, status=ModelDeploymentStatus(), annotations={meta.SAVED_ANNOTATION: text}))
    assert again.recalled_from == once.recalled_from != once.uid
    assert again.status.hold == once.status.hold


@pytest.mark.parametrize("view", [ended(), judged(2)], ids=lambda v: type(v).__name__)
def test_a_restored_object_says_so_first(view: Any) -> None:
    step = saved.restore(back(view, generation=3))
    assert step.status is not None
    assert step.status.model_dump()["observed_generation"] == 3
    assert [event.reason for event in step.events] == ["Restored"]


@pytest.mark.parametrize(
    "broken",
    [
        "nonsense",
        "[]",
        '{"of": 1, "uid": "u", "status": {}}',
        '{"of": "team/diabetes", "status": {}}',
        lambda text: text.replace('"phase":"Succeeded"', '"phase":"Evaporated"'),
        lambda text: text.replace('"version":1', '"version":"one"'),
        lambda text: text.replace('"uid":"uid-tj"', '"uid":""'),
    ],
)
def test_what_cannot_be_read_decides_nothing(broken: Any) -> None:
    text = str(text_of(ended(), ended().status))
    text = broken(text) if callable(broken) else broken
    found = recall(job_view(uid="uid-new", annotations={meta.SAVED_ANNOTATION: text}))
    assert found.unreadable.startswith(f"annotation {meta.SAVED_ANNOTATION}")
    assert not found.finished


def test_of_another_object_it_need_not_be_readable() -> None:
    of_another = json.dumps({"of": "team/other/x", "uid": "u", "status": {"phase": "Evaporated"}})
    found = recall(job_view(annotations={meta.SAVED_ANNOTATION: of_another}))
    assert not found.unreadable


@settings(deadline=None)
@given(st.text())
def test_whatever_stands_there(text: str) -> None:
    found = recall(job_view(annotations={meta.SAVED_ANNOTATION: text}))
    assert not found.recalled_from
