"""When a TrainingSchedule starts a run, as docs/trainingschedule.md describes it."""

from typing import Any

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import events_of
from tests.unit.operator.schedules import NAME, TEMPLATE, World, changed
from trainyard_api import meta
from trainyard_operator.kube.port import TRAINING_SCHEDULES

# ---- the clock -------------------------------------------------------------------------------------------------------


def test_the_first_reconcile_sets_the_next_time_and_starts_nothing() -> None:
    world = World()
    assert world.jobs == {}
    assert world.status["nextScheduleTime"] == "2026-11-21T09:00:00Z"
    assert (world.status["phase"], world.status["activeCount"], world.status["missed"]) == ("Active", 0, 0)
    assert (world.condition()["status"], world.condition()["reason"]) == ("True", "Scheduled")
    assert world.operator.reconcile().after == 300.0  # type: ignore[union-attr]


def test_a_run_starts_at_its_time() -> None:
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


def test_the_name_of_a_run_has_its_nominal_minute() -> None:
    world = World(schedule="30 2 * * *", timeZone="Europe/Paris")
    world.go_to("2026-11-22T01:30:10")  # 02:30 in Paris
    minute = int(world.cluster.now.timestamp()) // 60
    assert list(world.jobs) == [f"{NAME}-{minute}"]


def test_after_downtime_one_run_starts_and_the_others_are_counted() -> None:
    world = World()
    world.go_to("2026-11-22T07:40:00")
    assert world.times() == ["07:00"]
    assert world.status["missed"] == 22
    world.go_to("2026-11-22T07:59:59")
    assert world.times() == ["07:00"]
    world.go_to("2026-11-22T08:00:00")
    assert world.times() == ["07:00", "08:00"]


def test_a_schedule_created_during_downtime_catches_up() -> None:
    world = World(now="2026-11-21T08:00:30", suspend=True)
    world.cluster.remove(TRAINING_SCHEDULES, NAMESPACE, NAME)
    world.submit({"schedule": "0 * * * *", "template": TEMPLATE})
    world.go_to("11:10:00")
    assert world.times() == ["11:00"]


@pytest.mark.parametrize(("back_at", "runs", "missed"), [("09:00:20", 1, 0), ("09:00:21", 0, 1), ("10:30:00", 0, 2)])
def test_runs_after_the_starting_deadline_are_missed(back_at: str, runs: int, missed: int) -> None:
    world = World(startingDeadlineSeconds=20)
    world.go_to(back_at)
    assert (len(world.jobs), world.status["missed"]) == (runs, missed)
    assert ("MissSchedule" in events_of(world.cluster)) == (missed > 0)
    following = "2026-11-21T11:00:00Z" if back_at > "10" else "2026-11-21T10:00:00Z"
    assert world.status["nextScheduleTime"] == following


def test_missed_runs_are_counted_up_to_a_limit() -> None:
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
def test_an_edited_schedule_or_time_zone_starts_nothing_at_once(edit: dict[str, str]) -> None:
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


def test_a_schedule_edited_during_downtime_starts_nothing_at_once() -> None:
    world = World(schedule="0 9 * * *")
    world.edit(schedule="0 10 * * *")
    world.go_to("10:30:00")
    assert world.jobs == {}
    assert world.status["nextScheduleTime"] == "2026-11-22T10:00:00Z"


def test_a_schedule_added_later_starts_from_then() -> None:
    world = World(schedule=None, runOnChange=True)
    world.end_all()
    world.go_to("11:30:00")
    world.edit(schedule="0 * * * *")
    world.operator.settle()
    assert world.times() == [""]
    assert world.status["nextScheduleTime"] == "2026-11-21T12:00:00Z"


def test_a_clock_that_is_set_back_starts_nothing_twice() -> None:
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


def test_after_a_suspension_one_run_is_started() -> None:
    world = World(suspend=True)
    world.go_to("11:30:00")
    assert world.jobs == {}
    assert (world.status["phase"], world.condition()["reason"]) == ("Suspended", "Suspended")
    assert world.condition()["status"] == "True"
    world.edit(suspend=False)
    world.operator.settle()
    assert world.times() == ["11:00"]
    assert world.status["phase"] == "Active"


def test_the_starting_deadline_holds_for_suspended_runs() -> None:
    world = World(suspend=True, startingDeadlineSeconds=60)
    world.go_to("11:30:00")
    world.edit(suspend=False)
    world.operator.settle()
    assert world.jobs == {}
    assert (world.status["missed"], world.status["nextScheduleTime"]) == (3, "2026-11-21T12:00:00Z")


def test_a_started_run_continues_while_suspended() -> None:
    world = World()
    world.go_to("09:00:00")
    world.edit(suspend=True)
    world.go_to("10:00:00")
    assert len(world.unfinished()) == len(world.jobs) == 1


# ---- on request ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [{}, {"suspend": True}, {"schedule": "0 0 30 2 *"}, {"timeZone": "Mars/Base"}])
def test_run_now_starts_one_run_for_each_token(spec: dict[str, Any]) -> None:
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


def test_run_now_works_without_a_schedule() -> None:
    world = World(schedule=None, runOnChange=True, concurrencyPolicy="Forbid")
    world.annotate("again")
    world.operator.settle()
    assert "requested by trainyard.dev/run-now=again waits until" in world.condition()["message"]
    world.end_all()
    assert len(world.jobs) == 2
    assert world.status["lastHandledRunNow"] == "again"


def test_a_token_of_any_length_starts_one_run() -> None:
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


def test_run_on_change_starts_a_run_at_creation_and_at_each_change() -> None:
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


def test_explicit_defaults_are_not_a_change() -> None:
    world = World(schedule=None, runOnChange=True)
    spec = {**TEMPLATE["spec"], "priority": "Normal", "cancel": False, "suspend": False}
    world.edit(template={"spec": spec})
    world.operator.settle()
    assert len(world.jobs) == 1
