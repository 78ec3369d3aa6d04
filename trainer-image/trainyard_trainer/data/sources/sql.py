"""Rows of a database: a query in a read-only transaction, with a server-side cursor, batch by batch.

The connection URL is the key ``url`` of the mounted Secret. It never appears in a message, a log line or the manifest.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import sqlalchemy
import tenacity
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from trainyard_api.data import SqlSource
from trainyard_trainer.data.sources.database import (
    POSTGRES,
    Database,
    backend_of,
    first_line,
    state_of,
    translate_access,
    translate_value,
)
from trainyard_trainer.data.sources.stacking import stack
from trainyard_trainer.data.wanted import Wanted
from trainyard_trainer.errors import (
    ConfigError,
    DataError,
    InputMissing,
    Interrupted,
    TrainerError,
    Unsupported,
    UpstreamUnavailable,
)

BATCH: Final = 20_000
ATTEMPTS: Final = 4
_QUERY: Final = ("42", "25006", "0A", "34")
"""Prefixes of SQLSTATE for the query. Other errors than these and those of the access may be temporary."""

_SQLITE_QUERY_WORDS: Final = (
    "no such",
    "syntax error",
    "readonly database",
    "unrecognized token",
    "incomplete input",
    "one statement",
)


@dataclass(frozen=True)
class Patience:
    """Settings of the pause between two attempts to read."""

    wait: tenacity.wait.wait_base = field(default_factory=lambda: tenacity.wait_random_exponential(0.5, max=10))


def read_query(
    source: SqlSource,
    secret_dir: Path,
    wanted: Wanted,
    stop: Callable[[], bool],
    patience: Patience | None = None,
) -> pa.Table:
    """Return the required columns of a query, with the rows in the order of the query.

    Raises
    ------
    ConfigError
        The URL or the query is wrong, or the query writes data.
    NotPermitted, InputMissing, UpstreamUnavailable
        The credentials are rejected or missing, the database does not exist, or the server does not respond.
    DataError
        There are no rows, a column is missing, or a value cannot be computed.
    Interrupted
        ``stop`` returned true.
    """
    engine = _engine(source, secret_dir)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(UpstreamUnavailable),
        wait=(patience or Patience()).wait,
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        reraise=True,
    )
    try:
        table: pa.Table = retrying(_read, engine, source, wanted, stop)
    finally:
        engine.dispose()
    if table.num_rows == 0:
        raise DataError(f"{name_of(source)}: the query returned no rows; correct the query")
    return table


def name_of(source: SqlSource) -> str:
    """Return a name for a query in messages, because the address of the database is secret."""
    return f"sql://{source.secret_ref.name}"


def _engine(source: SqlSource, secret_dir: Path) -> Engine:
    database = Database("data.sql", source.secret_ref.name, secret_dir)
    url = database.url()
    backend = backend_of(url)
    if backend in POSTGRES:
        return database.postgres(url).execution_options(
            postgresql_readonly=True, isolation_level="REPEATABLE READ", stream_results=True
        )
    if backend != "sqlite":
        raise Unsupported(f"data.sql: databases of type {backend!r} are not supported; use postgresql:// or sqlite://")
    try:
        return _sqlite(url, source)
    except (ArgumentError, NoSuchModuleError, TypeError):
        raise database.unknown_option() from None


def _sqlite(url: URL, source: SqlSource) -> Engine:
    path = Path(url.database or "")
    if not path.is_file():
        raise InputMissing(
            f"{name_of(source)}: the SQLite file of its URL does not exist; an absolute path has four slashes, as in "
            "sqlite:////folder/file.db"
        )
    read_only = f"file:{path}"
    return sqlalchemy.create_engine(
        URL.create("sqlite", database=read_only, query={"mode": "ro", "uri": "true"}), poolclass=sqlalchemy.NullPool
    )


def _read(engine: Engine, source: SqlSource, wanted: Wanted, stop: Callable[[], bool]) -> pa.Table:
    try:
        with engine.connect() as connection:
            return stack(list(_batches(connection, source, wanted, stop)))
    except DBAPIError as error:
        raise _translate(error, source) from error


def _batches(connection: Connection, source: SqlSource, wanted: Wanted, stop: Callable[[], bool]) -> Iterator[pa.Table]:
    # Not text(): a colon in a query is not a parameter. Without parameters, the driver does not interpret percent
    # signs.
    if connection.dialect.name == "postgresql":
        # Set for this transaction only. A connection pooler may not support the start-up option.
        driver: Any = connection.connection.dbapi_connection
        driver.execute("SET LOCAL TIME ZONE 'UTC'")
    quiet = connection.execution_options(no_parameters=True, max_row_buffer=BATCH)
    with contextlib.closing(quiet.exec_driver_sql(source.query)) as result:
        if not result.returns_rows:
            raise ConfigError(f"{name_of(source)}: data.sql.query returns no rows; write a SELECT")
        present = list(result.keys())
        try:
            positions = [(name, present.index(name)) for name in wanted.select(present)]
        except DataError as error:
            raise DataError(f"{name_of(source)}: {error}") from error
        yield pa.table({name: pa.nulls(0) for name, _ in positions})
        while rows := result.fetchmany(BATCH):
            if stop():
                raise Interrupted("stopped by a signal while reading data.sql; the next attempt starts again")
            yield pa.table({name: _column([row[position] for row in rows]) for name, position in positions})


def _column(values: Sequence[Any]) -> pa.Array:
    """Return values as an Arrow array. Decimals become float64. Values without an Arrow type become text."""
    try:
        column = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    if pa.types.is_decimal(column.type):
        return column.cast(pa.float64())
    if pa.types.is_binary(column.type) or pa.types.is_nested(column.type) or pa.types.is_duration(column.type):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return column


def _translate(error: DBAPIError, source: SqlSource) -> TrainerError:
    """Convert an error of the driver to an error with a message for the user."""
    state, said, where = state_of(error.orig), first_line(error.orig), name_of(source)
    access = translate_access(error.orig, where)
    if access is not None:
        return access
    if state.startswith(_QUERY) or (not state and any(word in said for word in _SQLITE_QUERY_WORDS)):
        return ConfigError(f"{where}: data.sql.query cannot be run: {said}; it must be one SELECT")
    return translate_value(error.orig, where) or UpstreamUnavailable(
        f"{where}: the database did not answer in {ATTEMPTS} attempts: {said}; try again later"
    )
