"""The Kubernetes releases that trainyard supports, and the API server that the tests use for each of them."""

from dataclasses import dataclass

from cluster import toolchain
from cluster.control_plane import ControlPlaneOptions
from cluster.model import ClusterError


@dataclass(frozen=True)
class Release:
    """A minor version of Kubernetes.

    Attributes
    ----------
    minor
        For example 1.31.
    server
        Version of the API server and the controllers. A newer server with ``--emulated-version`` has the APIs,
        defaults and feature gates of the release, but its own code.
    """

    minor: str
    server: str

    @property
    def emulated(self) -> bool:
        """Whether the server is of another release."""
        return not self.server.startswith(f"v{self.minor}.")

    @property
    def seen(self) -> str:
        """The server that was tested, as in the table of supported releases."""
        flag = f" with `--emulated-version={self.minor}`" if self.emulated else ""
        return f"kube-apiserver {self.server.removeprefix('v')}{flag}"

    def options(self) -> ControlPlaneOptions:
        """Return the options of a control plane of this release."""
        flags = (f"--emulated-version={self.minor}",) if self.emulated else ()
        return ControlPlaneOptions(
            server=toolchain.OLDER_SERVERS.get(self.server),
            flags={"kube-apiserver": flags, "kube-controller-manager": flags},
        )


RELEASES = (
    Release("1.31", "v1.31.14"),
    Release("1.32", "v1.34.4"),
    Release("1.33", "v1.34.4"),
    Release("1.34", "v1.34.4"),
    Release("1.35", toolchain.KUBERNETES_VERSION),
    Release("1.36", toolchain.KUBERNETES_VERSION),
)
"""From the oldest to the newest. A test compares them with the README's table and the chart."""

OLDEST, NEWEST = RELEASES[0], RELEASES[-1]


def release(minor: str) -> Release:
    """Return the release of a minor version. Raises :class:`ClusterError` if it is not supported."""
    found = next((each for each in RELEASES if each.minor == minor), None)
    if found is None:
        known = ", ".join(each.minor for each in RELEASES)
        raise ClusterError(f"Kubernetes {minor} is not a supported release ({known})")
    return found
