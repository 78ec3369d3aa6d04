"""Where clusters live on this machine: one folder each, a record of what runs, and ports nobody else takes."""

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
    """Return what may be kept between checkouts and clusters: built programs, base images."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trainyard"


def clusters_folder() -> Path:
    """Return where clusters live; ``TRAINYARD_CLUSTERS`` moves it."""
    default = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "trainyard" / "clusters"
    return Path(os.environ.get("TRAINYARD_CLUSTERS") or default)


def folder_of(name: str) -> Path:
    """Return the folder of one cluster, whether it exists or not.

    Raises
    ------
    ClusterError
        When this cannot be a name: it also names a node, so the rules of Kubernetes hold.
    """
    if not _NAME.fullmatch(name):
        raise ClusterError(
            f"cluster name {name!r}: use at most 40 lower-case letters, digits and hyphens, at the ends no hyphen"
        )
    return clusters_folder() / name


def save(cluster: Cluster) -> None:
    """Record a cluster, all at once."""
    values = {**asdict(cluster), "folder": str(cluster.folder), "kubeconfig": str(cluster.kubeconfig)}
    partial = cluster.folder / f"{_RECORD}.partial"
    partial.write_text(json.dumps(values, indent=2))
    partial.rename(cluster.folder / _RECORD)


def load(name: str) -> Cluster | None:
    """Return a recorded cluster, running or not."""
    file = folder_of(name) / _RECORD
    if not file.exists():
        return None
    values = json.loads(file.read_text())
    cluster = Cluster(**values)
    return replace(cluster, folder=Path(values["folder"]), kubeconfig=Path(values["kubeconfig"]))


def mark_ready(name: str) -> None:
    """Record that the start of a cluster has come to its end."""
    (folder_of(name) / _READY).touch()


def is_ready(name: str) -> bool:
    """Tell whether a cluster was started to the end: one whose start was killed may look alive."""
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
    """Keep a second `up` or `down` of the same cluster waiting."""
    with only_one(clusters_folder() / f".{name}.lock"):
        yield


@contextmanager
def only_one(file: Path) -> Iterator[None]:
    """Let a second caller wait for the first, and leave no file. The kernel frees the lock of one that dies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with file.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists() or not os.path.samestat(os.fstat(lock.fileno()), file.stat()):
                continue  # the first has finished and removed the file that we waited for
            try:
                yield
            finally:
                file.unlink()
            return


def claimed_ports() -> set[int]:
    """Return the ports of every recorded cluster, running or not."""
    return {port for name in names() if (cluster := load(name)) for port in cluster.ports.values()}


def free_ports(*purposes: str) -> dict[str, int]:
    """Return a loopback port for each purpose, none of them in use or claimed by another cluster."""
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
