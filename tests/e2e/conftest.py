"""The clusters of the tests: the best kind that this machine can run, with images and chart, and a process node.

``TRAINYARD_E2E_CLUSTER`` names a cluster to use for the first one and to keep. This saves its start in development.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster import lifecycle, state
from cluster.model import Kind
from tests.e2e.stage import Stage

CLUSTER_ENV = "TRAINYARD_E2E_CLUSTER"
_PREFIX = "e2e-"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, and give it the time for a first start of a cluster."""
    for item in items:
        if "tests/e2e" in str(item.path):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="module")
def stage(node: Stage) -> Iterator[Stage]:
    """Yield the node without objects of trainyard, because files on one worker may use the same names."""
    yield node
    node.clear()


@pytest.fixture(scope="package")
def node(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Yield trainyard on a node that runs images. If it cannot start, the test fails. It is never skipped.

    It ends with the last test of this folder: an idle cluster takes a tenth of a core from later tests. Torch's image
    is as large as all others together. To load it at the start of the node costs least.
    """
    torch = any("torch" in item.path.name for item in request.session.items)
    if given := os.environ.get(CLUSTER_ENV):
        given_stage = Stage.set_up(given, None)
        yield given_stage
        given_stage.close()
        return
    with _stage("node", None, torch=torch) as running:
        yield running


@pytest.fixture(scope="module")
def process_stage() -> Iterator[Stage]:
    """Yield trainyard on a process node."""
    with _stage("process", "process") as running:
        yield running


@contextmanager
def _stage(part: str, kind: Kind | None, *, torch: bool = False) -> Iterator[Stage]:
    for name in state.names():
        if name.startswith(_PREFIX) and not Path("/proc", name.rpartition("-")[2]).exists():
            lifecycle.down(name, print)  # left by a test run that was killed
    name = f"{_PREFIX}{part}-{os.getpid()}"
    try:
        stage = Stage.set_up(name, kind, torch=torch)
        yield stage
        stage.close()
    finally:
        lifecycle.down(name, print)
