"""The rules of a TrainingSchedule, one by one, as docs/trainingschedule.md tells them."""

from typing import Any

import pytest

from tests.unit.operator.cluster import NAMESPACE, events_of
from tests.unit.operator.operators import FaultyWrite, Killed
from tests.unit.operator.schedules import NAME, TEMPLATE, World
from trainyard_api import meta
from trainyard_api.kinds import TRAINING_JOB
from trainyard_operator.kube.errors import ForbiddenError, InvalidError
from trainyard_operator.kube.port import TRAINING_JOBS, TRAINING_SCHEDULES, Resource


def changed(**parameters: Any) -> dict[str, Any]:
    return {"spec": {**TEMPLATE["spec"], "parameters": parameters}}


# ---- the clock -------------------------------------------------------------------------------------------------------


def test_first_look_promises_the_next_time_and_starts_nothing() -> None:
    world = World()
    assert world.jobs == {}
    assert world.status["nextScheduleTime"] == "2026-11-21T09:00:00Z"
    assert (world.status["phase"], world.status["activeCount"], world.status["missed"]) == ("Active", 0, 0)
    assert (world.condition()["status"], world.condition()["reason"]) == ("True", "Scheduled")
    assert world.operator.turn().after == 300.0  # type: ignore[union-attr]


def test_a_run_at_its_time() -> None:
    world = World(template={"metadata": {"labels": {"team": "a"}, "annotations": {"why": "x"}}, **TEMPLATE})
    world.go_to("09:00:00")
    (name,) = world.jobs
    body = world.jobs[name]
    assert body["metadata"]["labels"] == {
        "team": "a",
        meta.MANAGED_BY_LABEL: meta.MANAGED_BY,
        meta.SCHEDULE_LABEL: NAME,
        meta.SCHEDULE_UID_LABEL: world.body["metadata"]["uid"],
    }
    assert body["metadata"]["annotations"] == {"why": "x", meta.SCHEDULED_FOR_ANNOTATION: "2026-11-21T09:00:00Z"}
    (owner,) = body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == (
        "TrainingSchedule",
        world.body["metadata"]["uid"],
        True,
    )
    assert body["spec"] == {"modelName": NAME, **TEMPLATE["spec"]}
    assert world.status["lastScheduleTime"] == "2026-11-21T09:00:00Z"
    assert world.status["nextScheduleTime"] == "2026-11-21T10:00:00Z"
    assert world.status["active"] == [{"name": name, "uid": body["metadata"]["uid"]}]
    assert world.status["lastRun"] == name
    assert events_of(world.cluster) == ["SuccessfulCreate"]


def test_the_name_is_that_of_the_nominal_minute() -> None:
    world = World(schedule="30 2 * * *", timeZone="Europe/Paris")
    world.go_to("2026-11-22T01:30:10")  # half past two in Paris
    minute = int(world.cluster.now.timestamp()) // 60
    assert list(world.jobs) == [f"{NAME}-{minute}"]


def test_after_downtime_one_run_is_caught_up_with_and_the_rest_is_counted() -> None:
    world = World()
    world.go_to("2026-11-22T07:40:00")
    assert world.times() == ["07:00"]
    assert world.status["missed"] == 22
    world.go_to("2026-11-22T07:59:59")
    assert world.times() == ["07:00"]
    world.go_to("2026-11-22T08:00:00")
    assert world.times() == ["07:00", "08:00"]


def test_an_operator_that_was_away_since_the_creation_catches_up_too() -> None:
    world = World(now="2026-11-21T08:00:30", suspend=True)
    world.cluster.remove(TRAINING_SCHEDULES, NAMESPACE, NAME)
    world.submit({"schedule": "0 * * * *", "template": TEMPLATE})
    world.go_to("11:10:00")
    assert world.times() == ["11:00"]


@pytest.mark.parametrize(("back_at", "runs", "missed"), [("09:00:20", 1, 0), ("09:00:21", 0, 1), ("10:30:00", 0, 2)])
def test_starting_deadline(back_at: str, runs: int, missed: int) -> None:
    world = World(startingDeadlineSeconds=20)
    world.go_to(back_at)
    assert (len(world.jobs), world.status["missed"]) == (runs, missed)
    assert ("MissSchedule" in events_of(world.cluster)) == (missed > 0)
    following = "2026-11-21T11:00:00Z" if back_at > "10" else "2026-11-21T10:00:00Z"
    assert world.status["nextScheduleTime"] == following


