"""Where the node keeps what on disk: one folder per pod, one below it per volume and container."""

from dataclasses import dataclass
from pathlib import Path


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
        """Its TMPDIR, in a short path: sockets below it must fit into 107 bytes."""
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
    """Folders of the node."""

    root: Path

    @property
    def pods(self) -> Path:
        """Parent of all pod folders, each named by the pod's uid."""
        return self.root / "pods"

    def pod(self, uid: str) -> PodFolder:
        """Folders of one pod."""
        return PodFolder(self.pods / uid)

    def claim(self, name: str) -> Path:
        """Data of one persistent volume; it outlives pods."""
        return self.root / "claims" / name
