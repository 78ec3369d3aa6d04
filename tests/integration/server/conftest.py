"""Models that the real trainer stores in a real object store, and servers of them."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.server.process import ServerProcess, Stored
from tests.integration.server.tables import classification, classification_csv
from tests.integration.trainer.conftest import Upload, object_store, upload
from tests.integration.trainer.object_store import ObjectStore
from tests.integration.trainer.pod import Pod
from tests.integration.trainer.tables import forecast, sales_csv

__all__ = ["object_store", "upload"]

Train = Callable[[dict[str, object]], Stored]


@pytest.fixture(scope="session")
def train(object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Return a function that trains a new model and returns where it is stored."""

    def run(spec: dict[str, object]) -> Stored:
        pod = Pod(tmp_path_factory.mktemp("trainer"), object_store, uid=uuid.uuid4().hex)
        ended = pod.run_here(spec)
        assert ended.code == 0, ended.result.message
        assert ended.result.artifact is not None
        assert ended.result.model_version is not None
        return Stored(f"model-{pod.uid}", ended.result.model_version.version, ended.result.artifact, object_store)

    return run


@pytest.fixture(scope="session")
def classifier(train: Train, upload: Upload) -> Stored:
    return train(classification(upload("shops.csv", classification_csv())))


@pytest.fixture(scope="session")
def forecaster(train: Train, upload: Upload) -> Stored:
    return train(forecast(upload("server-sales.csv", sales_csv(bread=100, rolls=300))))


@pytest.fixture(scope="session")
def classifier_server(classifier: Stored, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    yield from _ready(classifier, tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="session")
def forecaster_server(forecaster: Stored, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    yield from _ready(forecaster, tmp_path_factory.mktemp("forecaster"))


def _ready(stored: Stored, folder: Path) -> Iterator[ServerProcess]:
    with ServerProcess(stored, folder) as server:
        server.await_ready()
        yield server
