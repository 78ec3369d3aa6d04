"""What happens to the runs of a TrainingSchedule, and to runs that cannot be created."""

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import events_of
from tests.unit.operator.operators import FaultyWrite, Killed
from tests.unit.operator.schedules import NAME, TEMPLATE, World, changed
from trainyard_api.kinds import TRAINING_JOB
from trainyard_operator.kube.errors import ForbiddenError, InvalidError
from trainyard_operator.kube.port import TRAINING_JOBS, Resource

# ---- concurrency -----------------------------------------------------------------------------------------------------


def test_allow_starts_parallel_runs() -> None:
    world = World()
    world.go_to("09:00:00")
    world.go_to("10:00:00")
    assert len(world.unfinished()) == world.status["activeCount"] == 2


def test_forbid_waits_and_then_starts_the_latest_run() -> None:
    world = World(concurrencyPolicy="Forbid")
    for hour in ("09", "10", "11", "12"):
        world.go_to(f"{hour}:00:00")
    assert world.times() == ["09:00"]
    assert world.condition()["reason"] == "RunWaits"
    assert "due since 2026-11-21T10:00:00Z waits until TrainingJob nightly-" in world.condition()["message"]
    assert events_of(world.cluster).count("JobAlreadyActive") == 1
    world.end_all()
    assert world.times() == ["09:00", "12:00"]
    assert world.status["missed"] == 2


def test_forbid_with_a_deadline_skips_a_late_run() -> None:
    world = World(concurrencyPolicy="Forbid", startingDeadlineSeconds=600)
    world.go_to("09:00:00")
    world.go_to("10:00:00")
    assert world.operator.reconcile().after == 300.0  # type: ignore[union-attr]
    world.go_to("10:10:01")
    assert (world.status["missed"], world.status["nextScheduleTime"]) == (1, "2026-11-21T11:00:00Z")
    world.end_all()
    assert world.times() == ["09:00"]


def test_replace_deletes_the_old_run_before_it_starts_the_new_one() -> None:
    world = World(concurrencyPolicy="Replace")
    world.go_to("09:00:00")
    (old,) = world.jobs
    world.cluster.now = world.cluster.now.replace(hour=10)
    world.operator.settle()
    assert list(world.jobs) == [old]
    assert "deletionTimestamp" in world.jobs[old]["metadata"]
    assert f"waits until TrainingJob {old} is gone" in world.condition()["message"]
    world.cluster.collect()
    world.operator.settle()
    assert world.times() == ["10:00"]
    assert world.status["consecutiveFailures"] == 0
    assert "MissingJob" in events_of(world.cluster)


# ---- history ---------------------------------------------------------------------------------------------------------


def test_history_limits_delete_old_runs() -> None:
    world = World(successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1)
    for hour, phase in enumerate(["Failed", "Succeeded", "Cancelled", "Succeeded", "Succeeded", "Failed"], 9):
        world.go_to(f"{hour:02}:00:00")
        world.end_all(phase)
    world.go_to("14:30:00")
    assert world.times() == ["12:00", "13:00", "14:00"]
    assert world.status["lastSuccessfulTime"] == "2026-11-21T13:00:00Z"


def test_without_history_each_time_runs_once() -> None:
    world = World(successfulJobsHistoryLimit=0, failedJobsHistoryLimit=0)
    for hour in ("09", "10"):
        world.go_to(f"{hour}:00:00")
        world.end_all()
        world.go_to(f"{hour}:00:30")
        assert world.jobs == {}
    assert len(world.created()) == 2
    assert events_of(world.cluster).count("SawCompletedJob") == 2


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", [1, 2, 3, 4])
def test_a_crash_at_any_write_starts_no_second_run(write: int, after: bool) -> None:
    world = World(successfulJobsHistoryLimit=0, stopAfterFailures=5, failedJobsHistoryLimit=0)
    world.cluster.hook = FaultyWrite(write, after=after, error=Killed())
    world.go_to("09:00:00")
    world.end_all("Failed")
    world.go_to("09:30:00")
    assert len(world.created()) == 1
    assert world.jobs == {}
    assert world.status["consecutiveFailures"] == 1
    assert world.status["missed"] == 0


# ---- failures --------------------------------------------------------------------------------------------------------


def stopped() -> World:
    world = World(stopAfterFailures=2)
    for hour in ("09", "10"):
        world.go_to(f"{hour}:00:00")
        world.end_all("Failed")
    world.go_to("12:30:00")
    return world


def test_a_schedule_stops_after_failures() -> None:
    world = stopped()
    assert world.status["consecutiveFailures"] == 2
    assert (world.status["phase"], world.condition("Stalled")["reason"]) == ("Stalled", "TooManyFailures")
    assert "2 runs in a row failed" in world.condition()["message"]
    assert "nextScheduleTime" not in world.status
    assert world.unfinished() == []


def test_a_changed_template_resumes_a_stopped_schedule() -> None:
    world = stopped()
    world.edit(template=changed(num_leaves=7))
    world.operator.settle()
    assert (world.status["phase"], world.status["consecutiveFailures"]) == ("Active", 0)
    assert world.status["nextScheduleTime"] == "2026-11-21T13:00:00Z"
    assert world.unfinished() == []


def test_a_successful_requested_run_resumes_a_stopped_schedule() -> None:
    world = stopped()
    world.annotate("please")
    world.operator.settle()
    assert len(world.unfinished()) == 1
    assert world.status["phase"] == "Stalled"
    world.end_all("Failed")
    assert world.status["phase"] == "Stalled"
    world.annotate("once more")
    world.operator.settle()
    world.end_all("Succeeded")
    assert (world.status["phase"], world.status["nextScheduleTime"]) == ("Active", "2026-11-21T13:00:00Z")


