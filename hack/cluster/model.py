"""What the kinds of cluster have in common: the running cluster, and the backend."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Kind = Literal["kind", "host", "process", "control-plane"]
KINDS: tuple[Kind, ...] = ("kind", "host", "process", "control-plane")

Progress = Callable[[str], None]
"""Receives one sentence about the current step."""

Images = Callable[[], Sequence[Path]]
"""Builds the images that a node has from the start."""


class ClusterError(Exception):
    """A problem that the user has to know or solve. The message says what to do."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster: how to reach it, and what `down` must know to remove it.

    Attributes
    ----------
    folder
        All files of the cluster.
    kubeconfig
        Of an administrator, with an address that this machine can reach.
    ports
        Loopback ports by the name of the program that listens there.
    facts
        Further data of the backend, such as the number of the network.
    """

    name: str
    kind: Kind
    folder: Path
    kubeconfig: Path
    server: str
    ports: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


class Backend(Protocol):
    """One kind of cluster."""

    kind: Kind

    def obstacle(self) -> str | None:
        """Return why this kind cannot run on this machine, or ``None``."""
        ...

    def up(self, name: str, images: Images, progress: Progress) -> Cluster:
        """Start a cluster and wait until it is ready. Raises :class:`ClusterError`.

        A host node has the ``images`` from the start. Other nodes get their images by :meth:`load_image`.
        """
        ...

    def down(self, cluster: Cluster, progress: Progress) -> None:
        """Stop a cluster and remove all its processes, mounts, interfaces, rules and folders."""
        ...

    def load_image(self, cluster: Cluster, image: Path, progress: Progress) -> None:
        """Load an image into the node: an archive or a layout."""
        ...

    def service_address(self, cluster: Cluster, namespace: str, service: str, port: int) -> str:
        """Return ``host:port`` at which this machine reaches a Service."""
        ...
