"""One real S3 server for all tests of this folder."""

from collections.abc import Iterator

import pytest

from cluster import toolchain
from tests.integration.trainer.object_store import ObjectStore, ObjectStoreServer


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    server = ObjectStoreServer(toolchain.ensure("versitygw"), tmp_path_factory.mktemp("object-store"))
    yield server.store
    server.stop()
