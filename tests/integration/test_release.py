"""The API server of these tests has the release that the tests claim to run on."""

import json
from collections.abc import Callable

import pytest

from cluster.releases import Release

pytestmark = pytest.mark.cluster


def test_the_api_server_is_of_the_release(release: Release, kubectl: Callable[..., str]) -> None:
    """A server that emulates another release reports both versions."""
    version = json.loads(kubectl("get", "--raw", "/version"))
    assert f"{version['major']}.{version['minor']}" == release.server.removeprefix("v").rpartition(".")[0]
    assert f"1.{version.get('emulationMinor', version['minor'])}" == release.minor
