"""What docs/modeldeployment.md promises, read from its tables."""

import re
from typing import get_args

from trainyard_api.generate import checkout
from trainyard_api.modeldeployment import DeploymentPhase

PHASES: tuple[str, ...] = get_args(DeploymentPhase)
PAGE = (checkout() / "docs" / "modeldeployment.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, cell by cell."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def transitions() -> set[tuple[str, str]]:
    """Return the documented changes of phase."""
    ways = {
        (before, after)
        for befores, afters, _ in table("Phases")
        for before in (("(none)", *PHASES) if befores == "any" else befores.split(", "))
        for after in afters.split(", ")
    }
    unknown = {phase for way in ways for phase in way} - {"(none)", *PHASES}
    assert not unknown, unknown
    return ways


def verbs() -> set[str]:
    """Return the documented verbs."""
    return {row[0].strip("`").split("/")[0] for row in table("Verbs")}


def reasons(condition: str) -> set[str]:
    """Return the reasons of a condition, by the table."""
    cell = next(row[2] for row in table("Conditions") if row[0] == condition)
    return set(re.findall(r"[A-Z][A-Za-z]+", cell))
