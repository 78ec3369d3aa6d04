"""The tables of docs/modeldeployment.md, as data for tests."""

import re
from typing import get_args

from trainyard_api.generate import checkout
from trainyard_api.modeldeployment import DeploymentPhase

PHASES: tuple[str, ...] = get_args(DeploymentPhase)
PAGE = (checkout() / "docs" / "modeldeployment.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, cell by cell."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [row.strip("|").split("|") for row in section.splitlines() if row.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def transitions() -> set[tuple[str, str]]:
    """Return the documented changes of phase."""
    changes = {
        (before, after)
        for befores, afters, _ in table("Phases")
        for before in (("(none)", *PHASES) if befores == "any" else befores.split(", "))
        for after in afters.split(", ")
    }
    unknown = {phase for change in changes for phase in change} - {"(none)", *PHASES}
    assert not unknown, unknown
    return changes


def verbs() -> set[str]:
    """Return the documented actions."""
    return {row[0].strip("`").split("/")[0] for row in table("Verbs")}


def reasons(condition: str) -> set[str]:
    """Return the documented reasons of a condition."""
    cell = next(row[2] for row in table("Conditions") if row[0] == condition)
    return set(re.findall(r"[A-Z][A-Za-z]+", cell))
