"""Read a local file into a frame: CSV, Parquet or JSON lines, compressed or not. Only required columns are read.

Arrow reads the files. It uses all cores and dictionary-encodes text. Errors of Arrow do not name a line. So after a
failed read, :func:`trainyard_trainer.data.formats.diagnosis.diagnose` finds it.
"""

import gzip
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
import zstandard

from trainyard_api.data import CsvOptions
from trainyard_trainer.data.dataset import FileRows, Finding
from trainyard_trainer.data.formats import jsonlines
from trainyard_trainer.data.formats.delimited import read_csv
from trainyard_trainer.data.formats.detection import FormatName, format_of, is_compressed, open_file
from trainyard_trainer.data.notation import UNKNOWN, Notation
from trainyard_trainer.data.sources.files import File, Source
from trainyard_trainer.data.sources.stacking import stack
from trainyard_trainer.data.wanted import Part, Wanted
from trainyard_trainer.errors import ConfigError, DataError

_BLOCK: Final = 8 << 20
_NAMED: Final = 5
_NO_FOLDER: Final = "__HIVE_DEFAULT_PARTITION__"
"""Name of a Hive partition folder for rows without a value."""


@dataclass(frozen=True)
class Read:
    """A table after it is read.

    Attributes
    ----------
    frame
        The columns, in the order of the first file.
    notes
        Notes about how the table was read.
    files
        Number of rows of each file.
    notation
        The known notation of numbers that are text.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    files: tuple[FileRows, ...] = ()
    findings: tuple[Finding, ...] = ()
    notation: Notation = UNKNOWN


def read(source: Source, wanted: Wanted, layout: FormatName = "Auto", options: CsvOptions | None = None) -> Read:
    """Read the files of a table and concatenate them.

    A folder ``store=7`` in the address of a file becomes a column ``store``, unless the file has a column with this
    name.

    Raises
    ------
    DataError
        A file is empty, broken, lacks a column, or has other columns than the first one. The message names its address
        and, for text, the line.
    """
    parts = [_read_file(source, file, wanted, layout, options or CsvOptions()) for file in source.files]
    _require_same_columns(source.files, parts)
    rows = tuple(FileRows(file.uri, part.table.num_rows) for file, part in zip(source.files, parts, strict=True))
    notes = tuple(dict.fromkeys(part.note for part in parts))
    if len(parts) > 1:
        notes = (f"{len(parts)} files below {source.folder}", *notes)
    table = stack([part.table for part in parts])
    findings = _findings(parts)
    notations = {part.notation for part in parts}
    del parts  # release the parts before the conversion, to keep only one copy
    if table.num_rows == 0:
        raise DataError(f"{source.uri}: the table has columns but no rows; give a table with rows")
    notation = notations.pop() if len(notations) == 1 else UNKNOWN
    return Read(to_frame(table, wanted.texts, wanted.exact), notes, rows, findings, notation)


def _findings(parts: Sequence["Part"]) -> tuple[Finding, ...]:
    found = []
    headers = sum(part.headers for part in parts)
    if headers:
        text = f"the header line occurs {headers} times among the rows; these lines are left out"
        found.append(Finding("RepeatedHeader", "warning", text, count=headers))
    repeated = dict.fromkeys(name for part in parts for name, count in Counter(part.names).items() if count > 1)
    if repeated:
        names = ", ".join(map(repr, [*repeated][:_NAMED]))
        text = f"columns with a repeated name are left out: {names}; rename them"
        found.append(Finding("RepeatedNames", "warning", text, count=len(repeated)))
    return tuple(found)


def files_to_hash(source: Source, layout: FormatName) -> list[File]:
    """Return the files that :func:`read` does not hash. It only hashes uncompressed delimited text."""
    return [file for file in source.files if is_compressed(file) or _has_other_format(file, layout)]


def _has_other_format(file: File, layout: FormatName) -> bool:
    try:
        return format_of(file, layout) != "Csv"
    except (DataError, ConfigError):
        return False  # nothing to hash: the reader raises the same error


def to_frame(table: pa.Table, texts: Sequence[str] = (), exact: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table as a pandas frame. ``table`` cannot be used afterwards.

    Metadata of pandas, such as the index or nullable types, is ignored. In ``texts``, integers with missing values stay
    integers: 101, not 101.0. In ``exact``, they also keep their type.
    """
    whole = {
        field.name: table.column(index).cast(pa.int64()).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
        for index, field in enumerate(table.schema)
        if field.name in exact and table.column(index).null_count and _fits_int64(field.type)
    }
    for index, field in enumerate(table.schema):
        column = _as_plain(table.column(index), is_text=field.name in texts)
        if column.type != field.type:
            table = table.set_column(index, field.name, column)
    # self_destruct frees each column after its conversion, so that only one copy of the table is in memory.
    frame: pd.DataFrame = table.to_pandas(
        split_blocks=True, self_destruct=True, date_as_object=False, ignore_metadata=True
    )
    return frame.assign(**whole) if whole else frame


def _fits_int64(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) and not pa.types.is_uint64(kind)