def test_missed_runs_are_counted_up_to_a_bound() -> None:
    world = World(schedule="* * * * *")
    world.go_to("2027-11-21T08:00:40")
    assert len(world.jobs) == 1
    assert world.status["missed"] == 100


@pytest.mark.parametrize(
    "edit",
    [
        {"schedule": "*/5 * * * *"},
        {"schedule": "40 * * * *"},
        {"timeZone": "Asia/Kolkata"},
        {"schedule": "*/5 * * * *", "timeZone": "Asia/Kathmandu"},
    ],
)
def test_an_edited_line_or_zone_fires_nothing_at_once(edit: dict[str, str]) -> None:
    world = World()
    world.go_to("09:00:00")
    world.end_all()
    world.go_to("09:47:30")
    world.edit(**edit)
    world.operator.settle()
    assert len(world.jobs) == 1
    assert world.status["nextScheduleTime"] > "2026-11-21T09:47:30Z"
    world.go_to(world.status["nextScheduleTime"].removesuffix("Z"))
    assert len(world.jobs) == 2


def test_a_line_that_is_edited_while_the_operator_is_away_fires_nothing_at_once() -> None:
    world = World(schedule="0 9 * * *")
    world.edit(schedule="0 10 * * *")
    world.go_to("10:30:00")
    assert world.jobs == {}
    assert world.status["nextScheduleTime"] == "2026-11-22T10:00:00Z"


def test_a_line_that_is_added_later_starts_from_then() -> None:
    world = World(schedule=None, runOnChange=True)
    world.end_all()
    world.go_to("11:30:00")
    world.edit(schedule="0 * * * *")
    world.operator.settle()
    assert world.times() == [""]
    assert world.status["nextScheduleTime"] == "2026-11-21T12:00:00Z"


def test_a_clock_that_goes_backwards_starts_nothing_twice() -> None:
    world = World()
    world.go_to("10:00:00")
    made = world.created()
    world.end_all()
    world.go_to("08:30:00")
    world.go_to("09:00:00")
    world.go_to("10:00:00")
    assert world.created() == made
    assert world.status["nextScheduleTime"] == "2026-11-21T11:00:00Z"


# ---- suspend ---------------------------------------------------------------------------------------------------------


def test_suspended_runs_wait_and_one_is_caught_up_with() -> None:
    world = World(suspend=True)
    world.go_to("11:30:00")
    assert world.jobs == {}
    assert (world.status["phase"], world.condition()["reason"]) == ("Suspended", "Suspended")
    assert world.condition()["status"] == "True"
    world.edit(suspend=False)
    world.operator.settle()
    assert world.times() == ["11:00"]
    assert world.status["phase"] == "Active"


def test_a_deadline_holds_for_what_was_suspended() -> None:
    world = World(suspend=True, startingDeadlineSeconds=60)
    world.go_to("11:30:00")
    world.edit(suspend=False)
    world.operator.settle()
    assert world.jobs == {}
    assert (world.status["missed"], world.status["nextScheduleTime"]) == (3, "2026-11-21T12:00:00Z")


def test_a_run_that_began_goes_on_when_suspended() -> None:
    world = World()
    world.go_to("09:00:00")
    world.edit(suspend=True)
    world.go_to("10:00:00")
    assert len(world.unfinished()) == len(world.jobs) == 1


# ---- concurrency -----------------------------------------------------------------------------------------------------


def test_allow_runs_side_by_side() -> None:
    world = World()
    world.go_to("09:00:00")
    world.go_to("10:00:00")
    assert len(world.unfinished()) == world.status["activeCount"] == 2


def test_forbid_waits_for_the_end_and_runs_the_latest_then() -> None:
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


def test_forbid_with_a_deadline_gives_up() -> None:
    world = World(concurrencyPolicy="Forbid", startingDeadlineSeconds=600)
    world.go_to("09:00:00")
    world.go_to("10:00:00")
    assert world.operator.turn().after == 300.0  # type: ignore[union-attr]
    world.go_to("10:10:01")
    assert (world.status["missed"], world.status["nextScheduleTime"]) == (1, "2026-11-21T11:00:00Z")
    world.end_all()
    assert world.times() == ["09:00"]


