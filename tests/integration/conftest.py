"""A real control plane for the tests of this folder: etcd, API server, controller manager.

It has no nodes, so no pod runs.

``TRAINYARD_TEST_KUBECONFIG`` names a running control plane of the newest release, to save its start.
``TRAINYARD_TEST_KUBERNETES`` names another release than the newest, as ``make test-matrix`` does.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster import lifecycle, releases, state, toolchain
from cluster.releases import Release
from matrix import RELEASE_VARIABLE
from trainyard_api.generate import checkout
from trainyard_api.kinds import KINDS

KUBECONFIG_ENV = "TRAINYARD_TEST_KUBECONFIG"
_PREFIX = "kubernetes-"


@pytest.fixture(scope="package")
def release() -> Release:
    """Return the Kubernetes release that the tests of this folder run on."""
    return releases.release(os.environ.get(RELEASE_VARIABLE, releases.NEWEST.minor))


@pytest.fixture(scope="package")
def control_plane(release: Release) -> Iterator[Path]:
    """Yield the administrator's kubeconfig. If the control plane cannot start, the test fails. It is never skipped."""
    if release == releases.NEWEST and (given := os.environ.get(KUBECONFIG_ENV)):
        yield Path(given)
        return
    for name in state.names():
        if name.startswith(_PREFIX) and not Path("/proc", name.rpartition("-")[2]).exists():
            lifecycle.down(name, print)  # left by a test session that was killed
    name = f"{_PREFIX}{release.minor.replace('.', '-')}-{os.getpid()}"
    with lifecycle.temporary_control_plane(name, release.options()) as cluster:
        yield cluster.kubeconfig


Kubectl = Callable[..., str]


@pytest.fixture(scope="package")
def kubectl(control_plane: Path) -> Kubectl:
    """Return ``kubectl(*arguments, stdin=None) -> stdout``. A failure raises AssertionError with kubectl's message."""

    def run(*arguments: str, stdin: str | None = None) -> str:
        done = _kubectl(control_plane, arguments, stdin)
        if done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    return run


@pytest.fixture(scope="package")
def kubectl_fails(control_plane: Path) -> Kubectl:
    """Return ``kubectl_fails(*arguments, stdin=None) -> stderr``, for commands that the API server must refuse."""

    def run(*arguments: str, stdin: str | None = None) -> str:
        done = _kubectl(control_plane, arguments, stdin)
        assert done.returncode != 0, f"kubectl {' '.join(arguments)} was accepted: {done.stdout}"
        return done.stderr

    return run


def _kubectl(kubeconfig: Path, arguments: tuple[str, ...], stdin: str | None) -> subprocess.CompletedProcess[str]:
    command = [str(toolchain.ensure("kubectl")), f"--kubeconfig={kubeconfig}", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=180, check=False)


@pytest.fixture(scope="package")
def crds(control_plane: Path, kubectl: Kubectl) -> Path:
    """Return the kubeconfig of a control plane that serves the CRDs of trainyard."""
    for kind in KINDS:
        kubectl("apply", "-f", str(checkout() / "crds" / f"{kind.plural}.yaml"))
    for kind in KINDS:
        kubectl("wait", "--for=condition=Established", f"crd/{kind.plural}.trainyard.dev", "--timeout=120s")
    return control_plane
