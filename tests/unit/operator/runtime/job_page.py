"""The changes of phase in the table of docs/trainingjob.md, as data for tests."""

from itertools import product
from typing import Final

from trainyard_api.batch import TERMINAL_PHASES
from trainyard_api.generate import checkout

PAGE: Final = checkout() / "docs" / "trainingjob.md"
NONE: Final = "(none)"
LIVE: Final = (NONE, "Pending", "Queued", "Starting", "Running", "Retrying", "Suspended")
WORDS: Final[dict[str, tuple[str, ...]]] = {"any live": LIVE, "terminal": tuple(TERMINAL_PHASES)}


def transitions() -> set[tuple[str, str]]:
    """Return every documented change from one phase to another."""
    section = PAGE.read_text(encoding="utf-8").split("\n## Phases\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in row.split("|")[1:3]] for row in section.splitlines() if row.startswith("| ")]
    pairs = {pair for before, after in rows[1:] for pair in product(phases(before), phases(after))}
    return {(before, after) for before, after in pairs if before != after and before not in TERMINAL_PHASES}


def phases(cell: str) -> tuple[str, ...]:
    """Return the phases that a cell of the table stands for."""
    return tuple(phase for word in cell.split(", ") for phase in WORDS.get(word, (word,)))
