"""How tests share a machine: ``make test`` runs workers side by side, a file on one of them, the longest files first.

Most of the time is spent waiting for real clusters. Each worker has a control plane of its own, and one of them has the
node: an idle node costs half a core, so all files that need it follow each other there. A plain ``pytest`` runs
everything in one process, quick tests first.
"""

from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

hypothesis.settings.register_profile(
    "any machine", deadline=None
)  # with other work beside it, each example takes longer
hypothesis.settings.load_profile("any machine")

ORDER = ("e2e", "integration", "unit")
ROOT = Path(__file__).parent
NODE = "tests/e2e"
OWN_CLUSTERS = frozenset(f"{NODE}/test_{name}.py" for name in ("docker", "host_cluster", "node_images", "process_node"))
"""Of these files each makes what it needs."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the longest begin first, so that no worker is left with them at the end."""
    if hasattr(config, "workerinput"):  # set in the workers of xdist
        items.sort(key=lambda item: ORDER.index(item.path.relative_to(ROOT).parts[0]))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Give workers whole files, and one worker all files that need the node."""
    return _OneNode(config, log)


class _OneNode(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return NODE if file.startswith(NODE) and file not in OWN_CLUSTERS else file
