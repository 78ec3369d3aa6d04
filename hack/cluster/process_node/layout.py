"""Where the node keeps what on disk: one folder per pod, one below it per volume and container."""

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class ContainerFolder:
    """Folders of one container; `log` counts its restarts."""

    root: Path

    @property
    def rootfs(self) -> Path:
        """What the container sees at its mount paths."""
        return self.root / "rootfs"

    @property
    def home(self) -> Path:
        """Its HOME."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """Its TMPDIR."""
        return self.root / "tmp"

    @property
    def kubeconfig(self) -> Path:
        """Access to the API server by the pod's own token."""
        return self.root / "kubeconfig"

    def log(self, restarts: int) -> Path:
        """Output of the process after so many restarts."""
        return self.root / f"{restarts}.log"

    def create(self) -> None:
        """Create the folders."""
        for folder in (self.rootfs, self.home, self.temporary):
            folder.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class PodFolder:
    """Folders of one pod."""

    root: Path

    def container(self, name: str) -> ContainerFolder:
        """Folders of one of its containers."""
        return ContainerFolder(self.root / name)

    def volume(self, name: str) -> Path:
        """Folder of one of its own volumes; the dot keeps clear of container names."""
        return self.root / ".volumes" / name


@dataclass(frozen=True)
class NodeFolder:
    """Folders of the node; `short` is a short path to its pods' folder, made by `shorten`."""

    root: Path
    short: Path | None = None

    @property
    def pods(self) -> Path:
        """Parent of all pod folders."""
        return self.root / "pods"

    def pod(self, uid: str) -> PodFolder:
        """Folders of one pod, by the short path where there is one."""
        return PodFolder((self.short or self.pods) / folder_name(uid))

    def claim(self, name: str) -> Path:
        """Data of one persistent volume; it outlives pods."""
        return self.root / "claims" / name

    @property
    def _record(self) -> Path:
        return self.root / "short-path"

    def shorten(self) -> Self:
        """Make a short path to the pods' folder, private to this user.

        A socket's path has 107 bytes at most, and programs put sockets below the TMPDIR that a pod gives them.
        """
        self.unshorten()
        self.pods.mkdir(parents=True, exist_ok=True)
        self.pods.chmod(0o700)  # Secrets and tokens lie there
        parent = Path(tempfile.mkdtemp(prefix="ty-"))
        self._record.write_text(str(parent))
        short = parent / "p"
        short.symlink_to(self.pods)
        return replace(self, short=short)

    def unshorten(self) -> None:
        """Remove the short path of this or an earlier run."""
        if self._record.exists():
            shutil.rmtree(self._record.read_text(), ignore_errors=True)
            self._record.unlink()


def folder_name(uid: str) -> str:
    """Return the name of a pod's folder: the last, random, twelve digits of its uid."""
    return uid.rpartition("-")[2]
