"""From a local file to a frame: CSV, Parquet or JSON lines, compressed or not. Reads only the columns that are needed.

Arrow reads; it uses all cores and keeps text once per distinct value. Its errors name no line, so that a failed read is
followed by :func:`trainyard_trainer.data.dialect.diagnose`.
"""

import difflib
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
import zstandard

from trainyard_api.data import CsvOptions, Data
from trainyard_api.training import Task
from trainyard_trainer.data import dialect as dialects
from trainyard_trainer.data import jsonlines
from trainyard_trainer.data.dataset import FileRows
from trainyard_trainer.data.formats import FormatName, format_of, is_compressed, open_file
from trainyard_trainer.data.lines import Lines, memory_pool
from trainyard_trainer.data.sources import File, Source
from trainyard_trainer.data.stacking import stack
from trainyard_trainer.errors import ConfigError, DataError

_BLOCK: Final = 8 << 20
_SMALL_BLOCK: Final = 1 << 20
"""Of a size that the cache of one core holds."""

_MISSING: Final[list[str]] = pyarrow.csv.ConvertOptions().null_values
"""Nothing at all, and the words for it. To look for words takes Arrow a tenth of its time."""

_SPELLED_MISSING: Final = {word.encode() for word in _MISSING if word}
_FIELD_ENDS: Final = re.compile(rb'[,;\t|"\r\n]+')

