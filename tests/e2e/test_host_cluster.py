"""The host node itself: it comes back after a hard kill of everything, and leaves nothing on the machine."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import lifecycle
from cluster.commands import run
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


def test_up_after_a_hard_kill_and_down_without_a_trace(name: str) -> None:
    before = _traces()
    cluster = lifecycle.up(name, "host", print)
    processes = ProcessTable(cluster.folder).all()
    assert len(processes) >= 7, "control plane, containerd, kubelet and kube-proxy"
    for process in processes:
        if process.alive():  # killing the holder of the namespaces takes others with it
            os.kill(process.pid, signal.SIGKILL)
    wait_for("all processes to end", lambda: not any(process.alive() for process in processes), 20)

    again = lifecycle.up(name, "host", print)
    assert _node_is_ready(again)
    lifecycle.down(name, print)
    assert _traces() == before
    assert not again.folder.exists()


def _node_is_ready(cluster: Cluster) -> bool:
    path = '-o=jsonpath={.items[0].status.conditions[?(@.type=="Ready")].status}'
    return kubectl(cluster, "get", "nodes", path) == "True"


def _traces() -> dict[str, frozenset[str]]:
    """Return what a node could leave behind: mounts, interfaces, iptables rules and control groups of ours."""
    groups = (str(path) for path in Path("/sys/fs/cgroup").glob("**/trainyard*"))
    return {
        "mounts": frozenset(line for line in Path("/proc/mounts").read_text().splitlines() if "trainyard" in line),
        "interfaces": frozenset(path.name for path in Path("/sys/class/net").iterdir()),
        "rules": frozenset(run(("iptables-save",)).splitlines()) - _volatile(run(("iptables-save",))),
        "groups": frozenset(groups),
    }


def _volatile(rules: str) -> frozenset[str]:
    """Return the lines that count packets or tell the time."""
    return frozenset(line for line in rules.splitlines() if line.startswith(("#", ":")))
