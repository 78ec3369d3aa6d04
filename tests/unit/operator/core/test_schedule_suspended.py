"""A suspended TrainingSchedule promises no time, and still knows from when on it has to catch up."""

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.schedules import NAME, World
from trainyard_operator.kube.port import TRAINING_SCHEDULES


def test_no_next_time_while_suspended() -> None:
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


def test_what_came_meanwhile_is_caught_up_with_once() -> None:
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


def test_a_line_that_is_edited_while_suspended_fires_nothing_at_once() -> None:
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


def test_a_schedule_that_an_earlier_release_suspended_is_read_on() -> None:
    """It showed the next time all along."""
    world = World(suspend=True)
    status = {**world.status, "nextScheduleTime": world.status["heldScheduleTime"]}
    del status["heldScheduleTime"]
    world.cluster.change(TRAINING_SCHEDULES, NAMESPACE, NAME, status=status)
    world.go_to("11:30:00")
    assert "nextScheduleTime" not in world.status
    world.edit(suspend=False)
    world.operator.settle()
    assert world.times() == ["11:00"]
