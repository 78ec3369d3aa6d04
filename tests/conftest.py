"""How tests share a machine: ``make test`` runs workers side by side, a file on one of them, the longest files first.

Most of the time is spent waiting for real clusters; each worker has its own. A plain ``pytest`` runs everything in one
process, quick tests first.
"""

from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "any machine", deadline=None
)  # with other work beside it, each example takes longer
hypothesis.settings.load_profile("any machine")

ORDER = ("e2e", "integration", "unit")
ROOT = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the longest begin first, so that no worker is left with them at the end."""
    if hasattr(config, "workerinput"):  # set in the workers of xdist
        items.sort(key=lambda item: ORDER.index(item.path.relative_to(ROOT).parts[0]))
