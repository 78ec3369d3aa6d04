"""The dialect of a text table: separator, decimal sign, header, and irregularities.

Detection only uses the head of the file. A dialect is ``untidy`` if Arrow cannot read it directly: comments between the
rows, columns separated by spaces, or separators after the last column. Then :mod:`trainyard_trainer.data.formats.tidy`
reads the file line by line.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from trainyard_trainer.data.formats.diagnosis import bad_bytes, long_fields
from trainyard_trainer.data.notation import UNKNOWN, Decimal, Notation, groups_of_three
from trainyard_trainer.errors import ConfigError, DataError

HEAD_BYTES: Final = 64 * 1024
BLANKS: Final = " "
"""A separator that means any number of spaces."""

SEPARATORS: Final = (",", ";", "\t", "|", BLANKS)
Header = Literal["Auto", "Present", "Absent"]

_LINES_TO_COMPARE: Final = 200
_LINES_ABOVE: Final = 50
"""The header is searched in this many lines."""

_EXCEL_MARK: Final = re.compile(r"sep=(.)\s*", re.IGNORECASE)
NAMELESS: Final = "Unnamed: {}"
"""Name of a column without a name, by its position, as in pandas."""

_DECIMAL_COMMA: Final = re.compile(r"\s*[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+\s*")
_DECIMAL_POINT: Final = re.compile(r"\s*[+-]?(\d+|\d{1,3}(,\d{3})+)\.\d+([eE][+-]?\d+)?\s*")
_GROUPED: Final = re.compile(r"\s*[+-]?[1-9]\d{0,2}[,.]\d{3}\s*")
"""Either a thousands separator or a decimal sign, so it is not evidence alone."""

BLANK_FIELDS: Final = re.compile(r'(?<!\S)"(?:[^"]|"")*"(?!\S)|\S+')
_COMMENT: Final = "#"


@dataclass(frozen=True)
class Dialect:
    """How to read a text table.

    Attributes
    ----------
    header
        The column names of the table. ``Unnamed: 2`` is the third column if it has no name.
    lines_above
        Number of lines before the first row: the header and the lines above it.
    untidy
        Whether the file must be read line by line.
    comment
        Prefix of comment lines. If ``only_odd``, only lines of another width than a row are comments.
    texts
        Columns to read as text, because the decimal sign alone would give wrong numbers.
    notation
        The known notation of numbers in all columns.
    notes
        Notes about the detected dialect for the user.
    """

    separator: str
    decimal: Decimal
    encoding: str
    header: tuple[str, ...]
    lines_above: int = 1
    untidy: bool = False
    comment: str | None = None
    only_odd: bool = False
    texts: frozenset[str] = frozenset()
    notation: Notation = UNKNOWN
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The column names, made unique. A repeated name gets a NUL character and its position."""
        repeated = self.repeated
        return tuple(f"{name}\x00{index}" if name in repeated else name for index, name in enumerate(self.header))

    @property
    def repeated(self) -> frozenset[str]:
        """The names that occur more than once."""
        return frozenset(name for name, count in Counter(self.header).items() if count > 1)

    def describe(self) -> str:
        """Return the dialect as text for the report."""
        separator = {"\t": "tab", BLANKS: "spaces"}.get(self.separator, repr(self.separator))
        words = [f"separator {separator}", f"decimal sign {self.decimal!r}", f"encoding {self.encoding}", *self.notes]
        return f"CSV: {', '.join(words)}"


def check_encoding(encoding: str) -> str:
    """Return the name of an encoding in Python. Raises ConfigError if it is unknown."""
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise ConfigError(
            f"data.csv.encoding {encoding!r} is not known; common ones: utf-8, latin-1, cp1252"
        ) from error


@dataclass(frozen=True)
class Given:
    """Settings of the user for a text table. ``None`` and ``Auto`` are detected."""

    encoding: str = "utf-8"
    separator: str | None = None
    decimal: Decimal | None = None
    thousands: str | None = None
    skip_lines: int | None = None
    header: Header = "Auto"
    comment: str | None = None


