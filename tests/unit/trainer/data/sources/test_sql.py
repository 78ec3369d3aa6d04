"""Rows of a query on SQLite. Integration tests run queries on a real PostgreSQL server."""

import sqlite3

import pytest
import tenacity

from tests.unit.trainer.data.jobs import job
from tests.unit.trainer.data.sources.test_sources import never
from trainyard_trainer.data.loading import load
from trainyard_trainer.data.preprocessing import preprocess
from trainyard_trainer.data.sources.sql import Patience, read_query
from trainyard_trainer.data.wanted import Wanted
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import ConfigError, DataError, InputMissing, Interrupted, NotPermitted, Unsupported

SELECT = "SELECT * FROM sales ORDER BY rowid"


@pytest.fixture
def secret(tmp_path):
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE sales (ds TEXT, item, y, blob)")
        rows = [(f"2026-01-{day % 28 + 1:02}", day % 3, day * 1.5, b"x") for day in range(60)]
        database.executemany("INSERT INTO sales VALUES (?, ?, ?, ?)", rows)
        database.execute("INSERT INTO sales VALUES ('2026-01-01', 'seven', NULL, NULL)")
    database.close()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "url").write_text(f"sqlite:///{tmp_path}/shop.db")
    return tmp_path / "secret"


def configured(query=SELECT, **data):
    sql = {"secretRef": {"name": "shop"}, "query": query}
    config = job("s3://a/b", data={"exclude": [], **data})
    fields = config.spec.data.model_copy(
        update={"uri": None, "sql": type(config.spec.data).model_validate({"sql": sql, "target": "y"}).sql}
    )
    return config.model_copy(update={"spec": config.spec.model_copy(update={"data": fields})})


def rows_of(secret, query=SELECT, stop=never, **data):
    config = configured(query, **data)
    wanted = Wanted.of(config.spec.data, config.spec.task)
    return read_query(config.spec.data.sql, secret, wanted, stop, Patience(tenacity.wait_none()))


def test_a_query_becomes_a_table(secret, tmp_path):
    config = configured()
    env = Environment.from_environ({"TRAINYARD_DATA_SECRET_DIR": str(secret)})
    table = load(config, env, lambda *_: None, never)
    assert list(table.frame.columns) == ["ds", "item", "y", "blob"]
    assert table.frame["y"].iloc[:2].tolist() == [0, 1.5]
    assert table.frame["item"].tolist()[-2:] == ["2", "seven"]
    assert table.origin.uri == "sql://shop"
    assert preprocess(table, config).rows == 60
    second = load(config, env, lambda *_: None, never)
    assert second.origin.digest == table.origin.digest


def test_only_needed_columns_are_read(secret):
    assert rows_of(secret, features=["item"]).column_names == ["item", "y"]


def test_colons_and_percent_signs_are_not_parameters(secret):
    table = rows_of(secret, "SELECT y, ':name %s %(x)s' AS text FROM sales WHERE ds LIKE '%-01-02'")
    assert set(table["text"].to_pylist()) == {":name %s %(x)s"}


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ("SELECT y FROM nowhere", ConfigError, "no such table: nowhere"),
        ("SELEKT", ConfigError, "syntax error"),
        ("DELETE FROM sales", ConfigError, "readonly database"),
        ("SELECT 1; SELECT 2", ConfigError, "one statement at a time"),
        ("SELECT ds FROM sales", DataError, "no column 'y'"),
        ("SELECT y, y FROM sales", DataError, "same name: 'y'"),
        ("SELECT * FROM sales WHERE 0", DataError, "no rows"),
    ],
)
def test_invalid_queries(secret, query, error, words):
    with pytest.raises(error, match=words) as caught:
        rows_of(secret, query)
    assert "sql://shop" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        (None, NotPermitted, "has no key 'url'"),
        ("no url", ConfigError, "not a connection URL"),
        ("mysql://user:hidden@host/shop", Unsupported, "'mysql'"),
        ("sqlite:////no/such/file.db", InputMissing, "does not exist"),
        ("postgresql://user:hidden@host:port/shop", ConfigError, "not a connection URL"),
    ],
)
def test_invalid_secrets(secret, url, error, words):
    (secret / "url").unlink()
    if url:
        (secret / "url").write_text(url)
    with pytest.raises(error, match=words) as caught:
        rows_of(secret)
    assert "hidden" not in str(caught.value)


def test_a_file_that_is_not_a_database(secret, tmp_path):
    (tmp_path / "shop.db").write_bytes(b"just text" * 500)
    with pytest.raises(DataError, match="not a database"):
        rows_of(secret)


def test_a_stop_takes_effect_between_two_batches(secret):
    with pytest.raises(Interrupted):
        rows_of(secret, stop=lambda: True)
