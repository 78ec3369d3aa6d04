"""Diagnosis of a text table that could not be read: one message with a line number.

It reads the whole file line by line, and only after the fast reader has failed.
"""

import codecs
import csv
from collections.abc import Iterator
from typing import IO, Final, Protocol

from trainyard_trainer.errors import DataError

_FIELD_LIMIT: Final = 16 * 1024 * 1024


class Written(Protocol):
    """The required properties of a table: see :class:`trainyard_trainer.data.formats.dialect.Dialect`."""

    @property
    def separator(self) -> str:
        """The separator between two fields."""

    @property
    def encoding(self) -> str:
        """The encoding, as named in Python."""

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns."""


def diagnose(file: IO[bytes], dialect: Written) -> str | None:
    """Read a broken table line by line, and return what is wrong and in which line.

    Return ``None`` if nothing is wrong.

    It finds bytes that do not match the encoding, a quoted field that never closes, and rows wider or narrower than the
    header. Line numbers count from 1, and the header is the first.
    """
    end = "\x00the end of the table\x00"
    start = 1
    with long_fields():
        reader = csv.reader(_decoded(file, dialect.encoding, end), delimiter=dialect.separator)
        try:
            for row in reader:
                if row and row[-1].endswith(end) and row != [end]:
                    opened = start + sum(field.count("\n") for field in row[:-1])
                    return f"a quoted field opens in line {opened} and never closes; add the missing quotation mark"
                if row and row != [end] and len(row) != len(dialect.header):
                    return (
                        f"line {start} has {len(row)} fields, but the header has {len(dialect.header)}; "
                        f"separator {dialect.separator!r}"
                    )
                start = reader.line_num + 1
        except _BadBytesError as error:
            return str(error)
        except csv.Error as error:
            return f"the field that opens in line {start} cannot be read ({error}); look for a missing quotation mark"
    return None


class _BadBytesError(Exception):
    """The first bytes that are not valid text."""


def _decoded(file: IO[bytes], encoding: str, end: str) -> Iterator[str]:
    """Yield the lines of a file, then ``end`` as a unique last line."""
    offset = 0
    if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):  # byte 0x0A can be a part of another character
        yield from codecs.getreader(encoding)(file)
        yield end
        return
    for number, raw in enumerate(file, start=1):
        try:
            line = raw.decode(encoding)
        except UnicodeDecodeError as error:
            raise _BadBytesError(str(bad_bytes(error, offset=offset, line=number, encoding=encoding))) from error
        offset += len(raw)
        yield line.removeprefix("\ufeff") if number == 1 else line
    yield end


def bad_bytes(error: UnicodeDecodeError, *, offset: int, line: int, encoding: str) -> DataError:
    """Return the error for a byte that does not match the encoding.

    ``offset`` is the position of the decoded bytes in the file.
    """
    byte = error.object[error.start]
    return DataError(
        f"byte 0x{byte:02x} at offset {offset + error.start} (line {line}) is not {encoding}; "
        "save the file as UTF-8 or set data.csv.encoding"
    )


class long_fields:  # noqa: N801 - reads as a statement
    """Context manager that lets the csv module read long fields, and restores its global limit."""

    def __enter__(self) -> None:
        self._before = csv.field_size_limit(_FIELD_LIMIT)

    def __exit__(self, *_: object) -> None:
        csv.field_size_limit(self._before)
