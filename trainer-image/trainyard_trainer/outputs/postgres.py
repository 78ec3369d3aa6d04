"""Predictions as rows of a PostgreSQL table. All rows of a run are written in one transaction.

The rows of a run that is committed have its uid in the column ``run``. A later attempt of the same run finds them.

Append copies rows directly into the table. Upsert, Replace, and a run that must create the table, copy them into a
temporary table first. Then the lock on the table's name is held only for the last statements, not while rows are
predicted.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
import pyarrow as pa
import pyarrow.csv
from psycopg import sql
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from trainyard_trainer.data.sources.database import POSTGRES, Database, backend_of
from trainyard_trainer.errors import ConfigError, DataError, Unsupported
from trainyard_trainer.outputs.base import AS_OF, RUN, SERIES, VERSION, Facts, Run, Written
from trainyard_trainer.outputs.columns import pieces
from trainyard_trainer.outputs.sql_errors import read_only, translate
from trainyard_trainer.outputs.tables import (
    Mode,
    Table,
    TableName,
    check_creation,
    check_length,
    check_staging,
    create_table,
    definitions,
    identifiers,
)

FIELD: Final = "output.sql"
LOCK_SECONDS: Final = 120
"""How long a statement waits for another transaction. Then the run fails, and is retried later."""

_OPTIONS: Final = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""Options of the driver that end a connection whose server is gone, within about a minute."""

_STAGED: Final = sql.Identifier("pg_temp", "trainyard_staged")
_COPY: Final = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
"""All texts are in quotation marks, so an empty text differs from a missing value."""


