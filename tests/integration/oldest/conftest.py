"""The control plane of this folder: the oldest supported Kubernetes."""

import pytest

from cluster import releases
from cluster.releases import Release
from tests.integration.conftest import control_plane, crds, kubectl, kubectl_fails

__all__ = ["control_plane", "crds", "kubectl", "kubectl_fails"]


@pytest.fixture(scope="package")
def release() -> Release:
    return releases.OLDEST
