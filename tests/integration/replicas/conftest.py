"""Replicas of releases as they run in a cluster: processes, each with its own configuration."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator.namespace import Namespace
from tests.integration.operator.test_faults import new_namespace
from tests.unit.operator.shell.process import Replica
from trainyard_operator.kube.credentials import Credentials, load_credentials

Start = Callable[..., Replica]
LEASE_SECONDS = 3


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


@pytest.fixture
async def namespace(credentials: Credentials) -> AsyncIterator[Namespace]:
    async with new_namespace(credentials) as namespace:
        yield namespace


@pytest.fixture
def start(crds: Path, tmp_path: Path) -> Iterator[Start]:
    """Return ``start(name, **config)``, which starts a replica. All replicas end with the test."""
    replicas: list[Replica] = []

    def run(name: str, kubeconfig: Path = crds, **config: Any) -> Replica:
        settings = {"leaderElection": {"leaseSeconds": LEASE_SECONDS}, **config}
        replicas.append(Replica(name, kubeconfig, tmp_path, settings))
        return replicas[-1]

    yield run
    for replica in replicas:
        replica.clean_up()
