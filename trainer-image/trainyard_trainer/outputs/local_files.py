"""Local files of predictions: Parquet, or CSV."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from trainyard_trainer.outputs.columns import value_type

Format = Literal["Parquet", "Csv"]
SUFFIXES: Final[dict[Format, str]] = {"Parquet": "parquet", "Csv": "csv"}


def write_file(path: Path, form: Format, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Write tables one after the other, and return the number of rows. Without rows, the file has only columns.

    Parquet is compressed with zstd. CSV is UTF-8 with a header. Its texts are in quotation marks (RFC 4180), a missing
    value is empty, and times are in ISO 8601, with the offset of their zone if they have one.

    Raises
    ------
    Unsupported
        If a column has a type that the format cannot represent.
    """
    return _write_parquet(path, schema, tables) if form == "Parquet" else _write_csv(path, schema, tables)


def _write_parquet(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
            rows += table.num_rows
    return rows


def _write_csv(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    kinds = [value_type(field) for field in schema]
    plain = [pa.string() if pa.types.is_timestamp(kind) else kind for kind in kinds]
    written = pa.schema(list(zip(schema.names, plain, strict=True)))
    rows = 0
    with pa.csv.CSVWriter(path, written) as writer:
        for table in tables:
            columns = [
                iso_texts(column.cast(kind)) if pa.types.is_timestamp(kind) else column.cast(kind)
                for column, kind in zip(table.columns, kinds, strict=True)
            ]
            writer.write_table(pa.table(columns, schema=written))
            rows += table.num_rows
    return rows


def iso_texts(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times as ISO 8601 text. A fraction of a second appears only where there is one.

    Each distinct time is formatted once, because times repeat in a panel and formatting is slow.
    """
    if times.null_count == len(times):
        return times.cast(pa.string())
    encoded = times.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    distinct = encoded.dictionary
    form = "%Y-%m-%dT%H:%M:%S" + ("%Ez" if distinct.type.tz else "")
    seconds = pc.floor_temporal(distinct, unit="second").cast(pa.timestamp("s", distinct.type.tz), safe=False)
    texts = pc.strftime(seconds, form)
    whole = pc.equal(seconds.cast(distinct.type), distinct)
    if not pc.all(whole).as_py():
        texts = pc.if_else(whole, texts, pc.strftime(distinct, form))
    return pa.chunked_array([texts.take(encoded.indices)])