class SqlOutput:
    """A table of PostgreSQL.

    Parameters
    ----------
    secret_dir, secret_name
        The mounted Secret, whose key ``url`` is the connection URL, and its name for messages.
    table
        ``table`` or ``schema.table``. If it does not exist, the first run creates it.
    mode
        ``Append`` adds rows. ``Upsert`` replaces rows with the same ``keys``. ``Replace`` first deletes all rows whose
        values of ``keys`` occur in the new rows.
    """

    def __init__(
        self,
        secret_dir: Path,
        secret_name: str,
        table: str,
        mode: Mode,
        keys: Sequence[str],
        *,
        lock_seconds: float = LOCK_SECONDS,
    ) -> None:
        self._database = Database(FIELD, secret_name, secret_dir)
        self._table, self._mode, self._keys = table, mode, tuple(keys)
        self._lock_seconds = lock_seconds

    def check(self) -> None:
        """Check the URL, the rights, and the table as far as possible without the predictions."""
        if self._mode != "Append" and not self._keys:
            raise ConfigError(f"{FIELD}.keys: the mode {self._mode} needs at least one column")
        name = self._name()
        with self._connected() as connection:
            row = connection.execute("SHOW transaction_read_only").fetchone()
            if row == ("on",):
                raise read_only(self._database)
            table = Table.find(connection, name)
            if table is None:
                check_creation(connection, name)
            else:
                table.check_kind()
                table.check_rights(connection, self._mode)
                table.check_keys(self._mode, self._keys)
            if table is None or self._mode != "Append":
                check_staging(connection)

    def finished(self, run: Run) -> Written | None:
        """Return the rows of this run, if there are any. They are there only if all were committed."""
        name = self._name()
        with self._connected() as connection:
            table = Table.find(connection, name)
            if table is None:
                return None
            table.check_kind()
            return self._found(connection, table, run)

    def write(
        self, run: Run, schema: pa.Schema, tables: Iterable[pa.Table], facts: Facts, go_on: Callable[[], None]
    ) -> Written:
        """Write all rows in one transaction."""
        name = self._name()
        self._check_schema(schema)
        with self._connected() as connection:
            table = Table.find(connection, name)
            if table is not None:
                self._check_table(table, schema)
                self._lock(connection, f"{table.full_name} {run.uid}")
                earlier = self._found(connection, table, run)
                if earlier is not None:
                    return earlier
            if table is not None and self._mode == "Append":
                rows = self._copy(connection, name.identifier, schema, pieces(tables, schema, go_on))
            else:
                self._stage(connection, name, table, schema)
                rows = self._copy(connection, _STAGED, schema, pieces(tables, schema, go_on))
                earlier = self._merge(connection, name, schema, run)
                if earlier is not None:
                    return earlier
            connection.commit()
        return Written(rows, self._table, facts.as_of, facts.series, facts.left_out, run.version)

    def _name(self) -> TableName:
        return TableName(self._table)

    def _check_schema(self, schema: pa.Schema) -> None:
        for column in schema.names:
            check_length(column, f"the column of the predictions for {self._table}")
        for key in self._keys:
            if key not in schema.names:
                raise ConfigError(
                    f"{FIELD}.keys: the predictions for {self._table} have no column {key!r}; use some of "
                    f"{', '.join(schema.names)}"
                )

    def _check_table(self, table: Table, schema: pa.Schema) -> None:
        table.check_kind()
        table.check_columns(schema)
        table.check_keys(self._mode, self._keys)

    def _stage(
        self, connection: psycopg.Connection[Any], name: TableName, table: Table | None, schema: pa.Schema
    ) -> None:
        """Create the temporary table. Its types are those of the table, so that a wrong value fails with its line."""
        if table is None:
            connection.execute(
                sql.SQL("CREATE TEMPORARY TABLE trainyard_staged ({}) ON COMMIT DROP").format(definitions(schema))
            )
        else:
            connection.execute(
                sql.SQL(
                    "CREATE TEMPORARY TABLE trainyard_staged ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA"
                ).format(identifiers(schema.names), name.identifier)
            )

    def _copy(
        self,
        connection: psycopg.Connection[Any],
        target: sql.Identifier,
        schema: pa.Schema,
        tables: Iterable[pa.Table],
    ) -> int:
        """Copy piece by piece, and return the number of rows. A statement per piece keeps each of them short."""
        statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv, ENCODING 'UTF8')").format(
            target, identifiers(schema.names)
        )
        rows = 0
        for table in tables:
            sink = pa.BufferOutputStream()
            pyarrow.csv.write_csv(table, sink, _COPY)
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(memoryview(sink.getvalue()))
            rows += table.num_rows
        return rows

    def _merge(
        self, connection: psycopg.Connection[Any], name: TableName, schema: pa.Schema, run: Run
    ) -> Written | None:
        """Move the staged rows into the table. Return the rows of this run that another attempt wrote meanwhile."""
        self._check_staged_keys(connection)
        known = Table.find(connection, name)
        self._lock(connection, known.full_name if known else self._future_name(connection, name))
        table = Table.find(connection, name)
        if table is None:
            create_table(connection, name, schema, self._keys if self._mode == "Upsert" else ())
        else:
            self._check_table(table, schema)
            earlier = self._found(connection, table, run)
            if earlier is not None:
                return earlier
        parts: dict[str, sql.Composable] = {
            "table": name.identifier,
            "columns": identifiers(schema.names),
            "keys": identifiers(self._keys),
            "staged": _STAGED,
        }
        insert = sql.SQL("INSERT INTO {table} ({columns}) SELECT {columns} FROM {staged}").format(**parts)
        if self._mode == "Replace":
            connection.execute(
                sql.SQL(
                    "DELETE FROM {table} AS old USING (SELECT DISTINCT {keys} FROM {staged}) AS new WHERE {same}"
                ).format(same=self._same_keys(), **parts)
            )
        if self._mode == "Upsert":
            insert = sql.SQL("{insert} ON CONFLICT ({keys}) DO {action}").format(
                insert=insert, action=self._update(schema), keys=parts["keys"]
            )
        connection.execute(insert)
        return None

    def _check_staged_keys(self, connection: psycopg.Connection[Any]) -> None:
        """Raise DataError for a key without a value, which matches no other row, and for a key that occurs twice."""
        if self._mode == "Append":
            return
        for key in self._keys:
            query = sql.SQL("SELECT 1 FROM {} WHERE {} IS NULL LIMIT 1").format(_STAGED, sql.Identifier(key))
            if connection.execute(query).fetchone():
                raise DataError(
                    f"{FIELD}.keys: the column {key!r} has a row without a value in the predictions for "
                    f"{self._table}; use columns that every row has"
                )
        keys = identifiers(self._keys)
        if self._mode == "Upsert":
            query = sql.SQL("SELECT {keys} FROM {staged} GROUP BY {keys} HAVING count(*) > 1 LIMIT 1").format(
                keys=keys, staged=_STAGED
            )
            twice = connection.execute(query).fetchone()
            if twice is not None:
                named = ", ".join(f"{key} = {value}" for key, value in zip(self._keys, twice, strict=True))
                raise DataError(
                    f"{FIELD}.keys: the predictions for {self._table} have more than one row with {named}; add a "
                    "column to the keys that distinguishes these rows"
                )
        else:
            connection.execute(sql.SQL("ANALYZE {} ({})").format(_STAGED, keys))

    def _same_keys(self) -> sql.Composed:
        return sql.SQL(" AND ").join(
            sql.SQL("old.{key} = new.{key}").format(key=sql.Identifier(key)) for key in self._keys
        )

    def _update(self, schema: pa.Schema) -> sql.Composable:
        others = [name for name in schema.names if name not in self._keys]
        if not others:
            return sql.SQL("NOTHING")
        values = sql.SQL(", ").join(sql.SQL("{one} = EXCLUDED.{one}").format(one=sql.Identifier(one)) for one in others)
        return sql.SQL("UPDATE SET {}").format(values)

    def _lock(self, connection: psycopg.Connection[Any], name: str) -> None:
        """Wait for the advisory lock on a name. It is held until the end of the transaction."""
        digest = hashlib.sha256(f"trainyard {name}".encode()).digest()
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(digest[:8], "big", signed=True)])

    def _future_name(self, connection: psycopg.Connection[Any], name: TableName) -> str:
        row = connection.execute(
            "SELECT coalesce(%s, current_schema()) || '.' || %s",
            [
                name.schema,
                name.text.rpartition(".")[2],
            ],
        ).fetchone()
        return str(row and row[0])

    def _found(self, connection: psycopg.Connection[Any], table: Table, run: Run) -> Written | None:
        """Return the committed rows of a run. Its facts are read from the columns of a forecast, if there are any."""
        name = self._name().identifier
        where = sql.SQL("FROM {} WHERE {} = %s").format(name, sql.Identifier(RUN))
        if not connection.execute(sql.SQL("SELECT 1 {} LIMIT 1").format(where), [run.uid]).fetchone():
            return None
        is_time = AS_OF in table.columns and table.columns[AS_OF].type in {"timestamp", "timestamptz", "date"}
        as_of = sql.SQL("max({})").format(sql.Identifier(AS_OF)) if is_time else sql.SQL("NULL")
        has_series = is_time and SERIES in table.columns
        series = sql.SQL("count(DISTINCT {})").format(sql.Identifier(SERIES)) if has_series else sql.SQL("NULL")
        version = sql.SQL("max({})").format(sql.Identifier(VERSION)) if VERSION in table.columns else sql.SQL("NULL")
        row = connection.execute(
            sql.SQL("SELECT count(*), {}, {}, {} {}").format(as_of, series, version, where), [run.uid]
        ).fetchone()
        count, newest, names, number = row or (0, None, None, None)
        return Written(count, self._table, _rfc3339(newest), names, version=None if number is None else int(number))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        """Yield a connection in a transaction. Without a commit, its changes are rolled back."""
        engine = self._engine()
        try:
            pooled = engine.raw_connection()
            connection: Any = pooled.driver_connection
            pooled.detach()  # the pool would try to roll back a connection that is lost
            with contextlib.closing(connection):
                connection.prepare_threshold = None  # a connection pooler may not support prepared statements
                connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED  # see what another run committed
                self._set(connection)
                yield connection
        except (DBAPIError, psycopg.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            raise translate(cause, self._database, self._table, self._lock_seconds) from error
        finally:
            engine.dispose()

    def _set(self, connection: psycopg.Connection[Any]) -> None:
        """Set limits for this transaction.

        A prediction may take longer than the server allows a transaction to be idle. If the node of the pod is lost,
        the keepalives end the transaction, and its locks, after about a minute.
        """
        settings = {
            "lock_timeout": f"{max(1, round(self._lock_seconds * 1000))}ms",
            "statement_timeout": "0",
            "idle_in_transaction_session_timeout": "0",
            "tcp_keepalives_idle": "30",
            "tcp_keepalives_interval": "10",
            "tcp_keepalives_count": "3",
            "TimeZone": "UTC",
            "DateStyle": "ISO",
        }
        assignments = ", ".join("set_config(%s, %s, true)" for _ in settings)
        values = [text for pair in settings.items() for text in pair]
        connection.execute(sql.SQL("SELECT ") + sql.SQL(assignments), values)

    def _engine(self) -> Engine:
        url = self._database.url()
        if backend_of(url) not in POSTGRES:
            raise Unsupported(f"{FIELD}: databases of kind {backend_of(url)!r} are not written; use postgresql://")
        return self._database.postgres(url, _OPTIONS)


def _rfc3339(time: date | None) -> str | None:
    """Return a time of a table as RFC 3339 text in UTC. A time without a zone is taken as it stands."""
    if time is None:
        return None
    if not isinstance(time, datetime):
        time = datetime(time.year, time.month, time.day)  # noqa: DTZ001 - a date has no zone
    instant = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return instant.isoformat().replace("+00:00", "Z")