_NAMED: Final = 5
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
    def of(cls, data: Data, task: Task, also: Sequence[str] = ()) -> "Wanted":
        """Derive it from a specification. A forecast needs its roles alone; ``also`` are read where they are there."""
        roles = [column for column in (data.time, data.series, data.group, data.key) if column]
        listed = (
            None if task != "Forecast" and not data.features else [data.target, *roles, *(data.features or ()), *also]
        )
        texts = [column for column in (data.series, data.group) if column]
        if task == "Classification":
            texts.append(data.target)
        return cls(
            required=tuple(dict.fromkeys([data.target, *roles, *(data.features or ())])),
            columns=None if listed is None else tuple(dict.fromkeys(listed)),
            excluded=tuple(column for column in data.exclude or () if column not in {data.target, *roles, *also}),
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


def read(
    source: Source, wanted: Wanted, layout: FormatName = "Auto", options: CsvOptions | None = None
) -> tuple[pd.DataFrame, tuple[str, ...], tuple[FileRows, ...]]:
    """Read the files of a table, one below the other.

    Returns
    -------
    The frame (columns in the order of the first file), notes on how it was read, and how many rows each file gave.

    Raises
    ------
    DataError
        A file is empty, broken, lacks a column, or has other columns than the first one; the sentence names its address
        and, for text, the line.
    """
    parts = [_read_file(source, file, wanted, layout, options or CsvOptions()) for file in source.files]
    _require_same_columns(source.files, parts)
    rows = tuple(FileRows(file.uri, part.table.num_rows) for file, part in zip(source.files, parts, strict=True))
    notes = tuple(dict.fromkeys(part.note for part in parts))
    if len(parts) > 1:
        notes = (f"{len(parts)} files below {source.folder}", *notes)
    table = stack([part.table for part in parts])
    del parts  # else each column would be there twice while it is converted
    if table.num_rows == 0:
        raise DataError(f"{source.uri}: the table has columns and no rows; training needs rows")
    return to_frame(table), notes, rows


def hashed_beside(source: Source, layout: FormatName) -> list[File]:
    """Return the files that :func:`read` does not hash on its way: it does so with text as it lies on disk."""
    return [file for file in source.files if is_compressed(file) or _has_other_format(file, layout)]


def _has_other_format(file: File, layout: FormatName) -> bool:
    try:
        return format_of(file, layout) != "Csv"
    except (DataError, ConfigError):
        return False  # nothing to hash: reading it ends with this error


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table as pandas has it; ``table`` is of no use afterwards."""
    # self_destruct frees each column as soon as it is converted, so that the table is in memory once.
    frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True, date_as_object=False)
    return frame


@dataclass(frozen=True)
class _Part:
    """One file: the columns that are needed, and the names of all that it has."""

    table: pa.Table
    names: tuple[str, ...]
    note: str


def _read_file(source: Source, file: File, wanted: Wanted, layout: FormatName, options: CsvOptions) -> _Part:
    try:
        match format_of(file, layout):
            case "Csv":
                return _read_csv(source, file, options, wanted)
            case "Parquet":
                part = _read_parquet(file, wanted)
            case "JsonLines":
                part = _read_json(file, wanted)
        _require_text(part.table)
    except DataError as error:
        raise DataError(f"{file.uri}: {error}") from error
    except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError, EOFError) as error:
        raise DataError(f"{file.uri}: its compression is broken ({error}); upload the file again") from error
    return part


def _require_same_columns(files: Sequence[File], parts: Sequence[_Part]) -> None:
    first = set(parts[0].names)
    for file, part in zip(files[1:], parts[1:], strict=True):
        lacking, more = sorted(first - set(part.names)), sorted(set(part.names) - first)
        if lacking or more:
            words = [f"lacks {', '.join(map(repr, lacking[:_NAMED]))}"] if lacking else []
            words += [f"has {', '.join(map(repr, more[:_NAMED]))} more"] if more else []
            raise DataError(
                f"{file.uri} {' and '.join(words)} than {files[0].uri}; all files of one table need the same columns"
            )


def _read_csv(source: Source, file: File, options: CsvOptions, wanted: Wanted) -> _Part:
    with open_file(file) as content:
        head = content.read(dialects.HEAD_BYTES)
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
        table = _plain_csv(source, file, dialect, columns, wanted, head)
        is_plain = table is not None
        if table is None:
            with open_file(file) as content:
                table = _arrow_csv(content, dialect, columns, wanted, _MISSING, feeds_in_fields=True)
    except pa.ArrowInvalid as error:
        with open_file(file) as content:
            reason = dialects.diagnose(content, dialect)
        raise DataError(reason or str(error)) from error
    if any(_is_binary(kind) for kind in table.schema.types) or (not is_plain and _quotes_are_odd(file)):
        with open_file(file) as content:
            reason = dialects.diagnose(content, dialect)
        if reason is not None:
            raise DataError(reason)
    return _Part(table, dialect.header, dialect.describe())


def _plain_csv(
    source: Source, file: File, dialect: dialects.Dialect, columns: list[str], wanted: Wanted, head: bytes
) -> pa.Table | None:
    """Read a table as most are, with a row in each line and nothing where a value is missing: faster by a third.

    ``None`` where a field holds a line feed, or may.
    """
    if _SPELLED_MISSING.isdisjoint(_FIELD_ENDS.split(head)):
        table = _lines_as_rows(source, file, dialect, columns, wanted, missing=[""])
        if table is None or not _spells_missing(table):
            return table
    return _lines_as_rows(source, file, dialect, columns, wanted, missing=_MISSING)


def _lines_as_rows(
    source: Source, file: File, dialect: dialects.Dialect, columns: list[str], wanted: Wanted, missing: list[str]
) -> pa.Table | None:
    # Arrow notices most fields with line feeds, not all. Only where it made as many rows as there are lines, each line
    # is a row for certain; then none but the last can lack a quotation mark.
    with open_file(file) as content:
        lines = Lines(content, memory_pool(), source.go_on)
        try:
            table = _arrow_csv(lines, dialect, columns, wanted, missing, feeds_in_fields=False)
        except pa.ArrowInvalid:
            return None
    if not is_compressed(file):
        source.hashes[file.path] = lines.sha256
    return table if table.num_rows + 1 == lines.count and lines.quotes_in_last % 2 == 0 else None


def _spells_missing(table: pa.Table) -> bool:
    """Tell whether a word for a missing value was taken for text."""
    words = pa.array(_MISSING)
    for column in table.unify_dictionaries().columns:
        kind = column.type
        if pa.types.is_dictionary(kind):
            values = column.chunk(0).dictionary if column.num_chunks else pa.array([], kind.value_type)
        elif pa.types.is_string(kind):
            values = column
        else:
            continue
        if pyarrow.compute.any(pyarrow.compute.is_in(values, words)).as_py():
            return True
    return False


def _arrow_csv(
    content: IO[bytes] | io.RawIOBase,
    dialect: dialects.Dialect,
    columns: list[str],
    wanted: Wanted,
    missing: list[str],
    *,
    feeds_in_fields: bool,
) -> pa.Table:
    text = pa.dictionary(pa.int32(), pa.string())
    return pyarrow.csv.read_csv(
        content,
        read_options=pyarrow.csv.ReadOptions(
            block_size=_BLOCK if feeds_in_fields else _SMALL_BLOCK, encoding=_arrow_encoding(dialect.encoding)
        ),
        parse_options=pyarrow.csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=feeds_in_fields),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=columns,
            column_types={name: text for name in wanted.texts if name in columns},
            null_values=missing,
            strings_can_be_null=True,
            auto_dict_encode=True,
            auto_dict_max_cardinality=_MAX_DICTIONARY,
            decimal_point=dialect.decimal,
        ),
        memory_pool=memory_pool(),
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


def _quotes_are_odd(file: File) -> bool:
    """Tell whether a quotation mark may be missing: Arrow takes the rest of the file as one field, without an error."""
    count = 0
    with open_file(file) as content:
        while chunk := content.read(_BLOCK):
            count += chunk.count(b'"')
    return count % 2 == 1


def _read_parquet(file: File, wanted: Wanted) -> _Part:
    where: Path | pa.BufferReader = file.path
    if is_compressed(file):
        with open_file(file) as content:
            where = pa.BufferReader(content.read())  # Parquet is read from its end, which such a stream cannot find
    try:
        with pyarrow.parquet.ParquetFile(where) as parquet:
            schema = parquet.schema_arrow
            return _Part(parquet.read(columns=_plain_columns(schema, wanted)), tuple(schema.names), "Parquet")
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"it is not a readable Parquet file ({error}); upload it again") from error


def _require_text(table: pa.Table) -> None:
    """Refuse text that is not UTF-8: these formats promise it, and Arrow reads it unseen."""
    for name in table.column_names:
        try:
            table[name].validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(f"column {name!r}: {error}; write the file again, with text in UTF-8") from error


def _read_json(file: File, wanted: Wanted) -> _Part:
    try:
        with open_file(file) as content:
            table = pyarrow.json.read_json(content, pyarrow.json.ReadOptions(block_size=_BLOCK))
    except pa.ArrowInvalid as error:
        if file.size_bytes == 0:
            raise DataError("the file is empty: it needs one JSON object per line") from error
        with open_file(file) as content:
            reason = jsonlines.diagnose(content)
        raise DataError(reason or f"it is not one JSON object per line ({error}); write it as JSON lines") from error
    if not table.column_names:
        raise DataError('its JSON objects hold nothing; write each row as {"column": value, ...}')
    return _Part(table.select(_plain_columns(table.schema, wanted)), tuple(table.column_names), "JSON lines")


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
