"""Distribute the tests over the workers of ``make test``: each file runs on one worker, the longest files first.

Most of the time is spent waiting for real clusters. Each worker has a control plane of its own. One worker also has the
node: an idle node costs half a core, so all files that need the node run there, one after the other. Without workers, a
plain ``pytest`` runs everything in one process, quick tests first.
"""

from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

hypothesis.settings.register_profile(
    "any machine", deadline=None
)  # examples take longer while other programs use the CPU
hypothesis.settings.load_profile("any machine")

ORDER = ("e2e", "integration", "unit")
ROOT = Path(__file__).parent
NODE = "tests/e2e"
OWN_CLUSTERS = frozenset(f"{NODE}/test_{name}.py" for name in ("docker", "host_cluster", "node_images", "process_node"))
"""Each of these files creates its own clusters."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the longest tests to the front, so that no worker runs them alone at the end."""
    if hasattr(config, "workerinput"):  # set in the workers of xdist
        items.sort(key=lambda item: ORDER.index(item.path.relative_to(ROOT).parts[0]))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Give whole files to workers, and all files that need the node to one worker."""
    return _OneNode(config, log)


class _OneNode(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return NODE if file.startswith(NODE) and file not in OWN_CLUSTERS else file
