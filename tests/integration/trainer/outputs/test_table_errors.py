"""Tables, keys, rights and URLs that do not fit: one message with the right exit code, and nothing is written."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from tests.integration.trainer.database import PASSWORD, DatabaseServer
from tests.integration.trainer.object_store import free_port
from tests.integration.trainer.outputs.table import (
    COLUMNS,
    KEYS,
    MODES,
    NUMBERS,
    Output,
    complete,
    expected,
    query,
    rows_of,
)
from tests.unit.trainer.outputs.predictions import FACTS, OTHER, ROWS, RUN, SCHEMA, forecasts, go_on
from trainyard_trainer.errors import (
    ConfigError,
    DataError,
    InputMissing,
    NotPermitted,
    TrainerError,
    Unsupported,
    UpstreamUnavailable,
)
from trainyard_trainer.outputs.base import Run, Written
from trainyard_trainer.outputs.postgres import SqlOutput
from trainyard_trainer.outputs.tables import Mode


@pytest.mark.parametrize(
    ("columns", "mode", "words"),
    [
        (COLUMNS.replace("model text, ", ""), "Append", ["'model'", "text", "add it"]),
        (COLUMNS.replace(", run text", ""), "Append", ["'run'"]),
        (COLUMNS.replace("time timestamptz", "time timestamp"), "Append", ["'time'", "timestamp", "timestamptz"]),
        (
            COLUMNS.replace("prediction float8", "prediction text"),
            "Append",
            ["'prediction'", "text", "double precision"],
        ),
        (COLUMNS + ", owner text NOT NULL", "Append", ["'owner'", "NOT NULL"]),
        (COLUMNS, "Upsert", ["series, time, as_of", "CREATE UNIQUE INDEX"]),
        (COLUMNS + ", UNIQUE (series, time)", "Upsert", ["series, time, as_of", "unique index"]),
        (COLUMNS + ", UNIQUE (series, time, as_of, step)", "Upsert", ["series, time, as_of"]),
        (COLUMNS + ", UNIQUE (series, time, as_of) DEFERRABLE", "Upsert", ["series, time, as_of"]),
        (COLUMNS.replace("as_of timestamptz, ", ""), "Replace", ["'as_of'"]),
    ],
)
def test_a_table_of_another_shape(
    database: DatabaseServer, output: Output, columns: str, mode: Mode, words: list[str]
) -> None:
    name = f"shape_{next(NUMBERS)}"
    query(database, f"CREATE TABLE {name} ({columns})")
    with pytest.raises(ConfigError) as caught:
        complete(output(mode, dict(MODES)[mode], name=name))
    assert [word for word in ["public." + name, *words] if word not in str(caught.value)] == [], caught.value
    assert query(database, f"SELECT count(*) FROM {name}") == [(0,)]


def test_a_table_of_a_compatible_shape(database: DatabaseServer, output: Output) -> None:
    name = f"shape_{next(NUMBERS)}"
    query(database, f"CREATE DOMAIN share_{name} AS numeric")
    query(database, f"CREATE TYPE model_{name} AS ENUM ('demand', 'other')")
    columns = (
        COLUMNS.replace("prediction float8", f"prediction share_{name}")
        .replace("model text", f"model model_{name}")
        .replace("step int", "step bigint NOT NULL")
    )
    query(
        database,
        f"CREATE TABLE {name} (id bigserial NOT NULL, noted timestamptz NOT NULL DEFAULT now(), {columns},"
        " UNIQUE (time, series, as_of)) PARTITION BY RANGE (as_of)",
    )
    query(database, f"CREATE TABLE {name}_2026 PARTITION OF {name} FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
    for (mode, keys), run in itertools.product(MODES[1:], (RUN, OTHER)):
        assert complete(output(mode, keys, name=name), run).rows == ROWS
        assert query(database, f"SELECT count(*) FROM {name}") == [(ROWS,)]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("version int2", "smallint"),
        ("series varchar(3)", r"character varying\(3\)"),
        ("step int CHECK (step < 3)", "check"),
    ],
)
@pytest.mark.parametrize(("mode", "keys"), MODES[::2])
def test_values_that_do_not_fit(
    database: DatabaseServer, output: Output, mode: Mode, keys: Sequence[str], column: str, words: str
) -> None:
    name = f"shape_{next(NUMBERS)}"
    kind = {"version int2": "version bigint", "series varchar(3)": "series text"}.get(column, "step int")
    query(database, f"CREATE TABLE {name} ({COLUMNS.replace(kind, column)})")
    run = Run("r", "n", "s", "m", 70_000)
    with pytest.raises(DataError, match=words):
        complete(output(mode, keys, name=name), run)
    assert query(database, f"SELECT count(*) FROM {name}") == [(0,)]


def test_keys_that_occur_twice(database: DatabaseServer, output: Output, table: str) -> None:
    one = output("Upsert", ["series"])
    with pytest.raises(DataError, match="series = "):
        one.write(RUN, SCHEMA, forecasts(), FACTS, go_on)
    assert one.finished(RUN) is None


def test_keys_without_a_value(output: Output) -> None:
    for mode in ("Upsert", "Replace"):
        with pytest.raises(DataError, match=r"'quantile:0\.1'"):
            output(mode, [*KEYS, "quantile:0.1"]).write(RUN, SCHEMA, forecasts(), FACTS, go_on)


def test_keys_that_are_no_columns(output: Output) -> None:
    with pytest.raises(ConfigError, match=r"'product'.*series, time"):
        output("Upsert", ["product"]).write(RUN, SCHEMA, forecasts(), FACTS, go_on)
    with pytest.raises(ConfigError, match="keys"):
        output("Replace", []).check()


@pytest.fixture(scope="module")
def clerk(database: DatabaseServer) -> str:
    """Return a role that may do nothing but connect."""
    query(database, f"CREATE ROLE clerk LOGIN PASSWORD '{PASSWORD}'")
    query(database, "REVOKE CREATE ON SCHEMA public FROM public")
    query(database, "REVOKE TEMPORARY ON DATABASE shop FROM public")
    return "clerk"


@pytest.mark.parametrize(
    ("mode", "grants", "words"),
    [
        ("Append", [], "SELECT"),
        ("Append", ["SELECT"], "INSERT"),
        ("Upsert", ["SELECT", "INSERT"], "UPDATE"),
        ("Replace", ["SELECT", "INSERT"], "DELETE"),
        ("Replace", ["SELECT", "INSERT", "DELETE"], "TEMPORARY"),
    ],
)
def test_rights_that_are_missing(
    database: DatabaseServer, output: Output, clerk: str, mode: Mode, grants: list[str], words: str
) -> None:
    name = f"rights_{next(NUMBERS)}"
    query(database, f"CREATE TABLE {name} ({COLUMNS}, UNIQUE (series, time, as_of))")
    for grant in grants:
        query(database, f"GRANT {grant} ON {name} TO {clerk}")
    one = output(mode, dict(MODES)[mode], database.url(clerk), name)
    with pytest.raises(NotPermitted, match=words):
        one.check()
    with pytest.raises(NotPermitted, match="permission denied"):
        one.write(RUN, SCHEMA, forecasts(), FACTS, go_on)
    assert query(database, f"SELECT count(*) FROM {name}") == [(0,)]


def test_rights_to_append_are_enough(database: DatabaseServer, output: Output, clerk: str) -> None:
    query(database, f"CREATE TABLE enough ({COLUMNS})")
    query(database, f"GRANT SELECT, INSERT ON enough TO {clerk}")
    assert complete(output(url=database.url(clerk), name="enough")).rows == ROWS


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("absent", NotPermitted, "CREATE ON SCHEMA public"),
        ("nowhere.absent", ConfigError, "'nowhere' does not exist"),
        ("a.b.c", ConfigError, "schema.table"),
        ("x" * 64, ConfigError, "63 bytes"),
        ("pg_catalog.pg_tables", ConfigError, "pg_catalog.pg_tables is a view"),
    ],
)
def test_tables_that_cannot_be_created(
    database: DatabaseServer, output: Output, clerk: str, name: str, error: type[TrainerError], words: str
) -> None:
    with pytest.raises(error, match=words):
        output(url=database.url(clerk), name=name).check()


def test_a_table_in_a_schema(database: DatabaseServer, output: Output) -> None:
    query(database, 'CREATE SCHEMA "The shop"')
    assert complete(output(name="The shop.sales")) == Written(ROWS, "The shop.sales", FACTS.as_of, 3, 1, RUN.version)
    assert query(database, 'SELECT count(*) FROM "The shop".sales') == [(ROWS,)]


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("sqlite:////x.db", Unsupported, "sqlite"),
        ("no url", ConfigError, "is not a connection URL"),
        ("{wrong}", NotPermitted, "password authentication failed"),
        ("{nowhere}", InputMissing, 'database "nowhere" does not exist'),
        ("{closed}", UpstreamUnavailable, "connection"),
    ],
)
def test_urls_that_lead_nowhere(
    database: DatabaseServer, output: Output, url: str, error: type[TrainerError], words: str
) -> None:
    urls = {
        "wrong": database.url("owner", password="other"),
        "nowhere": database.url("owner", database="nowhere"),
        "closed": f"postgresql://owner:{PASSWORD}@127.0.0.1:{free_port()}/shop",
    }
    one = output(url=url.format(**urls))
    for act in (one.check, lambda: one.finished(RUN), lambda: one.write(RUN, SCHEMA, forecasts(), FACTS, go_on)):
        with pytest.raises(error, match=words) as caught:
            act()
        assert PASSWORD not in str(caught.value)
        assert "output.sql" in str(caught.value)


@pytest.mark.parametrize("limited", ["ROLE busy", "DATABASE crowded"])
def test_too_many_connections_are_temporary(database: DatabaseServer, output: Output, limited: str) -> None:
    kind, name = limited.split()
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        owner.execute(f"CREATE DATABASE {name}")
        owner.execute(f"ALTER {limited} CONNECTION LIMIT 0")
    with pytest.raises(UpstreamUnavailable, match=f'too many connections for {kind.lower()} "{name}"'):
        output(url=database.url(name, database=name)).check()


def test_a_secret_without_a_url(tmp_path: Path) -> None:
    with pytest.raises(NotPermitted, match=r"output\.sql.*'shop-writer'.*'url'"):
        SqlOutput(tmp_path, "shop-writer", "sales", "Append", []).check()


def test_a_database_that_may_only_be_read(database: DatabaseServer, output: Output, table: str) -> None:
    complete(output())
    one = output(url=database.url("owner") + "?options=-cdefault_transaction_read_only%3Don")
    for act in (one.check, lambda: one.write(OTHER, SCHEMA, forecasts(OTHER), FACTS, go_on)):
        with pytest.raises(UpstreamUnavailable, match="read-only"):
            act()


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("53100", UpstreamUnavailable),
        ("57014", UpstreamUnavailable),
        ("40P01", UpstreamUnavailable),
        ("P0001", DataError),
    ],
)
def test_errors_that_the_server_raises(
    database: DatabaseServer, output: Output, state: str, error: type[TrainerError]
) -> None:
    """A full disk, a cancelled statement, a deadlock, and a refusal by a trigger, raised by a trigger of the table."""
    name = f"refusing_{next(NUMBERS)}"
    complete(output(name=name), OTHER)
    query(
        database,
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'as the test says' USING ERRCODE = '{state}'; END $$",
    )
    query(database, f"CREATE TRIGGER refuse BEFORE INSERT ON {name} FOR EACH ROW EXECUTE FUNCTION {name}()")
    with pytest.raises(error, match="as the test says"):
        output(name=name).write(RUN, SCHEMA, forecasts(), FACTS, go_on)
    query(database, f"DROP TRIGGER refuse ON {name}")
    complete(output(name=name))
    assert rows_of(database, name) == expected((RUN, FACTS), (OTHER, FACTS))
