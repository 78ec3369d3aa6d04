"""The table in PostgreSQL: its name, its columns, and whether the predictions fit it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import psycopg
import pyarrow as pa
from psycopg import sql

from trainyard_trainer.errors import ConfigError, NotPermitted, TrainerError
from trainyard_trainer.outputs.base import RUN
from trainyard_trainer.outputs.columns import value_type

Mode = Literal["Append", "Upsert", "Replace"]
_NAME_BYTES: Final = 63
"""PostgreSQL truncates a longer name without an error."""

_RIGHTS: Final[dict[Mode, tuple[str, ...]]] = {
    "Append": ("SELECT", "INSERT"),
    "Upsert": ("SELECT", "INSERT", "UPDATE"),
    "Replace": ("SELECT", "INSERT", "DELETE"),
}
_NUMBERS: Final = frozenset({"float8", "float4", "numeric"})
_WHOLE: Final = frozenset({"int8", "int4", "int2", "numeric"})
_TEXTS: Final = frozenset({"text", "varchar", "bpchar", "citext", "uuid", "name"})
_FAMILIES: Final[dict[str, frozenset[str]]] = {
    "bigint": _WHOLE,
    "integer": _WHOLE,
    "numeric": frozenset({"numeric"}),
    "double precision": _NUMBERS,
    "boolean": frozenset({"bool"}),
    "text": _TEXTS,
    "date": frozenset({"date", "timestamp"}),
    "time": frozenset({"time"}),
    "timestamp": frozenset({"timestamp"}),
    "timestamptz": frozenset({"timestamptz"}),
}
"""For each type of a created table, the types that a column of an existing table may have.

A time with a zone does not fit ``timestamp``, because the server would drop its offset without an error.
"""

_COLUMNS: Final = """
    SELECT a.attname, coalesce(b.typname, t.typname), coalesce(b.typtype, t.typtype) = 'e',
           a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = nullif(t.typbasetype, 0)
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
"""
_UNIQUE: Final = """
    SELECT array_agg(a.attname::text)
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])
    WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL
    GROUP BY i.indexrelid
"""


@dataclass(frozen=True)
class TableName:
    """The name of a table as the specification has it: ``table``, or ``schema.table``."""

    text: str

    def __post_init__(self) -> None:
        parts = self.text.split(".")
        if len(parts) > 2 or not all(parts):
            raise ConfigError(f"output.sql.table {self.text!r} must have the form table or schema.table")
        for part in parts:
            check_length(part, "output.sql.table")

    @property
    def schema(self) -> str | None:
        """The schema, if the name has one."""
        return self.text.rpartition(".")[0] or None

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name."""
        return sql.Identifier(*self.text.split("."))


@dataclass(frozen=True)
class TableColumn:
    """A column of a table that exists. ``required`` means that every new row must have a value for it."""

    name: str
    type: str
    is_enum: bool
    required: bool


@dataclass(frozen=True)
class Table:
    """A table that exists. ``full_name`` is ``schema.table``, also if the specification has no schema."""

    oid: int
    full_name: str
    kind: str
    columns: dict[str, TableColumn]
    unique: tuple[frozenset[str], ...]

    @classmethod
    def find(cls, connection: psycopg.Connection[Any], name: TableName) -> Self | None:
        """Return the table, or ``None`` if it does not exist."""
        row = connection.execute(
            "SELECT c.oid, n.nspname || '.' || c.relname, c.relkind::text"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)",
            [name.identifier.as_string(connection)],
        ).fetchone()
        if row is None:
            return None
        oid, full_name, kind = row
        columns = [TableColumn(*values) for values in connection.execute(_COLUMNS, [oid])]
        unique = tuple(frozenset(names) for (names,) in connection.execute(_UNIQUE, [oid]))
        return cls(oid, full_name, kind, {column.name: column for column in columns}, unique)

    def check_kind(self) -> None:
        """Raise ConfigError unless this is a table, partitioned or not, with a column for the run."""
        if self.kind not in {"r", "p"}:
            raise ConfigError(
                f"output.sql.table: {self.full_name} is a view, a foreign table or the like; name a table"
            )
        if RUN not in self.columns:
            raise self._missing(RUN, "text")

    def check_keys(self, mode: Mode, keys: Sequence[str]) -> None:
        """Raise ConfigError if a key is no column, or if Upsert has no unique index over exactly the keys."""
        for key in keys:
            if key not in self.columns:
                raise ConfigError(
                    f"output.sql.keys: the table {self.full_name} has no column {key!r}; add it, or correct the keys"
                )
        if mode == "Upsert" and frozenset(keys) not in self.unique:
            listed = ", ".join(keys)
            raise ConfigError(
                f"output.sql.keys: the table {self.full_name} has no unique index on exactly ({listed}), which Upsert "
                f"needs; create it with CREATE UNIQUE INDEX ON {self.full_name} ({listed})"
            )

    def check_columns(self, schema: pa.Schema) -> None:
        """Raise ConfigError if a column is missing, has another family of types, or would stay without a value."""
        for field in schema:
            wanted = column_type(field)
            column = self.columns.get(field.name)
            if column is None:
                raise self._missing(field.name, wanted)
            if column.type not in _FAMILIES[wanted] and not (column.is_enum and wanted == "text"):
                raise ConfigError(
                    f"output.sql.table: the column {field.name!r} of {self.full_name} has the type {column.type}, but "
                    f"the predictions have {wanted}; change the type of the column, or name another table"
                )
        for column in self.columns.values():
            if column.required and column.name not in schema.names:
                raise ConfigError(
                    f"output.sql.table: the column {column.name!r} of {self.full_name} is NOT NULL without a default, "
                    "and the predictions do not have it; give it a default, or name another table"
                )

    def check_rights(self, connection: psycopg.Connection[Any], mode: Mode) -> None:
        """Raise NotPermitted if the role may not do what the mode needs, for no column of the table."""
        for right in _RIGHTS[mode]:
            # A right on some columns counts: the statement itself decides whether these are enough.
            allowed = (
                "SELECT has_table_privilege(%s::oid, %s)"
                if right == "DELETE"
                else "SELECT has_any_column_privilege(%s::oid, %s)"
            )
            if not _true(connection, allowed, [self.oid, right]):
                raise NotPermitted(
                    f"output.sql.table: the role of the URL may not {right} on {self.full_name}; run "
                    f"GRANT {', '.join(_RIGHTS[mode])} ON {self.full_name} TO that role"
                )

    def _missing(self, name: str, kind: str) -> ConfigError:
        return ConfigError(
            f"output.sql.table: {self.full_name} has no column {name!r}; add it with the type {kind}, or name another "
            "table"
        )


