"""From a local file to a frame: CSV, Parquet or JSON lines, compressed or not. Reads only the columns that are needed.

Arrow reads; it uses all cores and keeps text once per distinct value. Its errors name no line, so that a failed read is
followed by :func:`trainyard_trainer.data.dialect.diagnose`.
"""

import difflib
import gzip
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal, cast

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
import zstandard

from trainyard_api.data import CsvOptions, Data
from trainyard_api.training import Task
from trainyard_trainer.data import dialect as dialects
from trainyard_trainer.data.sources import Source
from trainyard_trainer.errors import ConfigError, DataError

Format = Literal["Csv", "Parquet", "JsonLines"]

_SUFFIXES: Final[dict[str, Format]] = {
    ".csv": "Csv",
    ".tsv": "Csv",
    ".txt": "Csv",
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".jsonl": "JsonLines",
    ".ndjson": "JsonLines",
}
_COMPRESSED: Final = (".gz", ".zst")
_BLOCK: Final = 8 << 20
_MAX_DICTIONARY: Final = 10_000
"""Text columns with more distinct values in a block are kept as plain text."""


@dataclass(frozen=True)
class Wanted:
    """What the specification needs of a table.

    ``columns`` is ``None`` where every column may become a feature; ``excluded`` ones are not read then. ``texts`` are
    kept as they are written: a product called ``007`` is not the number 7.
    """

    required: tuple[str, ...]
    columns: tuple[str, ...] | None
    excluded: tuple[str, ...]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, data: Data, task: Task) -> "Wanted":
        """Derive it from a specification. A forecast needs its roles alone."""
        roles = [column for column in (data.time, data.series, data.group) if column]
        listed = None if task != "Forecast" and not data.features else [data.target, *roles, *(data.features or ())]
        texts = [column for column in (data.series, data.group) if column]
        if task == "Classification":
            texts.append(data.target)
        return cls(
            required=tuple(dict.fromkeys([data.target, *roles, *(data.features or ())])),
            columns=None if listed is None else tuple(dict.fromkeys(listed)),
            excluded=tuple(column for column in data.exclude or () if column not in {data.target, *roles}),
            texts=tuple(texts),
        )

    def select(self, present: Sequence[str]) -> list[str]:
        """Return the columns to read of those present.

        Raises
        ------
        DataError
            That names the missing columns and the nearest, or a name that stands twice.
        """
        repeated = [name for name, count in Counter(present).items() if count > 1]
        if repeated:
            raise DataError(f"the table names a column twice: {', '.join(map(repr, repeated[:5]))}; rename one of them")
        missing = [column for column in self.required if column not in present]
        if missing:
            raise DataError(_missing_sentence(missing, present))
        return [
            name for name in present if (self.columns is None or name in self.columns) and name not in self.excluded
        ]


