"""What the kinds of cluster have in common: a spec, a handle, and what every backend can do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Kind = Literal["kind", "host", "process", "control-plane"]
KINDS: tuple[Kind, ...] = ("kind", "host", "process", "control-plane")

Progress = Callable[[str], None]
"""Takes one plain sentence about what is being done."""


class ClusterError(Exception):
    """Something that a person has to know or mend; the text is one or a few plain sentences."""


@dataclass(frozen=True)
class ClusterSpec:
    """What is wanted.

    Attributes
    ----------
    images
        Returns images that the node is to begin with. A host node does; the others are given them later.
    """

    name: str
    kind: Kind
    images: Callable[[], Sequence[Path]] = tuple


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs: how to reach it, and what must be known to take it away again.

    Attributes
    ----------
    folder
        Everything the cluster keeps on this machine.
    kubeconfig
        Of an administrator, with an address that is reachable from this machine.
    ports
        Loopback ports by the name of what listens there.
    facts
        What a backend has to remember for itself (interface names, subnets, ...).
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
        """Return why this kind cannot run here, in a sentence, or ``None``."""
        ...

    def up(self, spec: ClusterSpec, progress: Progress) -> Cluster:
        """Start it. What an earlier one of this name left behind is removed first. Raises :class:`ClusterError`."""
        ...

    def down(self, cluster: Cluster, progress: Progress) -> None:
        """Stop it and leave nothing behind: no process, mount, interface, rule or folder."""
        ...

    def load_image(self, cluster: Cluster, image: Path, progress: Progress) -> None:
        """Make an image known to the node: an archive, or a layout where that was built."""
        ...

    def service_address(self, cluster: Cluster, namespace: str, service: str, port: int) -> str:
        """Return ``host:port`` at which this machine reaches a Service."""
        ...