def detect(head: bytes, *, complete: bool, given: Given | None = None, expected: Sequence[str] = ()) -> Dialect:
    """Detect a dialect from the first bytes of a file.

    Parameters
    ----------
    head
        At most about ``HEAD_BYTES``, decompressed.
    complete
        Whether this is the whole file. Otherwise its last line is incomplete and ignored.
    expected
        Names that the header should have. They identify the separator and the header line.

    Raises
    ------
    DataError
        If the file is empty, or its head has invalid bytes.
    """
    given = given or Given()
    lines = _lines(head, encoding=given.encoding, complete=complete)
    above = _blank(lines, given.skip_lines or 0)
    if above == len(lines):
        raise DataError("the file is empty; it needs a header line with column names, and rows below it")
    separator = given.separator
    if (mark := _EXCEL_MARK.fullmatch(lines[above])) is not None and above + 1 < len(lines):
        separator, above = separator or mark[1], _blank(lines, above + 1)
    has_header = given.header == "Present" or (given.header == "Auto" and not _is_absent(expected))
    search = has_header and given.skip_lines is None
    tried = [
        (one, _header_line(lines, above, one, expected) if search else above)
        for one in ([separator] if separator else SEPARATORS)
    ]
    separator, first = max(tried, key=lambda pair: _plausibility(lines[pair[1] :], pair[0], expected))
    return _Writing(lines[first:], first, separator, given, expected, has_header).dialect()


@dataclass(frozen=True)
class _Writing:
    """The head of a table, after its separator and its first line are known."""

    lines: list[str]
    above: int
    separator: str
    given: Given
    expected: Sequence[str]
    has_header: bool

    def dialect(self) -> Dialect:
        rows = rows_of(self.lines, self.separator)
        first = _first_row(self.lines, self.separator, self.expected) if self.has_header else rows[0]
        comment = self.given.comment or self._comment(len(first))
        only_odd = comment is not None and self.given.comment is None
        if comment:
            kept = [
                line
                for line in self.lines[1:]
                if not line.startswith(comment) or (only_odd and not self._is_odd(line, len(first)))
            ]
            rows = [rows[0], *rows_of(kept, self.separator)]
        body = rows[1:] if self.has_header else rows
        names, notes = self._names(first, body)
        if comment:
            notes.append(f"lines that begin with {comment!r} are comments")
        if self.above:
            notes.append(f"{self.above} lines skipped at the top")
        signs: dict[str | None, Decimal] = {".": ",", ",": "."}
        decimal, sure = _decimal(body)
        requested = self.given.decimal or signs.get(self.given.thousands)
        is_given = requested is not None or self.given.thousands is not None
        return Dialect(
            separator=self.separator,
            decimal=requested or decimal,
            encoding=self.given.encoding,
            header=tuple(names),
            lines_above=self.above + (_lines_of_header(self.lines, self.separator) if self.has_header else 0),
            untidy=(
                self.separator == BLANKS
                or comment is not None
                or any(len(row) != len(names) for row in body)
                or _is_padded(body)
                or (self.has_header and rows[0] in body)
            ),
            comment=comment,
            only_odd=only_odd,
            texts=_misread(names, body, requested or decimal),
            notation=Notation(requested or (decimal if sure else None), self.given.thousands, is_given=is_given),
            notes=tuple(notes),
        )

    def _comment(self, width: int) -> str | None:
        """Return ``#`` if lines of another width start with it. Such lines are comments."""
        is_other = any(line.startswith(_COMMENT) and self._is_odd(line, width) for line in self.lines[1:])
        return _COMMENT if is_other else None

    def _is_odd(self, line: str, width: int) -> bool:
        return any(len(row) != width for row in rows_of([line], self.separator))

    def _names(self, first: list[str], body: list[list[str]]) -> tuple[list[str], list[str]]:
        """Return the names of the columns, and notes about them."""
        if not self.has_header:
            return [f"column{index + 1}" for index in range(len(first))], ["no header line"]
        names, notes = tidy_names(first, self.expected), []
        widths = {len(row) for row in body}
        if widths == {len(names) + 1} and len(body) > 1 and len({row[0] for row in body}) == len(body):
            # R writes tables like this: the first column has the row names, and its header is missing.
            names, notes = [NAMELESS.format(0), *names], ["the first column has no name"]
        if widths - {len(names)}:  # separators after the last column, in some lines
            while len(first) > 1 and not first[-1].strip():
                names, first = names[:-1], first[:-1]
        return names, notes


def tidy_names(names: Sequence[str], expected: Sequence[str] = ()) -> list[str]:
    """Return names without surrounding spaces.

    A column without a name gets a name by its position, as in pandas.
    """
    tidy = [name if name in expected else name.strip().strip("\u200b\ufeff").strip() for name in names]
    return [name or NAMELESS.format(index) for index, name in enumerate(tidy)]


