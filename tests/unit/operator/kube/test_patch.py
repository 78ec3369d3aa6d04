"""A status patch changes only fields that this release knows."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.unit.operator.training import World
from trainyard_api.generate import checkout
from trainyard_api.kinds import KINDS
from trainyard_operator.kube.patch import IDENTITY, own_conditions, status_patch
from trainyard_operator.kube.port import TRAINING_JOBS

APPROVED = {
    "type": "TeamApproved",
    "status": "True",
    "reason": "Bob",
    "lastTransitionTime": "2026-11-21T08:00:00Z",
}


def ready(status: str) -> dict[str, Any]:
    return {"type": "Ready", "status": status}


def test_known_fields_are_removed_and_unknown_fields_stay() -> None:
    stored = {"a": 1, "new": 2, "part": {"b": 3, "newer": 4}, "whole": {"c": 5}}
    read = {"a": 1, "part": {"b": 3}, "whole": {"c": 5}}
    assert status_patch(stored, read, {"part": {"d": 6}}) == {"a": None, "whole": None, "part": {"b": None, "d": 6}}
    assert status_patch(stored, read, read) == {}


def test_foreign_conditions_stay() -> None:
    stored = {"conditions": [APPROVED, ready("False")]}
    read = {"conditions": [ready("False")]}
    patch = status_patch(stored, read, {"conditions": [ready("True")]})
    assert patch == {"conditions": [ready("True"), APPROVED]}


def test_unknown_fields_of_an_item_move_with_the_item() -> None:
    first, second = {"version": 1, "from": "t1", "outcome": "Active"}, {"version": 2, "from": "t2", "outcome": "Active"}
    stored = {"history": [{**first, "traffic": 90, "by": {"name": "a", "team": "x"}}]}
    read = {"history": [{**first, "by": {"name": "a"}}]}
    after = {**first, "outcome": "Replaced", "by": {"name": "b"}}
    patch = status_patch(stored, read, {"history": [second, after]})
    assert patch == {"history": [second, {**after, "traffic": 90, "by": {"name": "b", "team": "x"}}]}
    assert status_patch(stored, read, read) == {}
    assert status_patch(stored, read, {"history": [second]}) == {"history": [second]}, (
        "an item that is removed is removed completely"
    )
    fewer = {"history": [{"version": 1, "from": "t1"}]}
    kept = {"version": 1, "from": "t1", "traffic": 90}
    assert status_patch(stored, read, fewer) == {"history": [kept]}, "known fields are removed"


def test_ambiguous_items_keep_no_unknown_fields() -> None:
    gate = {"metric": "mae", "op": "<", "threshold": "1", "passed": True}
    stored = {"gates": [{**gate, "weight": 1}, {**gate, "weight": 2}]}
    read = {"gates": [gate, gate]}
    failed = {**gate, "passed": False}
    assert status_patch(stored, read, {"gates": [failed, gate]}) == {"gates": [failed, gate]}


def test_unknown_fields_of_a_condition_stay() -> None:
    stored = {"conditions": [{**ready("False"), "severity": "Info"}, APPROVED]}
    patch = status_patch(stored, {"conditions": [ready("False")]}, {"conditions": [ready("True")]})
    assert patch == {"conditions": [{**ready("True"), "severity": "Info"}, APPROVED]}


def lists_of_objects(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each list of objects below a schema: its field, and the schema of an item."""
    for field, value in (schema.get("properties") or {}).items():
        items = value.get("items") or {}
        if "properties" in items:
            yield field, items
        yield from lists_of_objects(value)
        yield from lists_of_objects(items)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)
def test_each_list_of_a_status_has_identifying_fields(kind: Any) -> None:
    definition = yaml.safe_load((checkout() / "crds" / f"{kind.plural}.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    found = list(lists_of_objects(schema))
    assert found
    for field, item in found:
        assert set(IDENTITY[field]) <= set(item["properties"]), field


def test_a_condition_of_another_form_is_ignored() -> None:
    assert own_conditions({"phase": "Running", "conditions": [{"type": "Odd"}, ready("True"), {}]}) == {
        "phase": "Running",
        "conditions": [ready("True")],
    }


def test_an_unlisted_condition_type_is_a_bug() -> None:
    with pytest.raises(ValueError, match="does not name"):
        status_patch({}, {}, {"conditions": [APPROVED]})


@pytest.mark.parametrize("exit_code", [0, 65])
def test_unknown_fields_and_conditions_survive_a_whole_run(exit_code: int) -> None:
    world = World()
    world.settle()
    world.cluster.start_pod("a-1")
    status = world.settle()
    attempts = [{**attempt, "checkpoint": "s3://x/7"} for attempt in status["attempts"]]
    conditions = [*status["conditions"], APPROVED]
    newer = {"checkpoint": {"uri": "s3://x/7"}, "conditions": conditions, "attempts": attempts}
    world.cluster.change(TRAINING_JOBS, "team", "a", status={**status, **newer})
    before = len(world.cluster.writes)
    world.settle()
    assert len(world.cluster.writes) == before, "unknown fields cause no write"
    after = world.end(1, exit_code, "bad")
    assert after["phase"] != "Running"
    assert after["checkpoint"] == {"uri": "s3://x/7"}
    assert [each["type"] for each in after["conditions"]][-1] == "TeamApproved"
    assert [(each["exitCode"], each["checkpoint"]) for each in after["attempts"]] == [(exit_code, "s3://x/7")]
