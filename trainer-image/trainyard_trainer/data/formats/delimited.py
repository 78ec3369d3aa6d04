"""Read delimited text such as CSV with Arrow. Irregular files are normalized first.

Errors of Arrow do not name a line. So after a failed read, :func:`trainyard_trainer.data.formats.diagnosis.diagnose`
finds it.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import IO, Final

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from trainyard_api.data import CsvOptions
from trainyard_trainer.data.formats import dialect as dialects
from trainyard_trainer.data.formats.detection import is_compressed, open_file
from trainyard_trainer.data.formats.diagnosis import diagnose
from trainyard_trainer.data.formats.lines import Lines, memory_pool
from trainyard_trainer.data.formats.tidy import PLAIN_SEPARATOR, Tidied
from trainyard_trainer.data.sources.files import File, Source
from trainyard_trainer.data.wanted import Part, Wanted
from trainyard_trainer.errors import ConfigError, DataError

_BLOCK: Final = 8 << 20
_SMALL_BLOCK: Final = 1 << 20
"""A block that fits in the cache of one core."""

_MISSING: Final[list[str]] = pyarrow.csv.ConvertOptions().null_values
"""Spellings of a missing value, including the empty field. To check for the words takes Arrow a tenth of its time."""

_FIELD_ENDS: Final = re.compile(rb'[,;\t|"\r\n]+')

_LEADING_ZERO: Final = r"^[+-]?0\d"
_NUMBER: Final = r"^[+-]?(\d{{1,15}}|\d*{decimal}\d+)([eE][+-]\d+)?$"
"""A number that has no more digits than a float keeps. Without its sign, an exponent can be a part of a name: 12e3."""

_MAX_DICTIONARY: Final = 10_000
"""Text columns with more distinct values in a block are not dictionary-encoded."""


@dataclass(frozen=True)
class _Text:
    """One text table and its read options."""

    source: Source
    file: File
    dialect: dialects.Dialect
    columns: list[str]
    wanted: Wanted
    missing: list[str]


def read_csv(source: Source, file: File, options: CsvOptions, wanted: Wanted, folders: dict[str, str]) -> Part:
    """Read a text table. ``folders`` are columns from its address. Raises DataError, which names the line."""
    with open_file(file) as content:
        head = content.read(dialects.HEAD_BYTES)
    dialect = dialects.detect(
        head,
        complete=len(head) < dialects.HEAD_BYTES,
        given=_given(options),
        expected=[name for name in wanted.required if name not in folders],
    )
    missing = _MISSING if options.nulls is None else ["", *options.nulls]
    text = _Text(source, file, dialect, _selected(dialect.header, wanted, folders), wanted, missing)
    table = None if dialect.untidy else _tidy_already(text, head)
    headers = 0
    if table is None or _repeats_header(table):
        table, headers = _untidy_csv(text)
    return Part(_without_empty(table), dialect.header, dialect.describe(), dialect.notation, headers)


def _given(options: CsvOptions) -> dialects.Given:
    return dialects.Given(
        encoding=dialects.check_encoding(options.encoding),
        separator=None if options.separator == "Auto" else _separator(options.separator),
        decimal=None if options.decimal == "Auto" else options.decimal,
        thousands={"Auto": None, "None": ""}.get(options.thousands, options.thousands),
        skip_lines=options.skip_lines,
        header=options.header,
        comment=options.comment,
    )


def _selected(header: Sequence[str], wanted: Wanted, folders: dict[str, str]) -> list[str]:
    try:
        return [
            name
            for name in wanted.select([*header, *(name for name in folders if name not in header)])
            if name in header
        ]
    except DataError as error:
        if any(any(character.isalpha() for character in name) for name in header):
            raise
        raise DataError(
            f"{error}. The first line of the file looks like a row. If the file has no header line, set "
            "data.csv.header to Absent; the columns are then named column1, column2, ..."
        ) from error


def _tidy_already(text: _Text, head: bytes) -> pa.Table | None:
    """Read a regular table. Return ``None`` if it turns out to be irregular."""
    try:
        table = _plain_csv(text, head)
        is_plain = table is not None
        if table is None:
            with open_file(text.file) as content:
                table = _arrow_csv(content, text, text.missing, feeds_in_fields=True)
    except pa.ArrowInvalid:
        return None
    if any(_is_binary(kind) for kind in table.schema.types) or (not is_plain and _quotes_are_odd(text.file)):
        reason = _diagnosis(text)
        if reason is not None:
            raise DataError(reason)
    return table


def _untidy_csv(text: _Text) -> tuple[pa.Table, int]:
    """Read a table line by line. Return it with the number of headers that were repeated among its rows."""
    separator = PLAIN_SEPARATOR if text.dialect.separator == dialects.BLANKS else text.dialect.separator
    plain = replace(text.dialect, separator=separator, lines_above=0, encoding="utf-8")
    with open_file(text.file) as content:
        lines = Tidied(content, text.dialect, text.source.go_on)
        try:
            return _arrow_csv(lines, replace(text, dialect=plain), text.missing, feeds_in_fields=True), lines.headers
        except (pa.ArrowInvalid, UnicodeDecodeError, DataError) as error:
            plainly = None if text.dialect.untidy else _diagnosis(text)
            raise DataError(plainly or str(error)) from error


def _diagnosis(text: _Text) -> str | None:
    with open_file(text.file) as content:
        return diagnose(content, text.dialect)


def _repeats_header(table: pa.Table) -> bool:
    """Return whether the header is repeated among the rows. If it is, each column is text and contains its own name."""
    texts = [name for name in table.column_names if _values(table[name]) is not None]
    if not texts or len(texts) < len(table.column_names):
        return False
    rows = [pyarrow.compute.equal(_decoded(table[name]), name) for name in texts]
    found = rows[0]
    for row in rows[1:]:
        found = pyarrow.compute.and_(found, row)
    return bool(pyarrow.compute.any(found).as_py())


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _values(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return the values of a text column, or only those of its dictionaries. Return ``None`` for other types."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return pa.chunked_array([chunk.dictionary for chunk in column.chunks], kind.value_type)
    return column if pa.types.is_string(kind) else None


def _without_empty(table: pa.Table) -> pa.Table:
    """Drop columns that have no name and no value. Separators at the end of lines create them."""
    nameless = re.compile(dialects.NAMELESS.format(r"\d+")).fullmatch
    empty = [name for name in table.column_names if nameless(name) and table[name].null_count == table.num_rows]
    return table.drop_columns(empty) if empty and len(empty) < len(table.column_names) else table


def _plain_csv(text: _Text, head: bytes) -> pa.Table | None:
    """Read a typical table, which has one row per line and empty fields for missing values.

    This saves a third of the time.

    Return ``None`` if a field has a line feed, or may have one.
    """
    spelled = {word.encode() for word in text.missing if word}
    if spelled.isdisjoint(_FIELD_ENDS.split(head)):
        table = _lines_as_rows(text, [""])
        if table is None or not _spells_missing(table, text.missing):
            return table
    return _lines_as_rows(text, text.missing)


def _lines_as_rows(text: _Text, missing: list[str]) -> pa.Table | None:
    # Arrow detects most fields with line feeds, but not all. If it returns as many rows as there are lines, each line
    # is one row. Then only the last line can lack a quotation mark.
    with open_file(text.file) as content:
        lines = Lines(content, memory_pool(), text.source.go_on)
        try:
            table = _arrow_csv(lines, text, missing, feeds_in_fields=False)
        except pa.ArrowInvalid:
            return None
    if not is_compressed(text.file):
        text.source.hashes[text.file.path] = lines.sha256
    is_whole = table.num_rows + text.dialect.lines_above == lines.count and lines.quotes_in_last % 2 == 0
    return table if is_whole else None


def _spells_missing(table: pa.Table, missing: list[str]) -> bool:
    """Return whether a word for a missing value was read as text."""
    words = pa.array([word for word in missing if word])
    for column in table.columns:
        values = _values(column)
        if values is not None and pyarrow.compute.any(pyarrow.compute.is_in(values, words)).as_py():
            return True
    return False


def _arrow_csv(
    content: IO[bytes] | io.RawIOBase, text: _Text, missing: list[str], *, feeds_in_fields: bool
) -> pa.Table:
    dialect, kind = text.dialect, pa.dictionary(pa.int32(), pa.string())
    as_text = (*text.wanted.texts, *text.wanted.exact, *dialect.texts)
    table = pyarrow.csv.read_csv(
        content,
        read_options=pyarrow.csv.ReadOptions(
            block_size=_BLOCK if feeds_in_fields else _SMALL_BLOCK,
            encoding=_arrow_encoding(dialect.encoding),
            column_names=dialect.columns,
            skip_rows=dialect.lines_above,
        ),
        parse_options=pyarrow.csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=feeds_in_fields),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=text.columns,
            column_types={name: kind for name in as_text if name in text.columns},
            null_values=missing,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            auto_dict_encode=True,
            auto_dict_max_cardinality=_MAX_DICTIONARY,
            decimal_point=dialect.decimal,
        ),
        memory_pool=memory_pool(),
    )
    table = _without_empty_texts(table)
    for name in text.wanted.exact:
        if name in table.column_names and name not in dialect.texts:
            index = table.column_names.index(name)
            table = table.set_column(index, name, _exactly(table.column(index), dialect.decimal))
    return table


def _exactly(column: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    """Return text as numbers, booleans or times, if no value changes: ``007``, ``12e3`` and long digits stay text."""
    plain = _decoded(column)
    distinct = pyarrow.compute.unique(plain).drop_null()
    if not len(distinct) or pyarrow.compute.any(pyarrow.compute.match_substring_regex(distinct, _LEADING_ZERO)).as_py():
        return column
    number = _NUMBER.format(decimal=re.escape(decimal))
    if pyarrow.compute.all(pyarrow.compute.match_substring_regex(distinct, number)).as_py():
        plain = pyarrow.compute.replace_substring(plain, decimal, ".")
        kinds = [pa.int64(), pa.float64()]
    else:
        kinds = [pa.bool_(), pa.timestamp("s"), pa.timestamp("us"), pa.timestamp("us", "UTC")]
    for kind in kinds:
        try:
            return plain.cast(kind)
        except pa.ArrowInvalid:
            continue
    return column


def _without_empty_texts(table: pa.Table) -> pa.Table:
    """Replace empty text, which was quoted, by a missing value.

    Other quoted words stay text: a series can have the name "NA".
    """
    for index, name in enumerate(table.column_names):
        column = table.column(index)
        if (values := _values(column)) is None:
            continue
        if pyarrow.compute.any(pyarrow.compute.equal(values, "")).as_py():
            plain = _decoded(column)
            kept = pyarrow.compute.if_else(pyarrow.compute.equal(plain, ""), pa.scalar(None, plain.type), plain)
            table = table.set_column(index, name, kept.dictionary_encode())
    return table


def _arrow_encoding(encoding: str) -> str:
    # With exactly this name, Arrow skips its transcoding in Python.
    return "utf8" if encoding == "utf-8" else encoding


def _separator(given: str) -> str:
    separator = {"\\t": "\t", "tab": "\t"}.get(given.lower(), given)
    if len(separator) != 1:
        raise ConfigError(f"data.csv.separator {given!r} must be one character, or Auto")
    return separator


def _is_binary(kind: pa.DataType) -> bool:
    """Return whether a type is the one that Arrow uses for text that is not UTF-8."""
    return bool(pa.types.is_binary(kind.value_type if pa.types.is_dictionary(kind) else kind))


def _quotes_are_odd(file: File) -> bool:
    """Return whether a quotation mark may be missing.

    Then Arrow reads the rest of the file as one field, without an error.
    """
    count = 0
    with open_file(file) as content:
        while chunk := content.read(_BLOCK):
            count += chunk.count(b'"')
    return count % 2 == 1
