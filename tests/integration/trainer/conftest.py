"""One real S3 server for all tests of this folder."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster import toolchain
from tests.integration.trainer.object_store import DATA_BUCKET, ObjectStore, ObjectStoreServer
from tests.integration.trainer.pod import Pod

Upload = Callable[[str, bytes], str]
"""Stores a file in the data bucket and returns its address."""


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    server = ObjectStoreServer(toolchain.ensure("versitygw"), tmp_path_factory.mktemp("object-store"))
    yield server.store
    server.stop()


@pytest.fixture
def pod(object_store: ObjectStore, tmp_path: Path) -> Pod:
    """Return a pod of a new job, so that its model starts at version 1."""
    return Pod(tmp_path / "pod", object_store, uid=uuid.uuid4().hex)


@pytest.fixture(scope="session")
def upload(object_store: ObjectStore) -> Upload:
    """Return a function that stores a file in the data bucket and returns its address."""
    client = object_store.client()
    client.create_bucket(Bucket=DATA_BUCKET)

    def put(key: str, body: bytes) -> str:
        client.put_object(Bucket=DATA_BUCKET, Key=key, Body=body)
        return f"s3://{DATA_BUCKET}/{key}"

    return put
