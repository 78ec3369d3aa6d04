"""The node's own world on this machine: a mount, a network and a process namespace, held by one process.

Everything of a cluster runs inside. So two clusters never share iptables chains, mounts or sockets, and however a
cluster ends, the kernel clears up after it: when the holder dies, it kills every process within, containers included,
and with the last of them mounts, interfaces and rules are gone.
"""

from collections.abc import Sequence
from pathlib import Path

from cluster.commands import run
from cluster.model import ClusterError
from cluster.processes import ProcessTable, wait_for

HOLDER = "namespace"
_MARK = "/run/trainyard-ready"
# Process 1 of a namespace inherits orphans; the shell's `wait` is what buries them.
_HOLDER_SCRIPT = f"""
mount --make-rshared / && mount -t tmpfs -o mode=755 tmpfs /run && ip link set lo up || exit 1
for folder in "$@"; do mount -t tmpfs -o mode=755 tmpfs "$folder" || exit 1; done
sleep infinity & touch {_MARK} && wait
"""
_UNSHARE = ("unshare", "--mount", "--net", "--pid", "--fork", "--propagation=private")
PROBE = (*_UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/run")
"""A command that succeeds where such namespaces can be made."""
# Where programs of the node insist on keeping things, whatever they are told.
_STUBBORN_FOLDERS = (Path("/var/lib/cni"), Path("/var/lib/kubelet"))


class Namespace:
    """The world of one cluster."""

    def __init__(self, table: ProcessTable) -> None:
        self._table = table

    def open(self) -> None:
        """Start the holder. Raises :class:`ClusterError`."""
        for folder in _STUBBORN_FOLDERS:
            folder.mkdir(parents=True, exist_ok=True)
        script = ("sh", "-c", _HOLDER_SCRIPT, "holder", *map(str, _STUBBORN_FOLDERS))
        self._table.start(HOLDER, (*_UNSHARE, "--kill-child", "--mount-proc", "--", *script))
        wait_for("the node's namespaces", self._is_ready, 60, lambda: self._table.tail(HOLDER))

    def pid(self) -> int:
        """Return the id, seen from outside, of the namespace's process 1. Raises :class:`ClusterError`."""
        if (pid := self._find()) is None:
            raise ClusterError("the node's namespaces are gone: its holder was killed; `up` starts it anew")
        return pid

    def prefix(self) -> tuple[str, ...]:
        """Return what goes before a command that is to run inside."""
        return ("nsenter", f"--target={self.pid()}", "--mount", "--net", "--pid", "--")

    def run(self, command: Sequence[str | Path], timeout: float = 60) -> str:
        """Run a command inside and return its output. Raises :class:`ClusterError` with its words."""
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
        self._table.insist()
        pid = self._find()
        return pid is not None and Path(f"/proc/{pid}/root{_MARK}").exists()


def remove_stubborn_folders() -> None:
    """Remove the mount points once nothing uses them; one that holds anything is somebody else's."""
    for folder in _STUBBORN_FOLDERS:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
