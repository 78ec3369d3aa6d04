"""A suspended TrainingSchedule shows no next time, and remembers since when runs are due."""

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.schedules import NAME, World
from trainyard_operator.kube.port import TRAINING_SCHEDULES


def test_a_suspended_schedule_has_no_next_time() -> None:
    world = World()
    world.edit(suspend=True)
    world.operator.settle()
    assert "nextScheduleTime" not in world.status
    assert world.status["heldScheduleTime"] == "2026-11-21T09:00:00Z"
    world.edit(suspend=False)
    world.operator.settle()
    assert world.status["nextScheduleTime"] == "2026-11-21T09:00:00Z"
    assert "heldScheduleTime" not in world.status
    assert world.jobs == {}


def test_runs_due_during_a_suspension_are_caught_up_with_once() -> None:
    world = World()
    world.edit(suspend=True)
    world.go_to("08:59:00")
    before = len(world.cluster.writes)
    world.go_to("2026-11-21T11:30:00")
    assert world.cluster.writes[before:] == [], "time alone changes nothing of a suspended schedule"
    assert world.status["heldScheduleTime"] == "2026-11-21T09:00:00Z"
    world.edit(suspend=False)
    world.operator.settle()
    assert (world.times(), world.status["missed"]) == (["11:00"], 2)
    assert world.status["nextScheduleTime"] == "2026-11-21T12:00:00Z"


def test_a_schedule_edited_while_suspended_starts_nothing_at_once() -> None:
    world = World()
    world.edit(suspend=True)
    world.go_to("11:20:00")
    world.edit(schedule="10 * * * *")
    world.operator.settle()
    assert world.status["heldScheduleTime"] == "2026-11-21T12:10:00Z"
    world.edit(suspend=False)
    world.operator.settle()
    assert world.jobs == {}
    assert world.status["nextScheduleTime"] == "2026-11-21T12:10:00Z"


def test_a_schedule_that_an_earlier_release_suspended_catches_up() -> None:
    """The earlier release kept nextScheduleTime while suspended."""
    world = World(suspend=True)
    status = {**world.status, "nextScheduleTime": world.status["heldScheduleTime"]}
    del status["heldScheduleTime"]
    world.cluster.change(TRAINING_SCHEDULES, NAMESPACE, NAME, status=status)
    world.go_to("11:30:00")
    assert "nextScheduleTime" not in world.status
    world.edit(suspend=False)
    world.operator.settle()
    assert world.times() == ["11:00"]