def test_replace_ends_the_old_run_before_it_starts_the_new_one() -> None:
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


def test_history_limits() -> None:
    world = World(successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1)
    for hour, phase in enumerate(["Failed", "Succeeded", "Cancelled", "Succeeded", "Succeeded", "Failed"], 9):
        world.go_to(f"{hour:02}:00:00")
        world.end_all(phase)
    world.go_to("14:30:00")
    assert world.times() == ["12:00", "13:00", "14:00"]
    assert world.status["lastSuccessfulTime"] == "2026-11-21T13:00:00Z"


def test_no_history_at_all_still_runs_each_time_once() -> None:
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
def test_a_crash_at_any_write_of_a_run_makes_no_second_one(write: int, after: bool) -> None:
    world = World(successfulJobsHistoryLimit=0, stopAfterFailures=5, failedJobsHistoryLimit=0)
    world.cluster.hook = FaultyWrite(write, after=after, error=Killed())
    world.go_to("09:00:00")
    world.end_all("Failed")
    world.go_to("09:30:00")
    assert len(world.created()) == 1
    assert world.jobs == {}
    assert world.status["consecutiveFailures"] == 1
    assert world.status["missed"] == 0


# ---- on request ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [{}, {"suspend": True}, {"schedule": "0 0 30 2 *"}, {"timeZone": "Mars/Base"}])
def test_run_now_runs_once_for_each_token(spec: dict[str, Any]) -> None:
    world = World(**spec)
    world.annotate("monday")
    world.operator.settle()
    world.operator.settle()
    assert world.times() == [""]
    assert world.status["lastHandledRunNow"] == "monday"
    assert world.status.get("lastScheduleTime") is None
    world.annotate("tuesday")
    world.operator.settle()
    assert world.times() == ["", ""]


def test_run_now_without_a_schedule() -> None:
    world = World(schedule=None, runOnChange=True, concurrencyPolicy="Forbid")
    world.annotate("again")
    world.operator.settle()
    assert "asked for by trainyard.dev/run-now=again waits until" in world.condition()["message"]
    world.end_all()
    assert len(world.jobs) == 2
    assert world.status["lastHandledRunNow"] == "again"


def test_a_token_of_any_size_is_one_token() -> None:
    world = World()
    world.annotate(" " + "x" * 5000 + " ")
    world.operator.settle()
    world.operator.settle()
    assert len(world.jobs) == 1
    assert world.status["lastHandledRunNow"] == "x" * 256
    world.annotate("  ")
    world.operator.settle()
    assert len(world.jobs) == 1


# ---- on change -------------------------------------------------------------------------------------------------------


def test_run_on_change_runs_at_creation_and_at_each_change() -> None:
    world = World(schedule=None, runOnChange=True)
    assert len(world.jobs) == 1
    assert world.condition()["reason"] == "WaitsForChange"
    for count, template in enumerate((changed(num_leaves=63), TEMPLATE, changed(num_leaves=63)), 2):
        world.end_all()
        world.edit(template=template)
        world.go_to("08:30:00")
        assert len(set(world.created())) == len(world.created()) == count
    world.end_all()
    world.edit(successfulJobsHistoryLimit=1)
    world.go_to("08:40:00")
    assert len(world.jobs) == 1


def test_a_change_waits_while_suspended_and_needs_run_on_change() -> None:
    world = World(suspend=True, runOnChange=True)
    assert world.jobs == {}
    world.edit(suspend=False)
    world.operator.settle()
    assert len(world.jobs) == 1
    world.edit(runOnChange=False, template=changed(num_leaves=7))
    world.operator.settle()
    world.edit(runOnChange=True)
    world.operator.settle()
    assert len(world.jobs) == 1


def test_defaults_written_out_are_no_change() -> None:
    world = World(schedule=None, runOnChange=True)
    spec = {**TEMPLATE["spec"], "priority": "Normal", "cancel": False, "suspend": False}
    world.edit(template={"spec": spec})
    world.operator.settle()
    assert len(world.jobs) == 1


# ---- failures --------------------------------------------------------------------------------------------------------


def stopped() -> World:
    world = World(stopAfterFailures=2)
    for hour in ("09", "10"):
        world.go_to(f"{hour}:00:00")
        world.end_all("Failed")
    world.go_to("12:30:00")
    return world


