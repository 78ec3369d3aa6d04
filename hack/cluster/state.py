"""What is remembered about clusters: one folder for each, locks, and what several clusters must not share."""

import fcntl
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cluster.model import Cluster, ClusterError, Kind

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?")


@dataclass(frozen=True)
class ProcessRecord:
    """A process we started. The start time tells it from a later one that was given the same id."""

    name: str
    pid: int
    started: int
    """Clock ticks after boot, field 22 of /proc/PID/stat."""


@dataclass(frozen=True)
class ClusterState:
    """cluster.json: enough to use a cluster, to find it broken, and to remove it."""

    name: str
    kind: Kind
    apiserver_url: str = ""
    ready: bool = False
    """False while it is being started; such a cluster is removed, not used."""
    boot_id: str = ""
    """After a restart of the machine no process of ours runs, whatever the ids say."""
    processes: tuple[ProcessRecord, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    """Choices of the backend, for example its networks."""


def state_root() -> Path:
    """Return the folder that holds one folder per cluster."""
    if given := os.environ.get("TRAINYARD_CLUSTERS"):
        return Path(given).absolute()
    return _home("XDG_STATE_HOME", ".local/state") / "trainyard" / "clusters"


def cache_folder() -> Path:
    """Return the folder for what is dear to make and good for every cluster and checkout."""
    return _home("XDG_CACHE_HOME", ".cache") / "trainyard"


def cluster_folder(name: str) -> Path:
    """Return the folder of a cluster, existing or not.

    Raises
    ------
    ClusterError
        When this cannot be the name of a cluster.
    """
    if not _NAME.fullmatch(name):
        raise ClusterError(
            f"cluster name {name!r}: use 1 to 30 lower-case letters, digits and hyphens, a letter first, no hyphen last"
        )
    return state_root() / name


def kubeconfig_path(name: str) -> Path:
    """Return where the administrator's kubeconfig lies."""
    return cluster_folder(name) / "kubeconfig"


def read_state(name: str) -> ClusterState | None:
    """Return what is remembered of a cluster, or ``None`` if there is none."""
    file = cluster_folder(name) / "cluster.json"
    try:
        raw = json.loads(file.read_text())
        raw["processes"] = tuple(ProcessRecord(**record) for record in raw["processes"])
        return ClusterState(**{**raw, "kind": Kind(raw["kind"])})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"{file} cannot be read ({error}): end what it names, then delete {file.parent}") from error


def write_state(state: ClusterState) -> None:
    """Remember; a reader sees the old or the new file, never half of one."""
    file = cluster_folder(state.name) / "cluster.json"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(state), indent=2) + "\n")
    partial.rename(file)


def remove_folder(name: str) -> None:
    """Forget a cluster that has been taken down."""
    if (folder := cluster_folder(name)).exists():
        shutil.rmtree(folder)


def known_clusters() -> list[ClusterState]:
    """Return all remembered clusters in the order of their names."""
    names = sorted(file.parent.name for file in state_root().glob("*/cluster.json"))
    return [state for name in names if (state := read_state(name))]


def handle(state: ClusterState) -> Cluster:
    """Return the handle of a remembered cluster."""
    folder = cluster_folder(state.name)
    return Cluster(state.name, state.kind, folder, folder / "kubeconfig", state.apiserver_url)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Let only one caller at a time change a cluster, or with ``"*"`` choose what clusters must not share."""
    state_root().mkdir(parents=True, exist_ok=True)
    with (state_root() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Return ports that are free now and outside the range from which the kernel gives ports to connections.

    Within that range any outgoing connection of this machine could take a port before its server is up.
    """
    start = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    highest = start - 1 if start > 12000 else 65535
    found: list[int] = []
    candidate = highest - (os.getpid() * 37) % 4000
    for port in range(candidate, 10000, -1):
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise ClusterError(f"no {count} free ports below {highest} on {address}: stop what holds them")


def boot_id() -> str:
    """Return what changes with every boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _home(variable: str, fallback: str) -> Path:
    given = os.environ.get(variable)
    return Path(given) if given else Path.home() / fallback
