"""The namespaces of a host node: a mount, a network and a process namespace, which one process holds.

All programs of a cluster run there. So two clusters never share iptables chains, mounts or sockets. When the holder
ends, the kernel kills all processes in the namespaces, containers included, and removes mounts, interfaces and rules.
"""

from collections.abc import Sequence
from pathlib import Path

from cluster.commands import run
from cluster.model import ClusterError
from cluster.processes import ProcessTable, wait_for

HOLDER = "namespace"
_MARK = "/run/trainyard-ready"
# Process 1 of a namespace is the parent of orphans. `wait` reaps them.
_HOLDER_SCRIPT = f"""
mount --make-rshared / && mount -t tmpfs -o mode=755 tmpfs /run && ip link set lo up || exit 1
for folder in "$@"; do mount -t tmpfs -o mode=755 tmpfs "$folder" || exit 1; done
sleep infinity & touch {_MARK} && wait
"""
_UNSHARE = ("unshare", "--mount", "--net", "--pid", "--fork", "--propagation=private")
PROBE = (*_UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/run")
"""A command that succeeds if such namespaces can be created."""
# Programs of the node use these folders, whatever their settings are.
_FIXED_FOLDERS = (Path("/var/lib/cni"), Path("/var/lib/kubelet"))


class Namespace:
    """The namespaces of one cluster."""

    def __init__(self, table: ProcessTable) -> None:
        self._table = table

    def open(self) -> None:
        """Start the holder. Raises :class:`ClusterError`."""
        for folder in _FIXED_FOLDERS:
            folder.mkdir(parents=True, exist_ok=True)
        script = ("sh", "-c", _HOLDER_SCRIPT, "holder", *map(str, _FIXED_FOLDERS))
        self._table.start(HOLDER, (*_UNSHARE, "--kill-child", "--mount-proc", "--", *script))
        wait_for("the node's namespaces", self._is_ready, 60, lambda: self._table.tail(HOLDER))

    def pid(self) -> int:
        """Return the id of the namespace's process 1, as seen from outside. Raises :class:`ClusterError`."""
        if (pid := self._find()) is None:
            raise ClusterError(
                "the node's namespaces do not exist any more: their holder was killed; `up` starts the cluster again"
            )
        return pid

    def prefix(self) -> tuple[str, ...]:
        """Return the words before a command that runs in the namespaces."""
        return ("nsenter", f"--target={self.pid()}", "--mount", "--net", "--pid", "--")

    def run(self, command: Sequence[str | Path], timeout: float = 60) -> str:
        """Run a command in the namespaces and return its output. Raises :class:`ClusterError`."""
        return run((*self.prefix(), *command), timeout=timeout)

    def _find(self) -> int | None:
        holder = self._table.find(HOLDER)
        if holder is None or not holder.alive():
            return None
        try:
            children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return int(children[0]) if children else None

    def _is_ready(self) -> bool:
        self._table.check_running()
        pid = self._find()
        return pid is not None and Path(f"/proc/{pid}/root{_MARK}").exists()


def remove_fixed_folders() -> None:
    """Remove the empty mount points. A folder with content belongs to other programs."""
    for folder in _FIXED_FOLDERS:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
