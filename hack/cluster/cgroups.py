"""A control group of its own for each cluster: two kubelets in one group would delete each other's pods."""

import time
from pathlib import Path

from cluster.model import ClusterError

_ROOT = Path("/sys/fs/cgroup")
_SECONDS = 10


def create(name: str) -> None:
    """Make the group in every hierarchy (one with cgroup v2, one per controller with v1)."""
    for hierarchy in hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)


def remove(name: str) -> None:
    """Remove the group with all below it, once its processes are gone. Raises :class:`ClusterError`."""
    deadline = time.monotonic() + _SECONDS
    while left := [group for hierarchy in hierarchies() for group in _below(hierarchy / name)]:
        for group in left:
            try:
                group.rmdir()
            except OSError as error:  # busy: the kernel has not buried the last process yet
                if time.monotonic() > deadline:
                    raise ClusterError(f"the control group {group} cannot be removed: {error}") from error
                time.sleep(0.05)
                break


def hierarchies() -> list[Path]:
    """Return the roots of all hierarchies, in each of which a cluster has its group."""
    if (_ROOT / "cgroup.procs").exists():
        return [_ROOT]
    return [folder for folder in _ROOT.iterdir() if not folder.is_symlink() and (folder / "cgroup.procs").exists()]


def _below(group: Path) -> list[Path]:
    """The group and all below it, the innermost first."""
    if not group.exists():
        return []
    inner = [folder for folder in group.iterdir() if folder.is_dir()]
    return [*(found for folder in inner for found in _below(folder)), group]
