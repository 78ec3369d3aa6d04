"""The control group of a cluster. Two kubelets in one group would delete each other's pods."""

import time
from pathlib import Path

from cluster.model import ClusterError

_ROOT = Path("/sys/fs/cgroup")
_SECONDS = 10


def create(name: str) -> None:
    """Create the group in each hierarchy (cgroup v2 has one, v1 has one for each controller)."""
    for hierarchy in hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)


def remove(name: str) -> None:
    """Remove the group and all groups in it, when their processes have ended. Raises :class:`ClusterError`."""
    deadline = time.monotonic() + _SECONDS
    while left := [group for hierarchy in hierarchies() for group in _below(hierarchy / name)]:
        for group in left:
            try:
                group.rmdir()
            except OSError as error:  # the kernel has not removed the last process yet
                if time.monotonic() > deadline:
                    raise ClusterError(f"the control group {group} cannot be removed: {error}") from error
                time.sleep(0.05)
                break


def hierarchies() -> list[Path]:
    """Return the roots of all hierarchies."""
    if (_ROOT / "cgroup.procs").exists():
        return [_ROOT]
    return [folder for folder in _ROOT.iterdir() if not folder.is_symlink() and (folder / "cgroup.procs").exists()]


def _below(group: Path) -> list[Path]:
    """Return the group and all groups in it, the innermost first."""
    if not group.exists():
        return []
    inner = [folder for folder in group.iterdir() if folder.is_dir()]
    return [*(found for folder in inner for found in _below(folder)), group]
