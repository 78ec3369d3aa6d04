"""The tables of docs/modelversion.md, compared with what the planner does."""

import re
from typing import get_args

from tests.unit.operator.core.versions import (
    BELOW_2,
    deployment,
    failed_gate,
    judged,
    observed,
    rejected,
    spec,
    version,
    with_action,
)
from trainyard_api.generate import checkout
from trainyard_api.modelversion import GateReason, GateResult, ModelVersionSpec, ModelVersionStatus
from trainyard_operator.core.version.planner import plan
from trainyard_operator.core.version.state import VersionState

PAGE = (checkout() / "docs/modelversion.md").read_text(encoding="utf-8")

SITUATIONS: tuple[VersionState, ...] = (
    observed(version(2), version(1)),
    observed(version(1)),
    observed(version(1, fields=spec(1, "9", [BELOW_2]))),
    observed(version(1, fields={"version": 1})),
    observed(version(1, name="mine")),
    observed(judged(1), deployment(rejectedVersions=[rejected(1)])),
    observed(judged(1, "Quarantined"), deployment(candidateVersion=1)),
    observed(with_action(failed_gate(1), "validate/t1")),
)


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table whose first line begins with ``heading``."""
    table = PAGE[PAGE.index(heading) :].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table]


def test_the_page_lists_the_changes_of_phase() -> None:
    happened = set()
    for situation in SITUATIONS:
        status = plan(situation).status
        assert isinstance(status, ModelVersionStatus)
        ready = next(each for each in status.conditions or () if each.type == "Ready")
        happened.add((situation.version.status.phase, status.phase, ready.reason))
    assert {(before, after, reason) for before, after, _, reason in rows("| From | To |")} == happened


def test_the_page_lists_the_reasons_of_gates() -> None:
    documented = {reason: passed == "yes" for reason, passed, _ in rows("| Reason | Passed |")}
    assert documented == {reason: reason in ("Met", "NoChampion") for reason in get_args(GateReason)}


def test_the_page_lists_the_fields() -> None:
    cells = " ".join(row[0] for row in rows("| Field |"))
    documented = set(re.findall(r"`(?:spec|status)\.(\w+)", cells))
    fields = {*ModelVersionSpec.model_fields.values(), *ModelVersionStatus.model_fields.values()}
    assert documented == {field.alias for field in fields} - {"observedGeneration", "conditions"}
    assert set(re.findall(r"`(\w+)`", next(row[1] for row in rows("| Field |") if "gates[]" in row[0]))) <= {
        field.alias for field in GateResult.model_fields.values()
    }
