"""How tests share a machine: one worker per file, and e2e in lanes, each with clusters of its own.

Most of the time is spent waiting for real clusters, so ``make test`` runs some workers side by side. A plain ``pytest``
runs everything in one process, quick tests first.
"""

import pytest

LANES = {
    "test_container": "e2e-1",
    "test_host_cluster": "e2e-1",
    "test_operator_faults": "e2e-1",
    "test_process_node": "e2e-1",
    "test_bad_input": "e2e-1",
    "test_training": "e2e-1",
    "test_gates": "e2e-2",
    "test_job_life": "e2e-2",
    "test_queue": "e2e-2",
    "test_schedule": "e2e-2",
    "test_serving": "e2e-2",
}
"""About as long as each other. Each lane starts its own node: tests of two lanes never meet."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Say which tests belong to one worker; with several, the longest begin first."""
    for item in items:
        if "tests/e2e" in str(item.path):
            lane = LANES.get(item.path.stem)
            if lane is None:
                raise pytest.UsageError(f"{item.path.name} has no lane: add it to LANES in tests/conftest.py")
        else:
            lane = str(item.path)
        item.add_marker(pytest.mark.xdist_group(lane))
    if hasattr(config, "workerinput"):  # set in the workers of xdist
        items.sort(key=lambda item: 0 if "tests/e2e" in str(item.path) else 1 if "integration" in str(item.path) else 2)
