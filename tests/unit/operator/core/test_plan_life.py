"""The planner of TrainingJobs: suspend, cancel, deadlines, retries and finished jobs."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.operator.api_server import START
from tests.unit.operator.core.plans import (
    ENDED,
    GONE,
    NEXT_GONE,
    RETRYING,
    RUNNING,
    STARTING,
    SUSPENDED_ENTRY,
    T0,
    at,
    conditions,
    created,
    message_of,
    phase_of,
    reason_of,
    stored,
)
from tests.unit.operator.samples import SPEC, child, failure_text, job_view, observed, pod, result_text
from trainyard_api import meta
from trainyard_api.base import MAX_SECONDS
from trainyard_api.batch import Attempt
from trainyard_operator.core.batch.attempts import KEPT, replaced
from trainyard_operator.core.facts import Fact, Need, Refusal
from trainyard_operator.core.objects import WorkloadView
from trainyard_operator.core.plan import NOTHING, Apply, Delete, Plan
from trainyard_operator.core.training.planner import plan
from trainyard_operator.core.training.state import TrainingState

# ---- suspend ---------------------------------------------------------------------------------------------------------


def suspended_spec(**more: Any) -> dict[str, Any]:
    return {**SPEC, "suspend": True, **more}


def test_suspension_is_recorded_before_the_job_is_deleted() -> None:
    job = job_view(RUNNING, spec=suspended_spec())
    first = plan(observed(job, child(ready=1)))
    assert (phase_of(first), reason_of(first)) == ("Running", "Suspending")
    marked = stored(job, first)
    assert plan(observed(marked, child(ready=1))).actions == (Delete("Job", "diabetes-1", "uid-1"),)
    assert plan(observed(marked, child(deleting=True))) == NOTHING, "its pods are still there"
    assert plan(observed(marked)).needs == (Need(Fact.JOB, "diabetes-1"),)
    step = plan(observed(marked, missing=GONE, after=60))
    assert (phase_of(step), reason_of(step)) == ("Suspended", "Suspended")
    assert step.status is not None
    (entry,) = step.status.attempts or []
    assert (entry.reason, entry.end) == ("Suspended", at(60))
    assert step.status.active_seconds == 60
    assert [event.reason for event in step.events] == ["Suspended"]
    assert plan(observed(stored(job, step), after=10**6)) == NOTHING


def test_a_job_is_suspended_before_its_first_attempt() -> None:
    job = job_view(spec=suspended_spec())
    assert plan(observed(job)).needs == (Need(Fact.JOB, "diabetes-1"),), "the response to its creation may be lost"
    step = plan(observed(job, missing=GONE))
    assert phase_of(step) == "Suspended"
    assert plan(observed(stored(job, step), after=10**6)) == NOTHING


def test_a_job_is_suspended_between_two_attempts() -> None:
    job = job_view(RETRYING, spec=suspended_spec())
    step = plan(observed(job, child(failed=True), missing=NEXT_GONE))
    assert phase_of(step) == "Suspended"
    assert step.status is not None
    assert step.status.attempts == job.status.attempts, "the failure still counts"


def test_an_unrecorded_attempt_is_suspended_too() -> None:
    """The status write of its attempt was lost, or another replica created the Job: the attempt number is used."""
    job = job_view({"phase": "Suspended"}, spec=suspended_spec())
    first = plan(observed(job, child()))
    assert first.status is not None
    assert [entry.job_name for entry in first.status.attempts or []] == ["diabetes-1"]


def test_a_resumed_job_is_pending_and_then_starts() -> None:
    job = job_view({"phase": "Suspended", "attempts": [SUSPENDED_ENTRY], "activeSeconds": 5})
    step = plan(observed(job))
    assert (phase_of(step), reason_of(step)) == ("Pending", "Resumed")
    assert created(plan(observed(stored(job, step))))["metadata"]["name"] == "diabetes-2"


def test_a_withdrawn_suspension_is_not_a_failure() -> None:
    marked = job_view({**RUNNING, **conditions("Running", "Suspending")})
    assert phase_of(plan(observed(marked, child(ready=1)))) == "Running"
    assert reason_of(plan(observed(marked, child(ready=1)))) == "Running", "nothing was deleted yet"
    first = stored(marked, plan(observed(marked, child(deleting=True))))
    assert plan(observed(first, child(deleting=True))) == NOTHING
    assert plan(observed(marked, child(deleting=True, failed=True))) == NOTHING, "SIGTERM terminated it"
    step = plan(observed(marked, missing=GONE))
    assert phase_of(step) == "Suspended"
    assert phase_of(plan(observed(stored(marked, step)))) == "Pending"


@pytest.mark.parametrize("stopped", [{"suspend": True}, {"cancel": True}], ids=["suspend", "cancel"])
def test_a_job_that_completes_while_it_is_stopped_succeeds(stopped: dict[str, Any]) -> None:
    pods = {"diabetes-1": (pod(0, termination_message=result_text()),)}
    job = job_view(RUNNING, spec={**SPEC, **stopped})
    assert plan(observed(job, child(complete=True), pods=pods)).needs == (Need(Fact.VERSION, "diabetes-v1"),)
    gone = observed(job, child(complete=True, deleting=True), pods={"diabetes-1": ()})
    assert phase_of(plan(gone)) in (None, "Cancelled"), (
        "it was deleted before its result was read, so it does not succeed"
    )


def test_a_job_that_fails_while_it_is_suspended_counts_as_failed() -> None:
    pods = {"diabetes-1": (pod(65, termination_message=failure_text("BadData", "no column x")),)}
    step = plan(observed(job_view(RUNNING, spec=suspended_spec()), child(failed=True), pods=pods))
    assert (phase_of(step), reason_of(step)) == ("Failed", "BadData")


def test_a_suspended_job_can_be_cancelled() -> None:
    job = job_view({"phase": "Suspended", "attempts": [SUSPENDED_ENTRY]}, spec=suspended_spec(cancel=True))
    step = plan(observed(job, missing=NEXT_GONE))
    assert phase_of(step) == "Cancelled"
    assert step.status is not None
    assert step.status.attempts == job.status.attempts


def test_suspensions_cause_no_failure_pause_or_memory_growth() -> None:
    entries = [
        {**ENDED, "reason": "OOMKilled", "exitCode": 137},
        {**SUSPENDED_ENTRY, "number": 2, "jobName": "diabetes-2"},
        {**SUSPENDED_ENTRY, "number": 3, "jobName": "diabetes-3"},
    ]
    spec = {**SPEC, "retry": {**SPEC["retry"], "maxAttempts": 2}}
    job = job_view({"phase": "Pending", "attempts": entries}, spec=spec)
    body = created(plan(observed(job)))
    assert body["metadata"]["name"] == "diabetes-4"
    limits = body["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["memory"] == "3072Mi", "the memory has grown once"
    running = {"phase": "Running", "attempts": [*entries, {"number": 4, "jobName": "diabetes-4", "start": T0}]}
    failed = observed(job_view(running, spec=spec), child(4, failed=True), pods={"diabetes-4": (pod(1),)})
    step = plan(failed)
    assert phase_of(step) == "Failed"
    assert "attempt 2 of 2 failed" in message_of(step)


def test_the_attempt_list_drops_suspensions_before_failures() -> None:
    entries = [{**ENDED, "number": n, "jobName": f"diabetes-{n}"} for n in range(1, 10)]
    entries.append({**SUSPENDED_ENTRY, "number": 10, "jobName": "diabetes-10"})
    seen = observed(job_view({"attempts": entries}))
    kept = replaced(seen, Attempt(number=11, job_name="diabetes-11"))
    assert [entry.number for entry in kept] == [*range(1, 10), 11]
    assert len(kept) == KEPT


# ---- cancel ----------------------------------------------------------------------------------------------------------


def test_a_job_is_cancelled_between_two_attempts() -> None:
    step = plan(observed(job_view(RETRYING, spec={**SPEC, "cancel": True}), child(failed=True), missing=NEXT_GONE))
    assert phase_of(step) == "Cancelled"
    assert step.status is not None
    assert (step.status.attempts or [])[0].reason == "Crashed"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_cancelling_a_finished_job_only_updates_observed_generation(phase: str) -> None:
    job = job_view({"phase": phase, "observedGeneration": 1}, spec={**SPEC, "cancel": True}, generation=2)
    step = plan(observed(job))
    assert step.status == job.status.model_copy(update={"observed_generation": 2})


def test_a_job_whose_version_is_refused_can_be_cancelled() -> None:
    pods = {"diabetes-1": (pod(0, termination_message=result_text()),)}
    job = job_view(RUNNING, spec={**SPEC, "cancel": True})
    refused = Refusal("quota", permanent=False)
    seen = observed(job, child(complete=True), pods=pods, versions={"diabetes-v1": None}, refused=refused)
    assert phase_of(plan(seen)) == "Cancelled"


# ---- deadlines -------------------------------------------------------------------------------------------------------


def limited(**more: Any) -> dict[str, Any]:
    return {**SPEC, "activeDeadlineSeconds": 100, **more}


def test_each_attempt_gets_the_remaining_running_time() -> None:
    assert created(plan(observed(job_view(spec=limited()))))["spec"]["activeDeadlineSeconds"] == 100
    status = {**RETRYING, "activeSeconds": 70}
    body = created(plan(observed(job_view(status, spec=limited()), child(failed=True), after=10)))
    assert body["spec"]["activeDeadlineSeconds"] == 30


def test_running_time_is_counted_when_an_attempt_ends() -> None:
    pods = {"diabetes-1": (pod(1, finished_at=START + timedelta(seconds=42)),)}
    job = job_view({**RUNNING, "activeSeconds": 5}, spec=limited())
    step = plan(observed(job, child(failed=True, deadline=95), pods=pods, after=50))
    assert step.status is not None
    assert step.status.active_seconds == 47


def test_a_job_without_remaining_running_time_fails_at_once() -> None:
    step = plan(observed(job_view({**RETRYING, "activeSeconds": 100}, spec=limited()), child(failed=True)))
    assert (phase_of(step), reason_of(step)) == ("Failed", "DeadlineExceeded")
    assert "100 s" in message_of(step)


@pytest.mark.parametrize(
    ("before", "now", "due"),
    [
        (95, 100, None),
        (95, 60, 55),
        (95, 200, 195),
        (95, 3, 1),
        (None, 100, 95),
        (95, None, MAX_SECONDS),
        (None, None, None),
    ],
)
def test_a_changed_deadline_is_applied_to_the_running_job(before: int | None, now: int | None, due: int | None) -> None:
    """Shorter and longer. A removed deadline becomes the largest possible one."""
    spec = SPEC if now is None else limited(activeDeadlineSeconds=now)
    seen = observed(job_view({**RUNNING, "activeSeconds": 5}, spec=spec), child(ready=1, deadline=before))
    step = plan(seen)
    if due is None:
        assert step.actions == ()
        return
    (action,) = step.actions
    assert isinstance(action, Apply)
    assert action.body["spec"] == {"activeDeadlineSeconds": due}
    assert action.body["metadata"]["uid"] == "uid-1", "the uid of this Job"
    applied = plan(replace(seen, workloads=(child(ready=1, deadline=due),)))
    assert applied.actions == ()
    refused = plan(replace(seen, refused=Refusal("jobs.batch is forbidden", permanent=False)))
    assert (phase_of(refused), reason_of(refused), refused.requeue_after) == ("Running", "DeadlineRefused", 30)


def with_pending_deadline(**more: Any) -> dict[str, Any]:
    return {**SPEC, "pendingDeadlineSeconds": 60, **more}


def test_a_job_that_is_refused_until_its_pending_deadline_fails() -> None:
    job = job_view(conditions("Pending", "JobRefused", "exceeded quota: jobs"), spec=with_pending_deadline())
    refused = Refusal("exceeded quota: jobs", permanent=False)
    assert plan(observed(job, refused=refused, after=50)).requeue_after == 10
    step = plan(observed(job, refused=refused, after=60, missing=GONE))
    assert (phase_of(step), reason_of(step)) == ("Failed", "PendingDeadlineExceeded")
    assert message_of(step) == "not started within pendingDeadlineSeconds (60 s): exceeded quota: jobs"


def test_a_job_whose_pod_does_not_start_in_time_fails() -> None:
    job = job_view({**STARTING, **conditions("Starting")}, spec=with_pending_deadline())
    assert plan(observed(job, child(), after=29, pods={"diabetes-1": ()})).requeue_after == 29
    pods = {"diabetes-1": (pod(phase="Pending", waiting="Unschedulable: 0/1 nodes"),)}
    assert plan(observed(job, child(), after=45, pods=pods)).requeue_after == 15
    seen = observed(job, child(), pods=pods, after=61)
    first = plan(seen)
    assert phase_of(first) == "Starting", "the reason is stored before the pod is deleted"
    job = stored(job, first)
    assert plan(replace(seen, job=job)).actions == (Delete("Job", "diabetes-1", "uid-1"),)
    assert plan(observed(job, child(deleting=True), after=70)) == NOTHING
    step = plan(observed(job, missing=GONE, after=70))
    assert (phase_of(step), reason_of(step)) == ("Failed", "PendingDeadlineExceeded")
    assert "Unschedulable: 0/1 nodes" in message_of(step)


def test_a_started_pod_meets_the_pending_deadline() -> None:
    job = job_view({**STARTING, **conditions("Starting")}, spec=with_pending_deadline())
    pods = {"diabetes-1": (pod(phase="Pending", started=True, running=True),)}
    first = plan(observed(job, child(), pods=pods, after=61))
    assert phase_of(first) == "Running", "a running pod has started, even if it is not ready and never reports"
    later = observed(stored(job, first), child(), after=10**6)
    assert plan(later).needs == (Need(Fact.PODS, "diabetes-1"),)
    assert plan(replace(later, pods=pods)) == Plan(requeue_after=300), "only another read shows when the pod is gone"


@pytest.mark.parametrize(
    ("status", "since"),
    [
        ({}, 0),
        (conditions("Queued"), -0.0),
        ({**conditions("Retrying"), "attempts": [{**ENDED, "end": at(30)}]}, 40),
        ({**conditions("Pending"), "attempts": [{**SUSPENDED_ENTRY, "end": at(-99)}]}, 0),
    ],
    ids=["first seen", "queued since it was seen", "after the pause", "resumed"],
)
def test_each_wait_for_a_start_has_the_whole_deadline(status: dict[str, Any], since: float) -> None:
    refused = Refusal("no", permanent=False)
    job = job_view(status, spec=with_pending_deadline())
    if status:
        first = {"refused": refused, "missing": GONE | NEXT_GONE}
        assert phase_of(plan(observed(job, after=since + 59, **first))) != "Failed"
        assert phase_of(plan(observed(job, after=since + 60, **first))) == "Failed"
    else:
        assert phase_of(plan(observed(job, refused=refused, after=10**6))) == "Pending", (
            "a job that was observed late has not waited long"
        )


def test_suspended_time_does_not_count_as_pending() -> None:
    job = job_view({"phase": "Suspended"}, spec=with_pending_deadline(suspend=True))
    assert phase_of(plan(observed(job, after=10**6))) in (None, "Suspended")


# ---- retries ---------------------------------------------------------------------------------------------------------


def test_a_lowered_attempt_limit_ends_a_retrying_job() -> None:
    spec = {**SPEC, "retry": {**SPEC["retry"], "maxAttempts": 1}}
    step = plan(observed(job_view(RETRYING, spec=spec), child(failed=True)))
    assert (phase_of(step), reason_of(step)) == ("Failed", "Crashed")
    assert "retry.maxAttempts" in message_of(step)


def test_huge_memory_growth_is_a_valid_quantity() -> None:
    entries = [{**ENDED, "number": n, "jobName": f"diabetes-{n}", "reason": "OOMKilled"} for n in range(1, 10)]
    spec = {**SPEC, "retry": {"maxAttempts": 10, "initialSeconds": 0, "memoryGrowth": 4}}
    body = created(plan(observed(job_view({"phase": "Retrying", "attempts": entries}, spec=spec))))
    limits = body["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["memory"] == f"{2048 * 4**9}Mi"


# ---- finished jobs ---------------------------------------------------------------------------------------------------


def finished_job(ttl: int | None, *children: WorkloadView, after: float) -> TrainingState:
    status = {"phase": "Succeeded", "observedGeneration": 1, "completionTime": at(100)}
    spec = SPEC if ttl is None else {**SPEC, "ttlSecondsAfterFinished": ttl}
    return observed(job_view(status, spec=spec), *children, after=after)


def test_children_are_deleted_after_their_ttl_and_the_job_stays() -> None:
    done = child(complete=True)
    assert plan(finished_job(None, done, after=10**8)) == NOTHING
    assert plan(finished_job(500, done, after=150)) == Plan(requeue_after=450)
    assert plan(finished_job(500, done, after=50)) == Plan(requeue_after=500), "the clock of a node may be ahead"
    two = (replace(child(1), failed=True), replace(child(2), complete=True))
    assert plan(finished_job(500, *two, after=600)).actions == (
        Delete("Job", "diabetes-1", "uid-1"),
        Delete("Job", "diabetes-2", "uid-2"),
    )
    assert plan(finished_job(500, replace(done, deleting=True), after=600)) == NOTHING
    assert plan(finished_job(500, after=600)) == NOTHING


# ---- a rerun ---------------------------------------------------------------------------------------------------------


def test_a_rerun_names_its_origin_once() -> None:
    job = job_view(annotations={meta.RETRY_OF_ANNOTATION: "diabetes-old"})
    first = plan(observed(job, child()))
    assert [event.reason for event in first.events] == ["Rerun", "AttemptStarted"]
    assert "diabetes-old" in first.events[0].message
    later = plan(observed(replace(job, status=job_view(RETRYING).status), child(2)))
    assert [event.reason for event in later.events] == ["AttemptStarted"]
