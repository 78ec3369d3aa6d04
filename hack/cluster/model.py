"""What a cluster is, and the one interface behind which all kinds of it stand."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

Progress = Callable[[str], None]
"""Takes one plain sentence about what is being done and why."""


class ClusterError(Exception):
    """Something the user has to know or do; the text is one complete answer."""


class Kind(StrEnum):
    """The kinds of cluster, best first."""

    KIND = "kind"
    HOST = "host"
    PROCESS = "process"
    CONTROL_PLANE = "control-plane"


@dataclass(frozen=True)
class ClusterSpec:
    """What is asked for."""

    name: str
    scheduler: bool = True
    """Only a control plane without a node can do without one."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs."""

    name: str
    kind: Kind
    folder: Path
    """Everything it keeps on this machine: keys, logs, data."""
    kubeconfig: Path
    """Access as cluster administrator."""
    apiserver_url: str


@dataclass(frozen=True)
class ComponentStatus:
    """One line of ``status``."""

    name: str
    running: bool
    detail: str = ""


class Backend(Protocol):
    """One way to run a cluster."""

    kind: Kind

    def available(self) -> str | None:
        """Return ``None`` where it can run on this machine, else the sentence that says why not and what would help."""

    def up(self, spec: ClusterSpec, progress: Progress) -> Cluster:
        """Start the cluster and return when it is ready for use. Leftovers of an earlier one are removed first."""

    def down(self, name: str, progress: Progress) -> None:
        """Stop the cluster and remove everything of it; one that is half there, or not there, is no error."""

    def load_image(self, cluster: Cluster, archive: Path, ref: str) -> None:
        """Make the image of an OCI archive known to the nodes as ``ref``."""

    def service_url(self, cluster: Cluster, namespace: str, service: str, port: int) -> str:
        """Return ``host:port`` at which this machine reaches the service."""

    def status(self, cluster: Cluster) -> list[ComponentStatus]:
        """Look at every part."""