def _lines(head: bytes, *, encoding: str, complete: bool) -> list[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
    try:
        text = decoder.decode(head, final=complete)
    except UnicodeDecodeError as error:
        raise bad_bytes(error, offset=0, line=head[: error.start].count(b"\n") + 1, encoding=encoding) from error
    lines = text.splitlines(keepends=True)
    if not complete and len(lines) > 1:
        lines.pop()
    return lines


def _blank(lines: Sequence[str], start: int) -> int:
    """Return the index of the first line from ``start`` that is not blank."""
    return next((index for index in range(start, len(lines)) if lines[index].strip()), len(lines))


def _is_absent(expected: Sequence[str]) -> bool:
    """Return whether all required names are default names, which means that the table has no header."""
    return bool(expected) and all(re.fullmatch(r"column[1-9]\d*", name) for name in expected)


def _header_line(lines: Sequence[str], start: int, separator: str, expected: Sequence[str]) -> int:
    """Return the index of the first line with all required names, or ``start`` if there is none."""
    for index in range(start, min(len(lines), start + _LINES_ABOVE)) if expected else ():
        if set(expected) <= set(tidy_names(_first_row(lines[index : index + 1], separator, expected), expected)):
            return index
    return start


def _first_row(lines: Sequence[str], separator: str, expected: Sequence[str]) -> list[str]:
    """Return the fields of the header, without a ``#`` that marks it as a comment."""
    plain = next(iter(rows_of(lines, separator)), [])
    if not plain or not lines[0].startswith(_COMMENT):
        return plain
    name = plain[0].strip()
    if name in expected or (name == _COMMENT and separator != BLANKS):
        return plain
    bare = next(iter(rows_of([lines[0].lstrip(_COMMENT), *lines[1:]], separator)), [])
    behind = next(iter(rows_of(lines[1:_LINES_TO_COMPARE], separator)), bare)
    return plain if len(behind) == len(plain) != len(bare) else bare


def rows_of(lines: Iterable[str], separator: str) -> list[list[str]]:
    """Return the fields of lines. A quoted field can span lines."""
    if separator == BLANKS:
        return [row for line in lines if (row := [one.strip('"') for one in BLANK_FIELDS.findall(line)])]
    with long_fields():
        return [row for row in csv.reader(lines, delimiter=separator) if row]


def _lines_of_header(lines: Sequence[str], separator: str) -> int:
    """Return the number of lines of the header, because a name can contain a line feed."""
    if separator == BLANKS:
        return 1
    with long_fields():
        reader = csv.reader(lines, delimiter=separator)
        next(reader)
        return reader.line_num


def _plausibility(lines: list[str], separator: str, expected: Sequence[str]) -> tuple[int, bool, float, int]:
    """Return a sort key for a separator: known names in the header, more than one column, share of rows as wide as the
    header, number of columns.
    """
    rows = rows_of(lines[:_LINES_TO_COMPARE], separator)
    header, body = tidy_names(_first_row(lines[:_LINES_TO_COMPARE], separator, expected), expected), rows[1:]
    known = len(set(expected) & set(header))
    widths = Counter(len(row) for row in body)
    even = max(widths[len(header)], widths[len(header) + 1]) / len(body) if body else 1.0
    return known, len(header) > 1, even, len(header)


def _decimal(rows: list[list[str]]) -> tuple[Decimal, bool]:
    """Return the decimal sign, and whether there is evidence for it."""
    fields = [field for row in rows for field in row if not _GROUPED.fullmatch(field)]
    commas = sum(1 for field in fields if "," in field and _DECIMAL_COMMA.fullmatch(field))
    points = sum(1 for field in fields if "." in field and _DECIMAL_POINT.fullmatch(field))
    return "," if commas > points else ".", commas + points > 0


def _misread(names: Sequence[str], body: list[list[str]], decimal: Decimal) -> frozenset[str]:
    """Return the columns in which the decimal sign is in fact a thousands separator."""
    columns = {name: [row[index].strip() for row in body if index < len(row)] for index, name in enumerate(names)}
    return frozenset(name for name, values in columns.items() if groups_of_three(values, decimal))


def _is_padded(body: list[list[str]]) -> bool:
    """Return whether each separator is followed by a space, and some fields are text. Numbers do not need this."""
    behind = [field for row in body for field in row[1:] if field.strip()]
    is_text = any(not field.lstrip(" +-.").replace(".", "").strip().isdigit() for field in behind[:_LINES_TO_COMPARE])
    return is_text and all(field.startswith(" ") for field in behind)