def check_creation(connection: psycopg.Connection[Any], name: TableName) -> None:
    """Raise TrainerError if the table cannot be created: its schema does not exist, or the role may not create."""
    row = connection.execute(
        "SELECT current_schema(), current_user, n.oid, has_schema_privilege(n.oid, 'CREATE')"
        " FROM (SELECT) one LEFT JOIN pg_namespace n ON n.nspname = coalesce(%s, current_schema())",
        [name.schema],
    ).fetchone()
    current, role, oid, allowed = row or (None, None, None, None)
    schema = name.schema or current
    if oid is None:
        raise _no_schema(name)
    if not allowed:
        raise NotPermitted(
            f"output.sql.table: {name.text} does not exist, and the role {role} may not create it in the schema "
            f"{schema}; create the table, or run GRANT CREATE ON SCHEMA {schema} TO {role}"
        )


def check_staging(connection: psycopg.Connection[Any]) -> None:
    """Raise NotPermitted if the role may not create temporary tables."""
    if not _true(connection, "SELECT has_database_privilege(current_database(), 'TEMPORARY')", []):
        raise NotPermitted(
            "output.sql: the role of the URL may not create temporary tables; run GRANT TEMPORARY ON DATABASE with the "
            "name of the database and of the role"
        )


def create_table(
    connection: psycopg.Connection[Any], name: TableName, schema: pa.Schema, unique: Sequence[str]
) -> None:
    """Create the table with the columns of the schema, and with a unique index if ``unique`` is not empty.

    A block-range index on the run is small, and finds the rows of one run without a scan of the whole table.
    """
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name.identifier, definitions(schema)))
    connection.execute(
        sql.SQL("CREATE INDEX ON {} USING brin ({}) WITH (autosummarize = on)").format(
            name.identifier, sql.Identifier(RUN)
        )
    )
    if unique:
        connection.execute(sql.SQL("CREATE UNIQUE INDEX ON {} ({})").format(name.identifier, identifiers(unique)))


def definitions(schema: pa.Schema) -> sql.Composed:
    """Return the columns of a schema with their types, for CREATE TABLE."""
    return sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(field.name), sql.SQL(column_type(field))) for field in schema
    )


def identifiers(names: Sequence[str]) -> sql.Composed:
    """Return quoted names with commas."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


def check_length(name: str, field: str) -> None:
    """Raise ConfigError if PostgreSQL would truncate a name."""
    if len(name.encode()) > _NAME_BYTES:
        raise ConfigError(
            f"{field}: the name {name!r} has more than {_NAME_BYTES} bytes, the limit of PostgreSQL; use a shorter "
            "name, or write files"
        )


def column_type(field: pa.Field) -> Any:
    """Return the type of a column in a created table. Raises Unsupported for types without an equivalent."""
    kind = value_type(field)
    tests: list[tuple[Any, str]] = [
        (pa.types.is_boolean, "boolean"),
        (lambda one: one in _INTEGERS, "integer"),
        (lambda one: one in {pa.int64(), pa.uint32()}, "bigint"),
        (lambda one: pa.types.is_decimal(one) or one == pa.uint64(), "numeric"),
        (pa.types.is_floating, "double precision"),
        (pa.types.is_date, "date"),
        (pa.types.is_time, "time"),
        (lambda one: pa.types.is_timestamp(one) and one.tz is None, "timestamp"),
        (pa.types.is_timestamp, "timestamptz"),
    ]
    return next((name for test, name in tests if test(kind)), "text")


_INTEGERS: Final = frozenset({pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16()})


def _true(connection: psycopg.Connection[Any], query: Any, values: list[Any]) -> bool:
    row = connection.execute(query, values).fetchone()
    return bool(row and row[0])


def _no_schema(name: TableName) -> TrainerError:
    if name.schema is None:
        return ConfigError(
            f"output.sql.table: no schema of the role's search path exists for {name.text!r}; write schema.table"
        )
    return ConfigError(f"output.sql.table: the schema {name.schema!r} does not exist; create it, or correct the name")
