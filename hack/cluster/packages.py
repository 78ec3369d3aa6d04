"""Programs of the Linux distribution."""

import os
import shutil
from pathlib import Path

from cluster.commands import run, succeeds
from cluster.model import ClusterError, Progress

_INSTALL_SECONDS = 600
CNI_FOLDER = Path("/usr/lib/cni")
NODE_PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ipset": "ipset",
    "socat": "socat",
    "nsenter": "util-linux",
    str(CNI_FOLDER / "ptp"): "containernetworking-plugins",
}
"""Debian package of each program or file."""
IMAGE_PACKAGES = {"buildah": "buildah", "skopeo": "skopeo"}
BASE_PACKAGES = {
    "debootstrap": "debootstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}


def missing(packages: dict[str, str]) -> list[str]:
    """Return the packages whose files do not exist."""
    return [package for program, package in packages.items() if not (Path(program).is_file() or _installed(program))]


def ensure(packages: dict[str, str], progress: Progress) -> None:
    """Install the missing packages. Raises :class:`ClusterError`."""
    wanted = missing(packages)
    if not wanted:
        return
    progress(f"installing from the distribution: {' '.join(wanted)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *wanted)
    try:
        if not succeeds((*install, "--simulate")):
            run(("apt-get", "update", "--quiet"), timeout=_INSTALL_SECONDS, env=environment)
        run(install, timeout=_INSTALL_SECONDS, env=environment)
    except ClusterError as error:
        raise ClusterError(f"{' '.join(wanted)} cannot be installed; install them yourself. {error}") from error


def _installed(program: str) -> bool:
    """Return whether a program is in PATH, or in the folders of root's programs."""
    return shutil.which(program, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin") is not None
