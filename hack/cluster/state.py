"""The folders and records of the clusters on this machine, locks, and free ports."""

import fcntl
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from cluster.model import Cluster, ClusterError

_RECORD = "cluster.json"
_READY = "ready"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def cache_folder() -> Path:
    """Return the folder of everything that checkouts and clusters share: built programs, images."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trainyard"


def clusters_folder() -> Path:
    """Return the folder of all clusters. The variable ``TRAINYARD_CLUSTERS`` overrides it."""
    default = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "trainyard" / "clusters"
    return Path(os.environ.get("TRAINYARD_CLUSTERS") or default)


def folder_of(name: str) -> Path:
    """Return the folder of one cluster, which need not exist.

    Raises
    ------
    ClusterError
        If the name is invalid. It is also the name of a node, so the rules of Kubernetes apply.
    """
    if not _NAME.fullmatch(name):
        raise ClusterError(
            f"cluster name {name!r}: use at most 40 lower-case letters, digits and hyphens, and no hyphen at the ends"
        )
    return clusters_folder() / name


def save(cluster: Cluster) -> None:
    """Write the record of a cluster in one step."""
    values = {**asdict(cluster), "folder": str(cluster.folder), "kubeconfig": str(cluster.kubeconfig)}
    partial = cluster.folder / f"{_RECORD}.partial"
    partial.write_text(json.dumps(values, indent=2))
    partial.rename(cluster.folder / _RECORD)


def load(name: str) -> Cluster | None:
    """Return a recorded cluster, which may have stopped, or ``None``."""
    file = folder_of(name) / _RECORD
    if not file.exists():
        return None
    values = json.loads(file.read_text())
    cluster = Cluster(**values)
    return replace(cluster, folder=Path(values["folder"]), kubeconfig=Path(values["kubeconfig"]))


def mark_ready(name: str) -> None:
    """Record that a cluster has started completely."""
    (folder_of(name) / _READY).touch()


def is_ready(name: str) -> bool:
    """Return whether a cluster has started completely. If its start was killed, its processes may run nevertheless."""
    return (folder_of(name) / _READY).exists()


def names() -> list[str]:
    """Return the names of all recorded clusters."""
    return sorted(file.parent.name for file in clusters_folder().glob(f"*/{_RECORD}"))


def forget(name: str) -> None:
    """Delete a cluster's folder."""
    if folder_of(name).exists():
        shutil.rmtree(folder_of(name))


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Run one `up` or `down` of a cluster at a time."""
    with exclusive_lock(clusters_folder() / f".{name}.lock"):
        yield


@contextmanager
def exclusive_lock(file: Path) -> Iterator[None]:
    """Hold an exclusive lock, and remove its file at the end. The kernel releases the lock if the process dies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with file.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists() or not os.path.samestat(os.fstat(lock.fileno()), file.stat()):
                continue  # the previous holder has removed this file
            try:
                yield
            finally:
                file.unlink()
            return


def claimed_ports() -> set[int]:
    """Return the ports of all recorded clusters, which may have stopped."""
    return {port for name in names() if (cluster := load(name)) for port in cluster.ports.values()}


def free_ports(*purposes: str) -> dict[str, int]:
    """Return a free loopback port for each purpose, which no other cluster has."""
    claimed, found, held = claimed_ports(), {}, []
    try:
        for purpose in purposes:
            while purpose not in found:
                probe = socket.socket()
                held.append(probe)
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
                if port not in claimed:
                    found[purpose] = port
    finally:
        for probe in held:
            probe.close()
    return found