def read(source: Source, data: Data, task: Task) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read the table of a job.

    Returns
    -------
    The frame (columns in the order of the file), and notes on how it was read.

    Raises
    ------
    DataError
        The file is empty, broken, or lacks a column; the sentence names the address and, for text, the line.
    """
    wanted = Wanted.of(data, task)
    layout = _format(source, data)
    try:
        match layout:
            case "Csv":
                table, note = _read_csv(source, data.csv or CsvOptions(), wanted)
            case "Parquet":
                table, note = _read_parquet(source, wanted), "Parquet"
            case "JsonLines":
                table, note = _read_json(source, wanted), "JSON lines"
    except DataError as error:
        raise DataError(f"{source.uri}: {error}") from error
    except (gzip.BadGzipFile, zstandard.ZstdError, EOFError) as error:
        raise DataError(f"{source.uri}: its compression is broken ({error}); upload the file again") from error
    if table.num_rows == 0:
        raise DataError(f"{source.uri}: the table has columns and no rows; training needs rows")
    if layout != "Csv":
        _require_text(table, source.uri)
    # self_destruct frees each column as soon as it is converted, so that the table is in memory once.
    frame = table.to_pandas(split_blocks=True, self_destruct=True, date_as_object=False)
    return frame, (note,)


def _format(source: Source, data: Data) -> Format:
    if data.format != "Auto":
        return data.format
    suffixes = [suffix.lower() for suffix in Path(source.name).suffixes if suffix.lower() not in _COMPRESSED]
    found = _SUFFIXES.get(suffixes[-1]) if suffixes else None
    if found is None:
        known = ", ".join(_SUFFIXES)
        raise ConfigError(f"{source.uri}: its format is not known by its name ({known}); set data.format")
    return found


def _open(source: Source) -> IO[bytes]:
    if source.name.lower().endswith(".gz"):
        return cast("IO[bytes]", gzip.open(source.path, "rb"))
    if source.name.lower().endswith(".zst"):
        return cast("IO[bytes]", zstandard.open(source.path, "rb"))
    return source.path.open("rb")


def _read_csv(source: Source, options: CsvOptions, wanted: Wanted) -> tuple[pa.Table, str]:
    with _open(source) as file:
        head = file.read(dialects.HEAD_BYTES)
        dialect = dialects.detect(
            head,
            complete=len(head) < dialects.HEAD_BYTES,
            encoding=dialects.check_encoding(options.encoding),
            separator=None if options.separator == "Auto" else _separator(options.separator),
            decimal=None if options.decimal == "Auto" else options.decimal,
            expected=wanted.required,
        )
    columns = wanted.select(dialect.header)
    try:
        table = _arrow_csv(source, dialect, columns, wanted)
    except pa.ArrowInvalid as error:
        with _open(source) as file:
            reason = dialects.diagnose(file, dialect)
        raise DataError(reason or str(error)) from error
    if any(_is_binary(kind) for kind in table.schema.types) or _quotes_are_odd(source):
        with _open(source) as file:
            reason = dialects.diagnose(file, dialect)
        if reason is not None:
            raise DataError(reason)
    return table, dialect.describe()


def _arrow_csv(source: Source, dialect: dialects.Dialect, columns: list[str], wanted: Wanted) -> pa.Table:
    text = pa.dictionary(pa.int32(), pa.string())
    with _open(source) as file:
        return pyarrow.csv.read_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK, encoding=_arrow_encoding(dialect.encoding)),
            parse_options=pyarrow.csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=columns,
                column_types={name: text for name in wanted.texts if name in columns},
                strings_can_be_null=True,
                auto_dict_encode=True,
                auto_dict_max_cardinality=_MAX_DICTIONARY,
                decimal_point=dialect.decimal,
            ),
        )


def _arrow_encoding(encoding: str) -> str:
    # By this very name Arrow skips its transcoding in Python.
    return "utf8" if encoding == "utf-8" else encoding


def _separator(given: str) -> str:
    separator = {"\\t": "\t", "tab": "\t"}.get(given.lower(), given)
    if len(separator) != 1:
        raise ConfigError(f"data.csv.separator {given!r} must be one character, or Auto")
    return separator


def _is_binary(kind: pa.DataType) -> bool:
    """Tell the type that Arrow gives to text which is not UTF-8."""
    return bool(pa.types.is_binary(kind.value_type if pa.types.is_dictionary(kind) else kind))


def _quotes_are_odd(source: Source) -> bool:
    """Tell whether a quotation mark may be missing: Arrow takes the rest of the file as one field, without an error."""
    count = 0
    with _open(source) as file:
        while chunk := file.read(_BLOCK):
            count += chunk.count(b'"')
    return count % 2 == 1


def _read_parquet(source: Source, wanted: Wanted) -> pa.Table:
    try:
        with _open(source) as file:
            parquet = pyarrow.parquet.ParquetFile(pa.PythonFile(file) if _is_compressed(source) else source.path)
            return parquet.read(columns=_plain_columns(parquet.schema_arrow, wanted))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"it is not a readable Parquet file ({error}); upload it again") from error


def _require_text(table: pa.Table, uri: str) -> None:
    """Refuse text that is not UTF-8: these formats promise it, and Arrow reads it unseen."""
    for name in table.column_names:
        try:
            table[name].validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(f"{uri}: column {name!r}: {error}; write the file again, with text in UTF-8") from error


def _is_compressed(source: Source) -> bool:
    return source.name.lower().endswith(_COMPRESSED)


def _read_json(source: Source, wanted: Wanted) -> pa.Table:
    try:
        with _open(source) as file:
            table = pyarrow.json.read_json(file)
    except pa.ArrowInvalid as error:
        raise DataError(f"it is not one JSON object per line ({error}); write it as JSON lines") from error
    return table.select(_plain_columns(table.schema, wanted))


def _plain_columns(schema: pa.Schema, wanted: Wanted) -> list[str]:
    """Return the columns to read; lists and objects are no features, and have no other role."""
    nested = {field.name: field.type for field in schema if pa.types.is_nested(field.type)}
    for name in wanted.required:
        if name in nested:
            raise DataError(f"column {name!r} holds {nested[name]}; name a column of plain values")
    return [name for name in wanted.select(schema.names) if name not in nested]


def _missing_sentence(missing: Sequence[str], present: Sequence[Any]) -> str:
    names = [str(name) for name in present]
    parts = []
    for column in missing:
        folded = {name.casefold(): name for name in names}
        near = [folded[name] for name in difflib.get_close_matches(column.casefold(), folded, n=3, cutoff=0.6)]
        hint = f" (nearest: {', '.join(map(repr, near))})" if near else ""
        parts.append(f"{column!r}{hint}")
    shown = ", ".join(map(repr, names[:12])) + (", ..." if len(names) > 12 else "")
    return f"the table has no column {', '.join(parts)}; it has {shown}"
