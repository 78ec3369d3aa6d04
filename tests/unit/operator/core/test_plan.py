"""The planner of TrainingJobs: attempts, results, retries, conditions and progress."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.operator.api_server import START
from tests.unit.operator.core.plans import ENDED, GONE, OPEN, RETRYING, RUNNING, T0, VERSION, phase_of, reason_of
from tests.unit.operator.samples import (
    CONFIG,
    SPEC,
    child,
    job_view,
    observed,
    pod,
    result_text,
)
from trainyard_api.batch import TERMINAL_PHASES, TrainerStatus
from trainyard_operator.core.batch.progress import seconds_until_due
from trainyard_operator.core.conditions import conditions_for
from trainyard_operator.core.config import StorageDefaults
from trainyard_operator.core.facts import Fact, Need, Refusal
from trainyard_operator.core.plan import NOTHING, Create, Delete
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.core.training.planner import plan


def test_a_new_job_starts_its_first_attempt_at_once() -> None:
    (action,) = plan(observed()).actions
    assert isinstance(action, Create)
    assert action.body["metadata"]["name"] == "diabetes-1"


def test_a_job_that_is_being_deleted_is_left_alone() -> None:
    assert plan(observed(job_view(deleting=True), child())) == NOTHING


@pytest.mark.parametrize(
    ("facts", "phase"),
    [
        ({}, "Starting"),
        ({"ready": 1}, "Running"),
    ],
)
def test_the_phase_follows_the_pods_of_the_attempt(facts: dict[str, Any], phase: str) -> None:
    step = plan(observed(job_view(), child(**facts)))
    assert phase_of(step) == phase
    assert [event.reason for event in step.events] == ["AttemptStarted"]


def test_a_progress_report_sets_running() -> None:
    reported = TrainerStatus(sequence=1, progress_percentage=3, last_updated_time=T0)
    step = plan(observed(job_view({"phase": "Starting", "attempts": [OPEN]}), child(), reported=reported))
    assert phase_of(step) == "Running"
    assert step.status is not None
    assert step.status.trainer_status is not None
    assert step.status.trainer_status.progress_percentage == 3


def test_pods_are_read_if_the_attempt_is_not_ready_after_30_seconds() -> None:
    job = job_view({"phase": "Starting", "attempts": [OPEN]})
    assert plan(observed(job, child(), after=29)).needs == ()
    assert plan(observed(job, child(), after=30)).needs == (Need(Fact.PODS, "diabetes-1"),)
    pods = {"diabetes-1": (pod(phase="Pending", waiting="ImagePullBackOff: no such image"),)}
    step = plan(observed(job, child(), after=30, pods=pods))
    assert step.status is not None
    assert "ImagePullBackOff: no such image" in (step.status.conditions or [])[0].message
    assert step.requeue_after == 30


def test_the_pods_are_read_before_an_attempt_ends() -> None:
    for facts in ({"complete": True}, {"failed": True}):
        assert plan(observed(job_view(RUNNING), child(**facts))).needs == (Need(Fact.PODS, "diabetes-1"),)


def test_a_complete_job_gets_its_version_and_then_succeeds() -> None:
    done = child(complete=True, end=START + timedelta(seconds=60), image="t:1")
    seen = observed(
        job_view(RUNNING), done, after=61, pods={"diabetes-1": (pod(0, termination_message=result_text()),)}
    )
    assert plan(seen).needs == (Need(Fact.VERSION, "diabetes-v1"),)
    (action,) = plan(replace(seen, versions={"diabetes-v1": None})).actions
    assert isinstance(action, Create)
    step = plan(replace(seen, versions={"diabetes-v1": VERSION}))
    assert phase_of(step) == "Succeeded"
    assert step.status is not None
    assert step.status.completion_time == "2026-11-21T08:01:00Z"
    assert [(c.type, c.status) for c in step.status.conditions or ()] == [("Ready", "True"), ("Complete", "True")]


def test_an_unobserved_attempt_gets_both_events() -> None:
    """The operator was not running between the start and the end of the attempt."""
    done = child(complete=True, end=START + timedelta(seconds=60))
    pods = {"diabetes-1": (pod(0, termination_message=result_text()),)}
    step = plan(observed(job_view(), done, after=61, pods=pods, versions={"diabetes-v1": VERSION}))
    assert [event.reason for event in step.events] == ["AttemptStarted", "Succeeded"]


def test_the_objective_value_is_read_from_the_metrics() -> None:
    spec = {**SPEC, "objective": {"metric": "mae"}}
    pods = {"diabetes-1": (pod(0, termination_message=result_text()),)}
    seen = observed(job_view(RUNNING, spec=spec), child(complete=True), pods=pods, versions={"diabetes-v1": VERSION})
    step = plan(seen)
    assert step.status is not None
    assert step.status.objective_value == "1.5"


def test_a_refused_version_is_retried_or_fails_the_job() -> None:
    pods = {"diabetes-1": (pod(0, termination_message=result_text()),)}
    seen = observed(job_view(RUNNING), child(complete=True), pods=pods, versions={"diabetes-v1": None})
    later = plan(replace(seen, refused=Refusal("quota", permanent=False)))
    assert (phase_of(later), reason_of(later), later.requeue_after) == ("Running", "VersionRefused", 30)
    never = plan(replace(seen, refused=Refusal("spec.label", permanent=True)))
    assert (phase_of(never), reason_of(never)) == ("Failed", "VersionRefused")


@pytest.mark.parametrize(("seconds", "creates"), [(9.9, False), (10.0, True), (-100.0, False)])
def test_the_next_attempt_starts_after_the_pause(seconds: float, creates: bool) -> None:
    """The clock of a node may be ahead. The wait is never longer than the pause."""
    step = plan(observed(job_view(RETRYING), child(failed=True), after=seconds))
    assert bool(step.actions) == creates
    assert step.requeue_after is None if creates else 0 < (step.requeue_after or 0) <= 10


@pytest.mark.parametrize(("number", "pause"), [(1, 10), (2, 20), (3, 40), (6, 300)])
def test_the_pause_doubles_up_to_its_limit(number: int, pause: float) -> None:
    failed = [{**ENDED, "number": each, "jobName": f"diabetes-{each}"} for each in range(1, number + 1)]
    spec = {**SPEC, "retry": {**SPEC["retry"], "maxAttempts": 10}}
    step = plan(observed(job_view({"phase": "Retrying", "attempts": failed}, spec=spec)))
    assert step.requeue_after == pause


def test_the_next_attempt_waits_until_the_old_pods_are_gone() -> None:
    for facts in ({"active": 1}, {"terminating": 1}):
        assert plan(observed(job_view(RETRYING), child(failed=True, **facts), after=99)) == NOTHING


def test_memory_grows_with_each_out_of_memory_kill() -> None:
    (action,) = plan(
        observed(job_view({"attempts": [{**ENDED, "reason": "OOMKilled", "exitCode": 137}]}), after=99)
    ).actions
    assert isinstance(action, Create)
    container = action.body["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["memory"] == "3072Mi"


def test_a_missing_job_is_read_before_it_counts_as_deleted() -> None:
    seen = observed(job_view(RUNNING))
    assert plan(seen).needs == (Need(Fact.JOB, "diabetes-1"),)
    step = plan(replace(seen, missing=frozenset({"diabetes-1"})))
    assert (phase_of(step), reason_of(step)) == ("Retrying", "ChildDeleted")


def test_a_job_without_storage_fails_with_the_field_in_the_message() -> None:
    spec = {key: value for key, value in SPEC.items() if key != "storage"}
    step = plan(observed(job_view(spec=spec)))
    assert (phase_of(step), reason_of(step)) == ("Failed", "InvalidSpec")
    assert "spec.storage.uri" in step.events[0].message


def test_an_unsupported_default_storage_is_named() -> None:
    spec = {key: value for key, value in SPEC.items() if key != "storage"}
    config = CONFIG.model_copy(update={"storage": StorageDefaults(uri="gs://models")})
    step = plan(observed(job_view(spec=spec), config=config))
    assert "'gs://models' is invalid" in step.events[0].message


def test_changed_storage_defaults_do_not_affect_a_running_job() -> None:
    spec = {key: value for key, value in SPEC.items() if key != "storage"}
    assert phase_of(plan(observed(job_view(spec=spec), child(ready=1)))) == "Running"


def test_a_cancelled_job_deletes_its_child_first() -> None:
    spec = {**SPEC, "cancel": True}
    step = plan(observed(job_view(RUNNING, spec=spec), child()))
    assert (phase_of(step), reason_of(step)) == ("Running", "Cancelling"), (
        "the status changes at once, before anything is deleted"
    )
    marked = replace(job_view(RUNNING, spec=spec), status=step.status)
    assert plan(observed(marked, child())).actions == (Delete("Job", "diabetes-1", "uid-1"),)
    assert plan(observed(marked, child(deleting=True))) == NOTHING
    assert plan(observed(job_view(RUNNING, spec=spec))).needs == (Need(Fact.JOB, "diabetes-1"),), (
        "the Job may exist although it was not observed"
    )
    assert phase_of(plan(observed(job_view(RUNNING, spec=spec), missing=GONE))) == "Cancelled"


@pytest.mark.parametrize("phase", sorted(TERMINAL_PHASES))
def test_terminal_phases_stay_and_running_children_are_deleted(phase: str) -> None:
    job = job_view({"phase": phase, "observedGeneration": 1})
    assert plan(observed(job, child(failed=True), reported=TrainerStatus(sequence=9))) == NOTHING
    assert plan(observed(job, child(ready=1))).actions == (Delete("Job", "diabetes-1", "uid-1"),)
    edited = plan(observed(replace(job, generation=2)))
    assert edited.status == job.status.model_copy(update={"observed_generation": 2})
    assert edited.events == ()


# ---- conditions and progress -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ("Pending", {"Ready": "False", "Reconciling": "True"}),
        ("Queued", {"Ready": "False", "Reconciling": "True"}),
        ("Starting", {"Ready": "False", "Reconciling": "True"}),
        ("Running", {"Ready": "False", "Reconciling": "True"}),
        ("Retrying", {"Ready": "False", "Reconciling": "True"}),
        ("Suspended", {"Ready": "False"}),
        ("Succeeded", {"Ready": "True", "Complete": "True"}),
        ("Failed", {"Ready": "False", "Failed": "True", "Stalled": "True"}),
        ("Cancelled", {"Ready": "False", "Failed": "True"}),
    ],
)
def test_conditions_of_each_phase(phase: Any, expected: dict[str, str]) -> None:
    found = conditions_for(phase, "R", "m", generation=3, now=START, before=())
    assert {c.type: c.status for c in found} == expected
    assert {c.observed_generation for c in found} == {3}


def test_transition_time_changes_only_with_the_status() -> None:
    first = conditions_for("Starting", "A", "m", generation=1, now=START, before=())
    later = START + timedelta(minutes=1)
    second = conditions_for("Running", "B", "n", generation=1, now=later, before=first)
    assert {c.last_transition_time for c in second} == {T0}
    third = conditions_for("Succeeded", "C", "o", generation=1, now=later, before=second)
    assert {c.type: c.last_transition_time for c in third} == dict.fromkeys(("Ready", "Complete"), to_rfc3339(later))


@pytest.mark.parametrize(
    ("stored", "reported", "after", "due"),
    [
        (None, {"progress_percentage": 1}, 0, 0),
        ({"progress_percentage": 1}, {"progress_percentage": 1, "message": "new"}, 99, None),
        ({"progress_percentage": 1}, {"progress_percentage": 2}, 0, 6),
        ({"progress_percentage": 1}, {"progress_percentage": 2}, 4, 2),
        ({"progress_percentage": 1}, {"progress_percentage": 2}, 6, 0),
        ({"progress_percentage": 1}, {"progress_percentage": 1, "stage": "train"}, 6, 0),
        ({"progress_percentage": 1}, {"progress_percentage": 2}, -1000, 6),
    ],
)
def test_progress_is_written_at_a_limited_rate(
    stored: dict[str, Any] | None, reported: dict[str, Any], after: float, due: float | None
) -> None:
    before = TrainerStatus(last_updated_time=T0, sequence=1, **stored) if stored is not None else None
    now = START + timedelta(seconds=after)
    assert seconds_until_due(before, TrainerStatus(sequence=2, **reported), now) == due


def test_the_last_progress_is_written_with_the_end() -> None:
    status = {**RUNNING, "trainerStatus": {"progressPercentage": 10, "lastUpdatedTime": T0, "sequence": 1}}
    last = TrainerStatus(progress_percentage=40, sequence=2, last_updated_time=T0)
    for code in (1, 65):
        pods = {"diabetes-1": (pod(code),)}
        step = plan(observed(job_view(status), child(failed=True), reported=last, pods=pods, after=1))
        assert step.status is not None
        assert step.status.trainer_status == last
