"""The host node: it starts again after all its processes were killed, and leaves nothing on the machine."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import lifecycle
from cluster.cgroups import hierarchies
from cluster.commands import run
from cluster.host_network import Network
from cluster.host_node import HostBackend
from cluster.kubectl import kubectl
from cluster.model import Cluster
from cluster.processes import ProcessTable, wait_for


@pytest.fixture
def name() -> Iterator[str]:
    if why := HostBackend().obstacle():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the host node cannot run here: {why}")
        pytest.skip(f"the host node cannot run here: {why}")
    chosen = f"e2e-killed-{os.getpid()}"
    yield chosen
    lifecycle.down(chosen, print)


def test_up_works_after_a_kill_and_down_leaves_nothing(name: str) -> None:
    cluster = lifecycle.up(name, "host", print)
    processes = ProcessTable(cluster.folder).all()
    assert len(processes) >= 7, "control plane, containerd, kubelet and kube-proxy"
    for process in processes:
        if process.alive():  # killing the process that holds the namespaces ends others with it
            os.kill(process.pid, signal.SIGKILL)
    wait_for("all processes to end", lambda: not any(process.alive() for process in processes), 60)

    again = lifecycle.up(name, "host", print)
    assert _node_is_ready(again)
    before = _traces(cluster), _traces(again)
    assert all(before[-1][part] for part in ("interfaces", "rules", "groups")), before
    lifecycle.down(name, print)
    for gone in (cluster, again):
        assert not any(_traces(gone).values()), _traces(gone)
    assert not again.folder.exists()


def _node_is_ready(cluster: Cluster) -> bool:
    path = '-o=jsonpath={.items[0].status.conditions[?(@.type=="Ready")].status}'
    return kubectl(cluster, "get", "nodes", path) == "True"


def _traces(cluster: Cluster) -> dict[str, list[str]]:
    """Return what a node could leave behind, by its own names: other clusters start and stop in the meantime."""
    network = Network(int(cluster.facts["network"]))
    rules = run(("iptables-save",)).splitlines()
    return {
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if str(cluster.folder) in line],
        "interfaces": [path.name for path in Path("/sys/class/net").iterdir() if network.interface in path.name],
        "rules": [rule for rule in rules if network.interface in rule or network.range in rule],
        "groups": [str(root / network.interface) for root in hierarchies() if (root / network.interface).exists()],
    }
