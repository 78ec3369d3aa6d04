"""Normalize an irregular text table for Arrow, line by line. The result only has rows of equal width.

Comments, repeated headers, blank lines, separators after the last column and spaces around fields are removed.
Otherwise fields are unchanged and keep their quotation marks.
"""

import codecs
import io
import re
from collections.abc import Callable, Iterator
from typing import IO, Final

from trainyard_trainer.data.formats.dialect import BLANK_FIELDS, BLANKS, Dialect
from trainyard_trainer.errors import DataError

PLAIN_SEPARATOR: Final = "\t"
"""Replaces spaces as the separator."""

_BLOCK: Final = 1 << 20


class Tidied(io.RawIOBase):
    """The rows of a table without its header, in UTF-8.

    Attributes
    ----------
    headers
        How often the header was repeated among the rows.
    """

    def __init__(self, content: IO[bytes], dialect: Dialect, go_on: Callable[[], None]) -> None:
        """Create the stream.

        ``go_on`` is called before each block. If it raises an error, reading ends.
        """
        self._go_on = go_on
        self._rows = self._tidy(content, dialect)
        self._rest = b""
        self.headers = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes. Raises DataError, which names the line, if a row is too short or too long."""
        self._go_on()
        wanted = size if size >= 0 else _BLOCK
        parts, length = [self._rest], len(self._rest)
        while length < wanted and (row := next(self._rows, None)) is not None:
            parts.append(row)
            length += len(row)
        found = b"".join(parts)
        self._rest = found[wanted:]
        return found[:wanted]

    def _tidy(self, content: IO[bytes], dialect: Dialect) -> Iterator[bytes]:
        separator = PLAIN_SEPARATOR if dialect.separator == BLANKS else dialect.separator
        width = len(dialect.header)
        header: list[str] | None = None
        for number, text in _records(content, dialect):
            fields = [one.strip(" ") for one in _fields(text, dialect.separator)]
            if number <= dialect.lines_above:
                header = [_bare(one) for one in fields]
                continue
            if dialect.only_odd and text.startswith(dialect.comment or "") and len(fields) != width:
                continue
            if header is not None and [_bare(one) for one in fields] == header:
                self.headers += 1
                continue
            if any(fields[width:]) or len(fields) < width:
                raise DataError(
                    f"line {number} has {len(fields)} fields, but the header has {width}; separator "
                    f"{dialect.separator!r}"
                )
            yield (separator.join(fields[:width]) + "\n").encode()


def _records(content: IO[bytes], dialect: Dialect) -> Iterator[tuple[int, str]]:
    """Yield each row with the number of its first line. A quoted field can span several lines."""
    encoding = "utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding
    open_lines: list[str] = []
    first, quotes = 0, 0
    for number, line in enumerate(codecs.getreader(encoding)(content), start=1):
        if not open_lines:
            if not line.strip():
                continue
            if dialect.comment is not None and not dialect.only_odd and line.startswith(dialect.comment):
                continue
            first = number
        open_lines.append(line)
        quotes += line.count('"')
        if quotes % 2 == 0:
            yield first, "".join(open_lines).rstrip("\r\n")
            open_lines, quotes = [], 0
    if open_lines:
        raise DataError(f"a quoted field opens in line {first} and never closes; add the missing quotation mark")


def _fields(text: str, separator: str) -> list[str]:
    if separator == BLANKS:
        return BLANK_FIELDS.findall(text)
    if '"' not in text:
        return text.split(separator)
    sign = re.escape(separator)
    return re.findall(rf'(?:^|(?<={sign}))\s*(?:"(?:[^"]|"")*"|[^{sign}]*)\s*(?={sign}|\Z)', text)


def _bare(field: str) -> str:
    return field.strip('"')