def _as_plain(column: pa.ChunkedArray, *, is_text: bool) -> pa.ChunkedArray:
    """Return a column in a type that pandas supports with missing values."""
    kind = column.type
    if pa.types.is_dictionary(kind) and not pa.types.is_string(kind.value_type):
        column = column.cast(kind.value_type)
        kind = column.type
    if is_text and column.null_count and _is_whole(column):
        return column.cast(pa.int64()).cast(pa.string()).dictionary_encode()
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        return column.cast(pa.float64())
    return column


def _is_whole(column: pa.ChunkedArray) -> bool:
    """Return whether a column has only integer values."""
    kind = column.type
    if pa.types.is_integer(kind):
        return True
    if not pa.types.is_floating(kind) or column.null_count == len(column):
        return False
    is_same = pyarrow.compute.equal(column, pyarrow.compute.round(column))
    return bool(pyarrow.compute.all(is_same).as_py())


def _read_file(source: Source, file: File, wanted: Wanted, layout: FormatName, options: CsvOptions) -> Part:
    folders = _folders(file.uri)
    try:
        match format_of(file, layout):
            case "Csv":
                return _with_folders(read_csv(source, file, options, wanted, folders), folders, wanted)
            case "Parquet":
                part = _read_parquet(file, wanted, folders)
            case "JsonLines":
                part = _read_json(file, wanted, folders)
        _require_text(part.table)
    except DataError as error:
        raise DataError(f"{file.uri}: {error}") from error
    except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError, EOFError) as error:
        raise DataError(f"{file.uri}: the compressed file is damaged ({error}); upload the file again") from error
    return _with_folders(part, folders, wanted)


def _folders(uri: str) -> dict[str, str]:
    """Return the columns of a file from the folders of its address: ``store=7/`` is a column ``store``."""
    names = [unquote(part).partition("=") for part in uri.partition("://")[2].split("/")[:-1]]
    return {name: value for name, sign, value in names if sign and name}


def _with_folders(part: Part, folders: dict[str, str], wanted: Wanted) -> Part:
    table = part.table
    for name in wanted.select([*part.names, *(name for name in folders if name not in part.names)]):
        if name in part.names:
            continue
        value = None if folders[name] == _NO_FOLDER else folders[name]
        column = pa.chunked_array([pa.repeat(pa.scalar(value, pa.string()), table.num_rows)])
        table = table.append_column(name, column.dictionary_encode())
    names = (*part.names, *(name for name in folders if name not in part.names))
    return replace(part, table=table, names=names)


def _require_same_columns(files: Sequence[File], parts: Sequence[Part]) -> None:
    first = set(parts[0].names)
    for file, part in zip(files[1:], parts[1:], strict=True):
        lacking, more = sorted(first - set(part.names)), sorted(set(part.names) - first)
        if lacking or more:
            words = [f"lacks the columns {', '.join(map(repr, lacking[:_NAMED]))}"] if lacking else []
            words += [f"has the additional columns {', '.join(map(repr, more[:_NAMED]))}"] if more else []
            raise DataError(
                f"{file.uri} {' and '.join(words)}, compared with {files[0].uri}; all files of one table need the same "
                "columns"
            )


def _read_parquet(file: File, wanted: Wanted, folders: dict[str, str]) -> Part:
    where: Path | pa.BufferReader = file.path
    if is_compressed(file):
        with open_file(file) as content:
            where = pa.BufferReader(content.read())  # Parquet is read from its end, which needs a seekable stream
    try:
        with pyarrow.parquet.ParquetFile(where) as parquet:
            schema = parquet.schema_arrow
            table = parquet.read(columns=_plain_columns(schema, wanted, folders))
            return Part(table, tuple(schema.names), "Parquet")
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"the file is not a readable Parquet file ({error}); upload it again") from error


def _require_text(table: pa.Table) -> None:
    """Raise DataError for text that is not UTF-8. These formats require it, but Arrow does not check it."""
    for name in table.column_names:
        try:
            table[name].validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(f"column {name!r}: {error}; write the file again, with text in UTF-8") from error


def _read_json(file: File, wanted: Wanted, folders: dict[str, str]) -> Part:
    try:
        with open_file(file) as content:
            table = pyarrow.json.read_json(content, pyarrow.json.ReadOptions(block_size=_BLOCK))
    except pa.ArrowInvalid as error:
        if file.size_bytes == 0:
            raise DataError("the file is empty: it needs one JSON object per line") from error
        with open_file(file) as content:
            reason = jsonlines.diagnose(content)
        raise DataError(reason or f"the file cannot be read ({error}); write one JSON object per line") from error
    if not table.column_names:
        raise DataError('its JSON objects have no fields; write each row as {"column": value, ...}')
    columns = _plain_columns(table.schema, wanted, folders)
    return Part(table.select(columns), tuple(table.column_names), "JSON lines")


def _plain_columns(schema: pa.Schema, wanted: Wanted, folders: dict[str, str]) -> list[str]:
    """Return the columns to read. Lists and objects are left out, because they have no role."""
    nested = {field.name: field.type for field in schema if pa.types.is_nested(field.type)}
    for name in wanted.required:
        if name in nested:
            raise DataError(f"column {name!r} has the type {nested[name]}; use a column of single values")
    found = wanted.select([*schema.names, *(name for name in folders if name not in schema.names)])
    return [name for name in found if name in schema.names and name not in nested]
