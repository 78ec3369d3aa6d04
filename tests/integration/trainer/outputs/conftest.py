"""A real PostgreSQL server for the tests of this folder, and outputs into its tables."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.trainer.database import DatabaseServer
from tests.integration.trainer.outputs.table import NUMBERS, Output
from trainyard_trainer.outputs.postgres import SqlOutput
from trainyard_trainer.outputs.tables import Mode


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    server = DatabaseServer(tmp_path_factory.mktemp("database") / "server")
    yield server
    server.stop()


@pytest.fixture
def table() -> str:
    """Return the name of a table of this test, which needs quotation marks."""
    return f"Forecasts of test {next(NUMBERS)}"


@pytest.fixture
def output(database: DatabaseServer, tmp_path: Path, table: str) -> Output:
    """Return a function that makes outputs into the table of this test."""

    def make(
        mode: Mode = "Append", keys: Sequence[str] = (), url: str = "", name: str = "", seconds: float = 60
    ) -> Any:
        folder = tmp_path / f"secret-{next(NUMBERS)}"
        folder.mkdir()
        (folder / "url").write_text((url or database.url("owner")) + "\n")
        return SqlOutput(folder, "shop-writer", name or table, mode, keys, lock_seconds=seconds)

    return make
