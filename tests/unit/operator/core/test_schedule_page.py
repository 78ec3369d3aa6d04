"""The tables of docs/trainingschedule.md, compared with what the planner does."""

import re
from collections.abc import Callable

from tests.unit.operator.schedules import NAME, TEMPLATE, World
from trainyard_api.generate import checkout
from trainyard_api.trainingschedule import TrainingScheduleSpec
from trainyard_operator.core.schedule.cron import parse
from trainyard_operator.kube.errors import ForbiddenError, InvalidError
from trainyard_operator.kube.port import EVENTS, TRAINING_JOBS, Resource

PAGE = (checkout() / "docs/trainingschedule.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table whose first line begins with ``heading``."""
    rows = PAGE.split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in rows]


def refuse(world: World, error: Exception) -> None:
    def hook(verb: str, resource: Resource, after: bool) -> None:
        if (verb, resource, after) == ("create", TRAINING_JOBS, False):
            raise error

    world.cluster.hook = hook
    world.go_to("09:00:00")


def with_waiting_run(*, suspend: bool) -> World:
    world = World(concurrencyPolicy="Forbid", startingDeadlineSeconds=60)
    world.go_to("09:00:00")
    world.edit(suspend=suspend)
    if suspend:
        world.annotate("x")
        world.operator.settle()
    else:
        world.go_to("10:00:00")
    return world


def given_up() -> World:
    world = with_waiting_run(suspend=False)
    world.go_to("10:02:00")
    return world


def deleted() -> World:
    world = World(concurrencyPolicy="Replace")
    world.go_to("09:00:00")
    world.go_to("10:00:00")
    return world


def failed() -> World:
    world = World(stopAfterFailures=1)
    world.go_to("09:00:00")
    world.end_all("Failed")
    return world


def succeeded() -> World:
    world = World(runOnChange=True, schedule=None)
    world.end_all("Succeeded")
    return world


def rejected() -> World:
    world = World()
    world.go_to("09:00:00")
    (name,) = world.jobs
    world.end_with_version(name, 1)
    world.judge(name, "Rejected")
    world.operator.settle()
    return world


def refused(error: Exception) -> World:
    world = World()
    refuse(world, error)
    return world


def invalid() -> World:
    world = World()
    world.edit(concurrencyPolicy="Never")
    world.operator.settle()
    return world


WORLDS: tuple[Callable[[], World], ...] = (
    World,
    succeeded,
    failed,
    deleted,
    given_up,
    rejected,
    invalid,
    lambda: World(suspend=True),
    lambda: with_waiting_run(suspend=True),
    lambda: with_waiting_run(suspend=False),
    lambda: World(schedule="0 0 31 2 *"),
    lambda: World(timeZone="Mars/Base"),
    lambda: refused(InvalidError(422, "Invalid", "no")),
    lambda: refused(ForbiddenError(403, "Forbidden", "no")),
)


def test_the_page_lists_phases_and_reasons() -> None:
    seen = set()
    for make in WORLDS:
        world = make()
        ready = world.condition()
        others = {each["type"] for each in world.status["conditions"]} - {"Ready", "ModelAccepted"}
        seen.add((world.status["phase"], ready["status"], ready["reason"], *others))
    rows = table("Phase")
    documented = {(*row[:3], *re.findall(r"`(Stalled|Reconciling)`$", row[3].rstrip("."))) for row in rows}
    assert seen == documented
    assert len(rows) == len(documented)


def test_the_page_lists_the_events() -> None:
    seen = set()
    for make in WORLDS:
        seen |= {(body["reason"], body["type"]) for body in make().cluster.of(EVENTS).values()}
    documented = {
        (reason, kind) for row in table("Event") for reason in row[0].split(", ") for kind in row[1].split(", ")
    }
    assert seen == documented


def test_the_page_lists_fields_and_defaults() -> None:
    rows = {row[0].strip("`"): row[1] for row in table("Field")}
    values = {"false": False, "3": 3, "1": 1, "Allow": "Allow"}
    spec = TrainingScheduleSpec.model_validate({"schedule": "@daily", "template": TEMPLATE})
    defaults = spec.model_dump(by_alias=True, exclude={"schedule", "template"})
    assert {field: values.get(rows.pop(field)) for field in defaults} == defaults
    assert rows.keys() == {"schedule", "template"}


def test_the_page_gives_the_names_of_runs() -> None:
    assert "TrainingJob `<schedule>-<minutes since 1970>`" in PAGE
    world = World()
    world.go_to("09:00:00")
    assert list(world.jobs) == [f"{NAME}-{int(world.cluster.now.timestamp()) // 60}"]


def test_the_page_lists_the_macros() -> None:
    (row,) = [row for row in table("Field") if row[0] == "`schedule`"]
    macros = re.findall(r"`(@\w+)`", row[2])
    assert len(macros) == 7
    assert all(parse(macro).times for macro in macros)
