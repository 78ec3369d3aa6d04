"""Mount paths as folders.

A process without privilege cannot have a file system of its own. So each container has a folder `rootfs`; a volume
mounted at /a/b is reachable as rootfs/a/b (a symbolic link to the volume's folder), and every environment value or
argument that is such a path is rewritten to it. Programs that take all their paths from the environment run unchanged.
"""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.process_node.podspec import Mount


class MountError(Exception):
    """A mount that cannot be shown to the container."""


@dataclass(frozen=True)
class PathMap:
    """Rewrites paths that a container was told to paths on this machine."""

    rootfs: Path
    mount_paths: tuple[str, ...]
    termination_path: str

    def rewrite(self, value: str) -> str:
        """Put `rootfs` before a path at, below or above (but not "/") a mount, and before the termination file."""
        if not value.startswith("/"):
            return value
        path = posixpath.normpath(value)
        if path == self.termination_path or any(_related(path, mount) for mount in self.mount_paths):
            return f"{self.rootfs}{value}"
        return value

    def local(self, path: str) -> Path:
        """Where an absolute path of the container lies on this machine, mounted or not."""
        return self.rootfs / path.lstrip("/")


def _related(path: str, mount: str) -> bool:
    mount = posixpath.normpath(mount)
    return path != "/" and (path == mount or path.startswith(f"{mount}/") or mount.startswith(f"{path}/"))


def link_mounts(
    rootfs: Path, mounts: tuple[Mount, ...], volumes: Mapping[str, Path], sub_paths: Mapping[str, str]
) -> None:
    """Make `rootfs` show each mounted volume, outer mounts first; safe to repeat.

    Parameters
    ----------
    volumes
        Folder of each volume by its name.
    sub_paths
        Expanded subPath by mount path; left out where a mount has none.

    Raises
    ------
    MountError
        A mount covers the whole file system, or names a volume that does not exist.
    """
    for mount in sorted(mounts, key=lambda each: posixpath.normpath(each.path).count("/")):
        if posixpath.normpath(mount.path) == "/":
            raise MountError(f"volume {mount.volume!r} is mounted at '/', which a process node cannot replace")
        if mount.volume not in volumes:
            raise MountError(f"mount {mount.path!r} names volume {mount.volume!r}, which the pod does not have")
        target = volumes[mount.volume]
        if sub_path := sub_paths.get(mount.path):
            target = target / sub_path
            if not target.exists():
                target.mkdir(parents=True)
        link = rootfs / mount.path.strip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        link.symlink_to(target)
