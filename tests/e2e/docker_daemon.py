"""A Docker daemon of the test's own, in a folder that is deleted with it.

It does not touch another daemon, its socket, images or network rules. The programs come from Debian's package, which is
unpacked but not installed: an installation would start a daemon for the whole machine.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster import packages
from cluster.commands import run, succeeds
from cluster.images import base_archive, base_name, pip_files
from cluster.model import ClusterError
from cluster.processes import ProcessTable, wait_for
from cluster.state import cache_folder, exclusive_lock

BASE = "localhost/trainyard-base-here:1"
"""Debian with Python, and pip's certificate authorities and index of this machine."""

_PACKAGE = "docker.io"
_OWN_MOUNTS = ("unshare", "--mount", "--propagation=private", "--")
_START_SECONDS = 60
_FETCH_SECONDS = 300
_BUILD_SECONDS = 1700
_DAEMON = "dockerd"
_NO_NETWORK = ("--iptables=false", "--ip-masq=false", "--bridge=none")
"""Builds use the network of this machine. The daemon leaves no rule and no bridge on it."""


@dataclass(frozen=True)
class Docker:
    """The client of one daemon."""

    environment: Mapping[str, str]

    def __call__(self, *arguments: str, timeout: float = _BUILD_SECONDS) -> str:
        """Run a docker command and return its output. Raises :class:`ClusterError` with docker's message."""
        return run(("docker", *arguments), timeout=timeout, env={**os.environ, **self.environment})

    def build(self, context: Path, tag: str, *options: str) -> None:
        """Build an image of this tag."""
        self("build", "--network=host", f"--tag={tag}", *options, str(context))


def obstacle() -> str | None:
    """Return the reason why no daemon can run here, or ``None``."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return "a Docker daemon of its own needs root on Debian or Ubuntu"
    if not succeeds((*_OWN_MOUNTS, "true")):
        return "a Docker daemon of its own needs the right to mount"
    return None


@contextmanager
def docker_daemon() -> Iterator[Docker]:
    """Run a daemon with the base image until the end of the ``with`` block."""
    packages.ensure({**packages.NODE_PACKAGES, **packages.BASE_PACKAGES}, print)
    programs = _programs()
    # A short name: the path of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="ty-docker-"))
    table = ProcessTable(folder, _OWN_MOUNTS)
    search = os.pathsep.join((str(programs / "usr/bin"), str(programs / "usr/sbin"), os.environ["PATH"], "/usr/sbin"))
    # The client needs its own folder too: the user's configuration may name another context.
    client = {"DOCKER_HOST": f"unix://{folder / 'socket'}", "DOCKER_CONFIG": str(folder / "client")}
    docker = Docker({"PATH": search, "DOCKER_BUILDKIT": "1", **client})
    try:
        table.start(_DAEMON, _command(folder), {"PATH": search})
        wait_for("the Docker daemon", lambda: _responds(table, docker), _START_SECONDS, lambda: table.tail(_DAEMON))
        _provide_base(docker, folder / "base")
        yield docker
    finally:
        table.stop(_DAEMON)
        shutil.rmtree(folder)


def _programs() -> Path:
    """Return the unpacked package. It is downloaded once and kept in the cache."""
    unpacked = cache_folder() / "docker"
    with exclusive_lock(unpacked.with_suffix(".lock")):
        if not unpacked.exists():
            with tempfile.TemporaryDirectory(dir=unpacked.parent) as name:
                partial = Path(name) / "unpacked"
                _fetch(Path(name))
                [package] = Path(name).glob("*.deb")
                run(("dpkg-deb", "--extract", package, partial), timeout=_FETCH_SECONDS)
                partial.rename(unpacked)
    return unpacked


def _fetch(folder: Path) -> None:
    download = ("env", f"--chdir={folder}", "apt-get", "download", "--quiet", _PACKAGE)
    if not succeeds(download, timeout=_FETCH_SECONDS):
        run(("apt-get", "update", "--quiet"), timeout=_FETCH_SECONDS)
        run(download, timeout=_FETCH_SECONDS)


def _command(folder: Path) -> tuple[str, ...]:
    config = folder / "daemon.json"
    config.write_text(json.dumps({"exec-opts": ["native.cgroupdriver=cgroupfs"], "storage-driver": "overlay2"}))
    paths = {
        "config-file": config,
        "data-root": folder / "data",
        "exec-root": folder / "exec",
        "pidfile": folder / "pid",
    }
    return (
        "dockerd",
        f"--host=unix://{folder / 'socket'}",
        *(f"--{name}={path}" for name, path in paths.items()),
        *_NO_NETWORK,
    )


def _responds(table: ProcessTable, docker: Docker) -> bool:
    table.check_running()
    try:
        docker("info", timeout=10)
    except ClusterError:
        return False
    return True


def _provide_base(docker: Docker, folder: Path) -> None:
    docker("load", "--input", str(base_archive(print)))
    folder.mkdir()
    lines = [f"FROM {base_name()}"]
    for host, target in pip_files(folder):
        if host.parent != folder:
            shutil.copy(host, folder)
        lines.append(f"COPY {host.name} {target}")
    (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
    docker.build(folder, BASE)
