"""Tables of one schema, in pieces of a fixed number of rows, and the columns that an output can write."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import pyarrow as pa

from trainyard_trainer.errors import Unsupported

PIECE: Final = 131_072
"""Rows of a piece: a row group of a Parquet file, or one COPY."""


def pieces(tables: Iterable[pa.Table], schema: pa.Schema, go_on: Callable[[], None]) -> Iterator[pa.Table]:
    """Yield the rows of all tables in pieces of :data:`PIECE` rows, the last one smaller.

    A table can have few rows, e.g. those of one series. At most one table and one piece are held.
    """
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        fitting = table if table.schema.equals(schema) else table.select(schema.names).cast(schema)
        while rows + fitting.num_rows >= PIECE:
            used = PIECE - rows
            yield _joined([*held, fitting.slice(0, used)])
            fitting, held, rows = fitting.slice(used), [], 0
        if fitting.num_rows:
            held.append(fitting)
            rows += fitting.num_rows
        go_on()
    if held:
        yield _joined(held)


def _joined(tables: list[pa.Table]) -> pa.Table:
    """Join tables, and the chunks of each column: writers are slow with many small chunks."""
    return pa.concat_tables(tables).combine_chunks()


def value_type(field: pa.Field) -> pa.DataType:
    """Return the type of a column's values.

    Raises Unsupported for nested values, bytes and durations, which have no common form in files and tables.
    """
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if (
        pa.types.is_nested(kind)
        or pa.types.is_duration(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    ):
        raise Unsupported(
            f"the column {field.name!r} of the predictions has the type {kind}, which cannot be written; leave it out "
            "of spec.data.keep"
        )
    return kind
