"""Training from a query on a real PostgreSQL server, and all errors that a query or its URL can have."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

from tests.integration.trainer.database import PASSWORD, STRANGER, DatabaseServer
from tests.integration.trainer.object_store import BUCKET, free_port
from tests.integration.trainer.pod import Pod

QUERY = (
    "SELECT date, product, sold, note FROM sales WHERE (product LIKE '%%' OR product = ':x')"
    " AND current_setting('TimeZone') = 'UTC' ORDER BY product, date"
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    server = DatabaseServer(tmp_path_factory.mktemp("database") / "server")
    yield server
    server.stop()


def forecast(query: str = QUERY) -> dict[str, Any]:
    sql = {"secretRef": {"name": "shop-reader"}, "query": query}
    return {
        "framework": "Prophet",
        "task": "Forecast",
        "data": {"sql": sql, "time": "date", "series": "product", "target": "sold"},
        "forecast": {"horizon": 14},
    }


def secret(folder: Path, url: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "url").write_text(url + "\n")
    return folder


def test_a_query_can_be_trained_on(pod: Pod, database: DatabaseServer, tmp_path: Path) -> None:
    pod.data_secret = secret(tmp_path / "secret", database.url())
    first, again = pod.run_here(forecast()), pod.run_here(forecast(), attempt=2)
    assert first.code == 0, first.result.message
    assert first.result.series is not None
    assert (first.result.series.total, first.result.series.failed) == (2, 0)
    assert first.result.data_digest == again.result.data_digest


def test_a_query_is_prepared(pod: Pod, database: DatabaseServer, tmp_path: Path) -> None:
    pod.data_secret = secret(tmp_path / "secret", database.url())
    spec = {**forecast("SELECT date, product, sold FROM sales ORDER BY product, date"), "mode": "Prepare"}
    first, again = pod.run_here(spec), pod.run_here(spec, attempt=2)
    assert (first.code, first.result) == (0, again.result), first.result.message
    assert (first.result.message or "").startswith("a dataset of 400 rows and 4 columns, sha256:")
    assert first.result.artifact is not None
    key = first.result.artifact.uri.removeprefix(f"s3://{BUCKET}/") + "/dataset.parquet"
    body = pod.store.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert list(pd.read_parquet(io.BytesIO(body)).columns) == ["product", "date", "sold", "split"]


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("SELECT nothing FROM sales", 64, 'column "nothing" does not exist'),
        ("SELEC * FROM sales", 64, "syntax error"),
        ("SELECT 1; SELECT 2", 64, "must be one SELECT"),
        ("DELETE FROM sales", 64, "must be one SELECT"),
        ("SELECT set_config('transaction_read_only', 'off', false), nextval('nobody')", 64, "does not exist"),
        ("SELECT date, product FROM sales", 65, "no column 'sold'"),
        ("SELECT * FROM sales WHERE false", 65, "no rows"),
        ("SELECT date, product, 1 / 0 AS sold FROM sales", 65, "division by zero"),
        ("SELECT date, product, 'x' AS sold FROM sales", 65, "'x' is not a number"),
        ("SELECT * FROM pg_authid", 77, "permission denied"),
    ],
)
def test_a_bad_query_is_reported(
    pod: Pod, database: DatabaseServer, tmp_path: Path, query: str, code: int, words: str
) -> None:
    pod.data_secret = secret(tmp_path / "secret", database.url())
    ended = pod.run_here(forecast(query))
    assert (ended.code, words in (ended.result.message or "")) == (code, True), ended.result.message
    assert "sql://shop-reader" in (ended.result.message or "")


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"password": "wrong"}, 77, "password authentication failed"),
        ({"role": "nobody"}, 77, "authentication failed"),
        ({"role": STRANGER}, 77, "permission denied for table sales"),
        ({"database": "nowhere"}, 66, 'database "nowhere" does not exist'),
    ],
)
def test_a_bad_url_is_reported(
    pod: Pod, database: DatabaseServer, tmp_path: Path, change: dict[str, str], code: int, words: str
) -> None:
    pod.data_secret = secret(tmp_path / "secret", database.url(**change))
    ended = pod.run_here(forecast())
    assert (ended.code, words in (ended.result.message or "")) == (code, True), ended.result.message
    assert PASSWORD not in (ended.result.message or "")


def test_a_server_that_does_not_respond_is_reported(pod: Pod, tmp_path: Path) -> None:
    pod.data_secret = secret(tmp_path / "secret", f"postgresql://reader:{PASSWORD}@127.0.0.1:{free_port()}/shop")
    ended = pod.run_here(forecast())
    assert (ended.code, ended.result.reason) == (69, "UpstreamUnavailable"), ended.result.message
    assert PASSWORD not in (ended.result.message or "")


def test_the_transaction_is_read_only(pod: Pod, database: DatabaseServer, tmp_path: Path) -> None:
    with psycopg.connect(database.url("owner")) as owner:
        owner.execute(
            "CREATE FUNCTION forget() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM sales; RETURN 1; END $$"
        )
    pod.data_secret = secret(tmp_path / "secret", database.url("owner"))
    ended = pod.run_here(forecast("SELECT *, forget() FROM sales"))
    assert (ended.code, "read-only transaction" in (ended.result.message or "")) == (64, True), ended.result.message
    with psycopg.connect(database.url()) as reader:
        assert reader.execute("SELECT count(*) FROM sales").fetchone() == (400,)
