"""Names, records, ports, locks and processes of clusters."""

import os
import signal
import threading
from pathlib import Path

import pytest

from cluster import lifecycle, state
from cluster.model import Cluster, ClusterError
from cluster.processes import ProcessTable, eventually, wait_for


@pytest.fixture
def clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAINYARD_CLUSTERS", str(tmp_path))
    return tmp_path


def _record(name: str, **ports: int) -> Cluster:
    folder = state.folder_of(name)
    folder.mkdir()
    cluster = Cluster(name, "host", folder, folder / "kubeconfig", "https://10.130.0.2:6443", ports, {"network": "130"})
    state.save(cluster)
    return cluster


def test_record_survives(clusters: Path):
    cluster = _record("one", api=6443)
    assert state.load("one") == cluster
    assert state.names() == ["one"]
    state.forget("one")
    assert state.load("one") is None


@pytest.mark.parametrize("name", ["", "Upper", "a b", "-a", "a-", "a/b", "..", "a" * 41])
def test_name_that_kubernetes_would_refuse(clusters: Path, name: str):
    with pytest.raises(ClusterError, match="lower-case letters"):
        state.folder_of(name)


def test_ports_of_stopped_clusters_stay_reserved(clusters: Path):
    first = state.free_ports("a", "b")
    assert len(set(first.values())) == 2
    _record("one", **first)
    assert not set(first.values()) & set(state.free_ports("c", "d").values())


def test_second_caller_waits_and_no_lock_is_left(clusters: Path):
    entered, order = threading.Event(), []

    def second() -> None:
        entered.set()
        with state.locked("one"):
            order.append("second")

    thread = threading.Thread(target=second)
    with state.locked("one"):
        thread.start()
        assert entered.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert list(clusters.iterdir()) == []


def test_process_ends_on_request(tmp_path: Path):
    table = ProcessTable(tmp_path)
    process = table.start("sleeper", ("sh", "-c", "echo started; exec sleep 60"))
    wait_for("its output", lambda: "started" in table.tail("sleeper"), 10)
    assert ProcessTable(tmp_path).find("sleeper") == process
    assert process.alive()
    table.stop("sleeper")
    assert not process.alive()
    assert table.all() == []


def test_process_that_was_killed_is_noticed(tmp_path: Path):
    table = ProcessTable(tmp_path)
    process = table.start("sleeper", ("sh", "-c", "echo last words; exec sleep 60"))
    wait_for("its output", lambda: "last words" in table.tail("sleeper"), 10)
    os.kill(process.pid, signal.SIGKILL)
    assert eventually(lambda: not process.alive(), 10)
    with pytest.raises(ClusterError, match=r"sleeper (.*\n)+last words"):
        table.check_running()


def test_another_process_with_the_same_id_is_left_alone(tmp_path: Path):
    table = ProcessTable(tmp_path)
    (tmp_path / "processes").mkdir()
    (tmp_path / "processes" / "old.json").write_text(f'{{"pid": {os.getpid()}, "started": "1"}}')
    table.stop("old")
    table.kill_all()
    assert table.all() == []


def test_cluster_whose_start_was_killed_does_not_count_as_running(clusters: Path):
    cluster = _record("one")
    table = ProcessTable(cluster.folder)
    table.start("etcd", ("sleep", "60"))
    assert not lifecycle.is_running(cluster)
    state.mark_ready("one")
    assert lifecycle.is_running(cluster)
    table.kill_all()
    assert not lifecycle.is_running(cluster)
