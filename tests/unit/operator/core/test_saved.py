"""The saved status: a restored object recalls it, and any other object ignores it."""

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


def restored(view: V, **changes: Any) -> V:
    """Return the object as it is read after a restore from a backup."""
    text = text_of(view, view.status)
    assert text is not None
    empty: Any = type(view.status)()
    fields = {"uid": "uid-new", "generation": 1, **changes}
    return recall(replace(view, status=empty, annotations={meta.SAVED_ANNOTATION: text}, **fields))


def test_a_restored_finished_job_stays_finished() -> None:
    found = restored(ended())
    assert found.finished
    assert found.recalled_from == "uid-tj"
    assert found.status.model_version == ended().status.model_version
    assert found.status.conditions == ended().status.conditions
    assert found.status.result is not None
    assert found.status.result.report == "s3://models/report.html"
    assert found.status.result.metrics is None


@pytest.mark.parametrize("phase", [None, "Pending", "Queued", "Starting", "Running", "Retrying", "Suspended"])
def test_an_unfinished_job_saves_nothing(phase: str | None) -> None:
    view = job_view(status={"observedGeneration": 1, **({} if phase is None else {"phase": phase})})
    assert text_of(view, view.status) is None
    assert not due(view, view.status)


@pytest.mark.parametrize("phase", sorted(TERMINAL_PHASES))
def test_every_terminal_phase_is_saved(phase: str) -> None:
    assert restored(job_view(status={**ENDED, "phase": phase})).status.phase == phase


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
def test_another_job_ignores_the_saved_status(change: dict[str, Any]) -> None:
    found = restored(ended(), **change)
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
def test_fields_that_do_not_define_the_model_may_differ(spec: dict[str, Any]) -> None:
    assert restored(ended(), spec=spec).finished


def test_an_invalid_spec_has_a_digest_too() -> None:
    view = job_view(spec={"framework": "Nonsense"}, status={**ENDED, "phase": "Failed"})
    assert restored(view).finished
    assert not restored(view, spec={"framework": "Other"}).recalled_from


def test_a_current_status_overrides_the_saved_one() -> None:
    text = text_of(ended(), ended().status)
    running = job_view(
        status={"observedGeneration": 1, "phase": "Running"}, annotations={meta.SAVED_ANNOTATION: str(text)}
    )
    assert recall(running) == running


@pytest.mark.parametrize("phase", ["Validated", "Rejected", "Quarantined"])
def test_a_verdict_is_restored_only_for_the_same_files(phase: str) -> None:
    view = judged(2, phase)
    assert restored(view).status.phase == phase
    assert not restored(view, spec=version(3).spec, name="m-v3").recalled_from


def test_an_unjudged_version_saves_nothing() -> None:
    assert text_of(version(1), version(1).status) is None


def test_a_restored_deployment_has_its_hold_and_history() -> None:
    found = restored(deployment(HELD)).status
    assert (found.active_version, found.hold) == (1, deployment(HELD).status.hold)
    assert found.last_handled_action == "rollback/previous/1"
    assert [entry.version for entry in found.rejected_versions or ()] == [2]
    assert [(entry.version, entry.reason) for entry in found.history or ()] == [(1, "r" * 256)]
    assert found.phase is None
    assert found.ready_replicas is None
    assert not restored(deployment(HELD), spec={"modelName": "other"}).recalled_from


def test_a_restored_schedule_has_its_last_run_and_no_next_time() -> None:
    found = restored(schedule(NIGHTS), spec={"schedule": "@daily"}).status
    assert (found.last_schedule_time, found.last_template_hash, found.missed) == (STAMP, "ab", 3)
    assert found.last_handled_run_now == "t"
    assert found.next_schedule_time is None
    assert [condition.type for condition in found.conditions or ()] == ["ModelAccepted"]


@pytest.mark.parametrize(
    "view", [ended(), judged(2), deployment(HELD), schedule(NIGHTS)], ids=lambda v: type(v).__name__
)
def test_the_saved_status_is_written_once(view: Any) -> None:
    assert due(view, view.status)
    text = text_of(view, view.status)
    known = replace(view, annotations={meta.SAVED_ANNOTATION: text})
    assert due(known, known.status) is None
    assert text_of(restored(view), restored(view).status) == text
    assert not due(replace(view, deleting=True), view.status)


@pytest.mark.parametrize(
    "view", [ended(), judged(2), deployment(HELD), schedule(NIGHTS)], ids=lambda v: type(v).__name__
)
def test_a_saved_status_of_the_same_object_restores_nothing(view: Any) -> None:
    assert restored(view, uid=view.uid).status == type(view.status)()
    assert not restored(view, uid=view.uid).recalled_from


def test_an_interrupted_restore_continues() -> None:
    """The annotation may be written again before the status. It still names the object before the restore."""
    once = restored(deployment(HELD))
    status = once.status.model_copy(update={"candidate_version": None})
    text = text_of(once, status)
    assert text is not None
    again = recall(replace(once, status=ModelDeploymentStatus(), annotations={meta.SAVED_ANNOTATION: text}))
    assert again.recalled_from == once.recalled_from != once.uid
    assert again.status.hold == once.status.hold


@pytest.mark.parametrize("view", [ended(), judged(2)], ids=lambda v: type(v).__name__)
def test_a_restored_object_gets_an_event_first(view: Any) -> None:
    step = saved.restore(restored(view, generation=3))
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
def test_a_broken_saved_status_makes_the_object_unreadable(broken: Any) -> None:
    text = str(text_of(ended(), ended().status))
    text = broken(text) if callable(broken) else broken
    found = recall(job_view(uid="uid-new", annotations={meta.SAVED_ANNOTATION: text}))
    assert found.unreadable.startswith(f"annotation {meta.SAVED_ANNOTATION}")
    assert not found.finished


def test_a_broken_saved_status_of_another_object_is_ignored() -> None:
    of_another = json.dumps({"of": "team/other/x", "uid": "u", "status": {"phase": "Evaporated"}})
    found = recall(job_view(annotations={meta.SAVED_ANNOTATION: of_another}))
    assert not found.unreadable


@settings(deadline=None)
@given(st.text())
def test_any_annotation_is_handled(text: str) -> None:
    found = recall(job_view(annotations={meta.SAVED_ANNOTATION: text}))
    assert not found.recalled_from
