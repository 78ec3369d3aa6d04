"""Mount paths as folders of this machine.

A process without privileges has no file system of its own. So each container has a folder `rootfs`. A volume that is
mounted at /a/b is the symbolic link rootfs/a/b. Each environment variable and each argument that is such a path is
rewritten to it. So programs must take all their paths from variables and arguments.
"""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.process_node.environment import ConfigError
from cluster.process_node.pods import Container


@dataclass(frozen=True)
class ContainerPaths:
    """The paths of one container, which are below ``rootfs`` on this machine."""

    rootfs: Path
    container: Container

    def rewrite(self, value: str) -> str:
        """Return a path of this machine, if ``value`` is a path at, below or above a mount, or the termination file."""
        if not value.startswith("/"):
            return value
        path = posixpath.normpath(value)
        mounts = (each.mount_path for each in self.container.volume_mounts)
        if path == self.container.termination_message_path or any(_related(path, mount) for mount in mounts):
            return f"{self.rootfs}{value}"
        return value

    def local(self, path: str) -> Path:
        """Return the path of this machine for any absolute path of the container."""
        return self.rootfs / path.lstrip("/")

    def link_mounts(self, volumes: Mapping[str, Path]) -> None:
        """Link each mount path to the folder of its volume, the outer mounts first. Raises ConfigError."""
        for mount in sorted(self.container.volume_mounts, key=lambda each: posixpath.normpath(each.mount_path)):
            if posixpath.normpath(mount.mount_path) == "/":
                raise ConfigError(f"volume {mount.name!r} is mounted at '/', which a process node does not support")
            target = volumes[mount.name] / mount.sub_path
            if not target.exists():
                target.mkdir(parents=True)
            link = self.local(mount.mount_path.rstrip("/"))
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(target)


def _related(path: str, mount: str) -> bool:
    mount = posixpath.normpath(mount)
    return path != "/" and (path == mount or path.startswith(f"{mount}/") or mount.startswith(f"{path}/"))