def test_a_success_resets_the_failures_and_a_cancelled_run_does_not_count() -> None:
    world = World(stopAfterFailures=2)
    for hour, phase in enumerate(["Failed", "Succeeded", "Failed", "Cancelled"], 9):
        world.go_to(f"{hour:02}:00:00")
        world.end_all(phase)
    assert world.status["consecutiveFailures"] == 1
    assert world.status["phase"] == "Active"


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        ({"schedule": "0 0 31 2 *"}, "UnparseableSchedule", "is never due"),
        ({"schedule": "61 * * * *"}, "UnparseableSchedule", "out of range: write 0 to 59"),
        ({"timeZone": "Europe/Pari"}, "UnknownTimeZone", "for example Europe/Paris"),
    ],
)
def test_an_invalid_schedule_stalls(spec: dict[str, str], reason: str, message: str) -> None:
    world = World(**spec)
    assert (world.status["phase"], world.condition("Stalled")["reason"]) == ("Stalled", reason)
    assert message in world.condition()["message"]
    assert events_of(world.cluster) == [reason]
    before = len(world.cluster.writes)
    world.go_to("2026-11-25T00:00:00")
    assert world.cluster.writes[before:] == []
    world.edit(schedule="0 * * * *", timeZone="UTC")
    world.operator.settle()
    assert (world.status["phase"], world.jobs) == ("Active", {})
    assert world.status["nextScheduleTime"] == "2026-11-25T01:00:00Z"


def test_a_spec_that_the_schema_would_refuse_stalls() -> None:
    world = World()
    world.edit(concurrencyPolicy="Sometimes")
    world.operator.settle()
    assert world.condition("Stalled")["reason"] == "InvalidSpec"
    assert "spec.concurrencyPolicy" in world.condition()["message"]
    world.edit(concurrencyPolicy="Allow")
    world.operator.settle()
    assert world.status["phase"] == "Active"


@pytest.mark.parametrize(
    ("error", "reason", "type_", "phase"),
    [
        (InvalidError(422, "Invalid", "spec.data.uri: no such scheme"), "TemplateRefused", "Stalled", "Stalled"),
        (ForbiddenError(403, "Forbidden", "exceeded quota: runs"), "CreateRefused", "Reconciling", "Active"),
    ],
)
def test_a_refused_run_is_tried_again(error: Exception, reason: str, type_: str, phase: str) -> None:
    world = World()

    def refuse(verb: str, resource: Resource, after: bool) -> None:
        if (verb, resource.plural, after) == ("create", TRAINING_JOB.plural, False):
            tries.append(verb)
            raise error

    tries: list[str] = []
    world.cluster.hook = refuse
    world.go_to("09:00:00")
    assert world.condition(type_)["reason"] == reason
    assert error.args[0].split(": ", 1)[1] in world.condition()["message"]
    assert world.status["phase"] == phase
    before, asked = len(world.cluster.writes), len(tries)
    pauses = []
    for _ in range(6):
        outcome = world.operator.reconcile()
        pauses.append(outcome.after)  # type: ignore[union-attr]
        world.cluster.tick(pauses[-1] or 0)
    assert pauses == [30.0, 30.0, 60.0, 120.0, 240.0, 300.0]
    assert len(tries) == asked + 6
    assert world.cluster.writes[before:] == []
    assert events_of(world.cluster).count("FailedCreate") == 1
    world.cluster.hook = lambda *_: None
    world.operator.settle()
    assert world.times() == ["09:00"]
    assert (world.condition()["reason"], world.status["phase"]) == ("Scheduled", "Active")


def test_a_foreign_job_with_the_name_of_a_run_is_reported() -> None:
    world = World()
    world.cluster.now = world.cluster.now.replace(hour=9, minute=0, second=0)
    name = f"{NAME}-{int(world.cluster.now.timestamp()) // 60}"
    world.cluster.submit(name, TEMPLATE["spec"])
    world.operator.settle()
    assert world.condition()["reason"] == "CreateRefused"
    assert (
        f"TrainingJob {name} already exists and does not belong to this TrainingSchedule"
        in world.condition()["message"]
    )
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, name)
    world.operator.settle()
    assert world.times() == ["09:00"]


def test_a_copy_with_the_labels_of_a_run_is_not_a_run() -> None:
    world = World(successfulJobsHistoryLimit=0, failedJobsHistoryLimit=0, concurrencyPolicy="Replace")
    world.go_to("09:00:00")
    run_of_9 = next(iter(world.jobs.values()))["metadata"]
    for name in ("my-copy", f"{NAME}-99999999"):  # the second name stands for a nominal time in the year 2160
        world.cluster.submit(name, TEMPLATE["spec"], labels=run_of_9["labels"], annotations=run_of_9["annotations"])
    world.go_to("10:00:00")
    world.end("my-copy")
    world.end_all()
    world.go_to("10:30:00")
    assert sorted(world.jobs) == ["my-copy", f"{NAME}-99999999"]
    assert world.status["lastScheduleTime"] == "2026-11-21T10:00:00Z"
    assert world.status["nextScheduleTime"] == "2026-11-21T11:00:00Z"


def test_nothing_is_written_without_a_change() -> None:
    world = World(runOnChange=True, concurrencyPolicy="Forbid", startingDeadlineSeconds=100)
    world.go_to("09:00:00")
    before = len(world.cluster.writes)
    world.operator.restart()
    world.operator.settle()
    world.go_to("09:00:50")
    assert world.cluster.writes[before:] == []
