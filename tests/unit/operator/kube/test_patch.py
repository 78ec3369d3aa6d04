"""A status patch changes what this release knows, and nothing else."""

from typing import Any

import pytest

from tests.unit.operator.training import World
from trainyard_operator.kube.patch import own_conditions, status_patch
from trainyard_operator.kube.port import TRAINING_JOBS

APPROVED = {
    "type": "TeamApproved",
    "status": "True",
    "reason": "Bob",
    "lastTransitionTime": "2026-11-21T08:00:00Z",
}


def ready(status: str) -> dict[str, Any]:
    return {"type": "Ready", "status": status}


def test_what_is_known_is_removed_and_what_is_not_stays() -> None:
    stored = {"a": 1, "new": 2, "part": {"b": 3, "newer": 4}, "whole": {"c": 5}}
    read = {"a": 1, "part": {"b": 3}, "whole": {"c": 5}}
    assert status_patch(stored, read, {"part": {"d": 6}}) == {"a": None, "whole": None, "part": {"b": None, "d": 6}}
    assert status_patch(stored, read, read) == {}


def test_foreign_conditions_stay() -> None:
    stored = {"conditions": [APPROVED, ready("False")]}
    read = {"conditions": [ready("False")]}
    patch = status_patch(stored, read, {"conditions": [ready("True")]})
    assert patch == {"conditions": [ready("True"), APPROVED]}


def test_a_condition_of_another_shape_makes_no_status_unreadable() -> None:
    assert own_conditions({"phase": "Running", "conditions": [{"type": "Odd"}, ready("True"), {}]}) == {
        "phase": "Running",
        "conditions": [ready("True")],
    }


def test_a_type_of_ours_that_is_not_named_is_a_bug() -> None:
    with pytest.raises(ValueError, match="does not name"):
        status_patch({}, {}, {"conditions": [APPROVED]})


@pytest.mark.parametrize("ending", [0, 65])
def test_what_a_newer_release_and_others_stored_outlives_a_whole_run(ending: int) -> None:
    world = World()
    world.settle()
    world.cluster.start_pod("a-1")
    status = world.settle()
    newer = {"checkpoint": {"uri": "s3://x/7"}, "conditions": [*status["conditions"], APPROVED]}
    world.cluster.change(TRAINING_JOBS, "team", "a", status={**status, **newer})
    before = len(world.cluster.writes)
    world.settle()
    assert len(world.cluster.writes) == before, "they are no change of ours"
    after = world.end(1, ending, "bad")
    assert after["phase"] != "Running"
    assert after["checkpoint"] == {"uri": "s3://x/7"}
    assert [each["type"] for each in after["conditions"]][-1] == "TeamApproved"