def test_stop_after_failures() -> None:
    world = stopped()
    assert world.status["consecutiveFailures"] == 2
    assert (world.status["phase"], world.condition("Stalled")["reason"]) == ("Stalled", "TooManyFailures")
    assert "2 runs in a row failed" in world.condition()["message"]
    assert "nextScheduleTime" not in world.status
    assert world.unfinished() == []


def test_a_changed_template_starts_anew() -> None:
    world = stopped()
    world.edit(template=changed(num_leaves=7))
    world.operator.settle()
    assert (world.status["phase"], world.status["consecutiveFailures"]) == ("Active", 0)
    assert world.status["nextScheduleTime"] == "2026-11-21T13:00:00Z"
    assert world.unfinished() == []


def test_a_run_on_request_that_succeeds_starts_anew() -> None:
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


def test_a_success_or_a_cancelled_run_between() -> None:
    world = World(stopAfterFailures=2)
    for hour, phase in enumerate(["Failed", "Succeeded", "Failed", "Cancelled"], 9):
        world.go_to(f"{hour:02}:00:00")
        world.end_all(phase)
    assert world.status["consecutiveFailures"] == 1
    assert world.status["phase"] == "Active"


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "reason", "sentence"),
    [
        ({"schedule": "0 0 31 2 *"}, "UnparseableSchedule", "is never due"),
        ({"schedule": "61 * * * *"}, "UnparseableSchedule", "out of range: write 0 to 59"),
        ({"timeZone": "Europe/Pari"}, "UnknownTimeZone", "for example Europe/Paris"),
    ],
)
def test_a_line_that_cannot_be_carried_out(spec: dict[str, str], reason: str, sentence: str) -> None:
    world = World(**spec)
    assert (world.status["phase"], world.condition("Stalled")["reason"]) == ("Stalled", reason)
    assert sentence in world.condition()["message"]
    assert events_of(world.cluster) == [reason]
    before = len(world.cluster.writes)
    world.go_to("2026-11-25T00:00:00")
    assert world.cluster.writes[before:] == []
    world.edit(schedule="0 * * * *", timeZone="UTC")
    world.operator.settle()
    assert (world.status["phase"], world.jobs) == ("Active", {})
    assert world.status["nextScheduleTime"] == "2026-11-25T01:00:00Z"


def test_a_spec_that_the_schema_should_have_refused() -> None:
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
def test_a_run_that_the_api_server_refuses(error: Exception, reason: str, type_: str, phase: str) -> None:
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
        outcome = world.operator.turn()
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


def test_a_foreign_job_has_the_name() -> None:
    world = World()
    world.cluster.now = world.cluster.now.replace(hour=9, minute=0, second=0)
    name = f"{NAME}-{int(world.cluster.now.timestamp()) // 60}"
    world.cluster.submit(name, TEMPLATE["spec"])
    world.operator.settle()
    assert world.condition()["reason"] == "CreateRefused"
    assert f"TrainingJob {name} exists and is not of this TrainingSchedule" in world.condition()["message"]
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, name)
    world.operator.settle()
    assert world.times() == ["09:00"]


def test_a_copy_with_the_labels_of_a_run_is_nobodys_run() -> None:
    world = World(successfulJobsHistoryLimit=0, failedJobsHistoryLimit=0, concurrencyPolicy="Replace")
    world.go_to("09:00:00")
    run_of_9 = next(iter(world.jobs.values()))["metadata"]
    for name in ("my-copy", f"{NAME}-99999999"):  # the second one stands for a nominal time in the year 2160
        world.cluster.submit(name, TEMPLATE["spec"], labels=run_of_9["labels"], annotations=run_of_9["annotations"])
    world.go_to("10:00:00")
    world.end("my-copy")
    world.end_all()
    world.go_to("10:30:00")
    assert sorted(world.jobs) == ["my-copy", f"{NAME}-99999999"]
    assert world.status["lastScheduleTime"] == "2026-11-21T10:00:00Z"
    assert world.status["nextScheduleTime"] == "2026-11-21T11:00:00Z"


def test_nothing_is_written_at_the_fixed_point() -> None:
    world = World(runOnChange=True, concurrencyPolicy="Forbid", startingDeadlineSeconds=100)
    world.go_to("09:00:00")
    before = len(world.cluster.writes)
    world.operator.restart()
    world.operator.settle()
    world.go_to("09:00:50")
    assert world.cluster.writes[before:] == []
