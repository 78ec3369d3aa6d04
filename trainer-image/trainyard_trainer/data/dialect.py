"""How a text table is written: its separator, its decimal sign, its header; and what is wrong with a broken one.

Detection looks at the head of the file alone. The diagnosis reads the whole file line by line: it runs only when the
fast reader has given up, and its one task is a sentence with a line number.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Final, Literal

from trainyard_trainer.errors import ConfigError, DataError

HEAD_BYTES: Final = 64 * 1024
SEPARATORS: Final = (",", ";", "\t", "|")
_LINES_TO_COMPARE: Final = 200
_FIELD_LIMIT: Final = 16 * 1024 * 1024
_DECIMAL_COMMA: Final = re.compile(r"\s*[+-]?\d+,\d+\s*")
_DECIMAL_POINT: Final = re.compile(r"\s*[+-]?\d+\.\d+([eE][+-]?\d+)?\s*")
_GROUPED: Final = re.compile(r"\s*[+-]?[1-9]\d{0,2},\d{3}\s*")
"""Either thousands in English or a decimal comma: no evidence on its own."""

Decimal = Literal[".", ","]


@dataclass(frozen=True)
class Dialect:
    """How to read a text table, and the names in its first line."""

    separator: str
    decimal: Decimal
    encoding: str
    header: tuple[str, ...]

    def describe(self) -> str:
        """Return the dialect in words, for the report."""
        separator = {"\t": "tab"}.get(self.separator, repr(self.separator))
        return f"CSV: separator {separator}, decimal sign {self.decimal!r}, encoding {self.encoding}"


def check_encoding(encoding: str) -> str:
    """Return Python's own name of an encoding. Raises ConfigError for an unknown one."""
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise ConfigError(
            f"data.csv.encoding {encoding!r} is not known; common ones: utf-8, latin-1, cp1252"
        ) from error


def detect(
    head: bytes,
    *,
    complete: bool,
    encoding: str = "utf-8",
    separator: str | None = None,
    decimal: Decimal | None = None,
    expected: Sequence[str] = (),
) -> Dialect:
    """Work out a dialect from the first bytes of a file.

    Parameters
    ----------
    head
        At most about ``HEAD_BYTES``, without compression.
    complete
        Whether that is the whole file; else its last line is cut off and ignored.
    separator, decimal
        Given by the user; ``None`` to find out.
    expected
        Names that the header should hold: a separator that yields them is the right one.

    Raises
    ------
    DataError
        For an empty file, or bad bytes in the head.
    """
    lines = _lines(head, encoding=encoding, complete=complete)
    if not lines:
        raise DataError("the file is empty: it needs a line with the names of the columns and rows below it")
    chosen = separator or max(
        SEPARATORS, key=lambda candidate: _plausibility(lines[:_LINES_TO_COMPARE], candidate, expected)
    )
    rows = _rows(lines, chosen)
    return Dialect(chosen, decimal or _decimal(rows[1:], chosen), encoding, tuple(rows[0]))


def _lines(head: bytes, *, encoding: str, complete: bool) -> list[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
    try:
        text = decoder.decode(head, final=complete)
    except UnicodeDecodeError as error:
        raise _bad_bytes(error, offset=0, line=head[: error.start].count(b"\n") + 1, encoding=encoding) from error
    lines = text.splitlines(keepends=True)
    if not complete and len(lines) > 1:
        lines.pop()
    while lines and not lines[0].strip():
        lines.pop(0)
    return lines


def _rows(lines: Iterable[str], separator: str) -> list[list[str]]:
    with _field_limit():
        return [row for row in csv.reader(lines, delimiter=separator) if row]


def _plausibility(lines: list[str], separator: str, expected: Sequence[str]) -> tuple[int, bool, float, int]:
    """Rank a separator: known names in the header, more than one column, rows as wide as the header, columns."""
    rows = _rows(lines, separator)
    header, body = rows[0], rows[1:]
    known = len(set(expected) & set(header))
    even = sum(len(row) == len(header) for row in body) / len(body) if body else 1.0
    return known, len(header) > 1, even, len(header)


def _decimal(rows: list[list[str]], separator: str) -> Decimal:
    fields = [field for row in rows for field in row]
    commas = [field for field in fields if "," in field and _DECIMAL_COMMA.fullmatch(field)]
    if not commas:
        return "."
    points = sum(1 for field in fields if _DECIMAL_POINT.fullmatch(field))
    if separator == "," and all(_GROUPED.fullmatch(field) for field in commas):
        return "."
    return "," if len(commas) > points else "."


def diagnose(file: IO[bytes], dialect: Dialect) -> str | None:
    """Read a broken table line by line and say what is wrong with it and in which line; ``None`` if nothing is.

    Looks for bytes that are not of the encoding, a quoted field that never closes, and rows wider or narrower than the
    header. Line numbers count from 1 with the header as the first.
    """
    end = "\x00the end of the table\x00"
    start = 1
    with _field_limit():
        reader = csv.reader(_decoded(file, dialect.encoding, end), delimiter=dialect.separator)
        try:
            for row in reader:
                if row and row[-1].endswith(end) and row != [end]:
                    opened = start + sum(field.count("\n") for field in row[:-1])
                    return f"a quoted field opens in line {opened} and never closes; add the missing quotation mark"
                if row and row != [end] and len(row) != len(dialect.header):
                    return (
                        f"line {start} has {len(row)} fields where the header has {len(dialect.header)}; "
                        f"separator {dialect.separator!r}"
                    )
                start = reader.line_num + 1
        except _BadBytesError as error:
            return str(error)
        except csv.Error as error:
            return f"the field that opens in line {start} cannot be read ({error}); is a quotation mark missing?"
    return None


class _BadBytesError(Exception):
    """Where the bytes stop being text."""


def _decoded(file: IO[bytes], encoding: str, end: str) -> Iterator[str]:
    """Yield the lines of a file, then a line of its own that can be told from all others."""
    offset = 0
    if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):  # a line feed byte is no line feed there
        yield from codecs.getreader(encoding)(file)
        yield end
        return
    for number, raw in enumerate(file, start=1):
        try:
            line = raw.decode(encoding)
        except UnicodeDecodeError as error:
            raise _BadBytesError(str(_bad_bytes(error, offset=offset, line=number, encoding=encoding))) from error
        offset += len(raw)
        yield line.removeprefix("\ufeff") if number == 1 else line
    yield end


def _bad_bytes(error: UnicodeDecodeError, *, offset: int, line: int, encoding: str) -> DataError:
    byte = error.object[error.start]
    return DataError(
        f"byte 0x{byte:02x} at offset {offset + error.start} (line {line}) is not {encoding}; "
        "save the file as UTF-8 or set data.csv.encoding"
    )


class _field_limit:  # noqa: N801 - reads as a statement
    """Let the csv module read long fields, and restore its global limit afterwards."""

    def __enter__(self) -> None:
        self._before = csv.field_size_limit(_FIELD_LIMIT)

    def __exit__(self, *_: object) -> None:
        csv.field_size_limit(self._before)
