"""Concatenate tables with the same columns. The types were inferred for each file, so they can differ."""

from collections.abc import Sequence

import pyarrow as pa


def stack(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the tables as one, with the columns in the order of the first.

    If a column is integer in one file and float in another, it becomes float. If it is text in any file, it becomes
    text in all. So the message about a word among numbers is the same for one file and for many.
    """
    if len(tables) == 1:
        return tables[0]
    names = tables[0].column_names
    types = {name: common_type([table.schema.field(name).type for table in tables]) for name in names}
    alike = [
        pa.table({name: _cast(table[name], types[name]) for name in names}) if names else table for table in tables
    ]
    return pa.concat_tables(alike)


def common_type(types: Sequence[pa.DataType]) -> pa.DataType:
    """Return the type that can hold the values of all of these types."""
    distinct = [kind for kind in dict.fromkeys(types) if not pa.types.is_null(kind)]
    if len(distinct) <= 1:
        return distinct[0] if distinct else pa.null()
    values = list(dict.fromkeys(kind.value_type if pa.types.is_dictionary(kind) else kind for kind in distinct))
    if len(values) == 1:
        return values[0]
    if all(pa.types.is_integer(kind) for kind in values):
        return pa.int64()
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in values):
        return pa.float64()
    if all(pa.types.is_temporal(kind) and not pa.types.is_time(kind) for kind in values):
        zones = {kind.tz for kind in values if pa.types.is_timestamp(kind)}
        if len(zones) == 1:
            return pa.timestamp("us", tz=zones.pop())
    return pa.string()


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return column if column.type == kind else column.cast(kind)
