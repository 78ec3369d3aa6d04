"""Detect the compression and the format of a file, first by its content, then by its name.

The first bytes of Parquet and of a compressed file are unique. A name can be wrong or missing
(``https://host/export?id=3``). Text has no such signature. There, the name decides, and without a known extension the
first character.
"""

import gzip
from pathlib import Path
from typing import IO, Final, Literal, cast

import zstandard

from trainyard_trainer.data.sources.files import File
from trainyard_trainer.errors import ConfigError, DataError

Format = Literal["Csv", "Parquet", "JsonLines"]
FormatName = Literal["Auto", Format]

SUFFIXES: Final[dict[str, Format]] = {
    ".csv": "Csv",
    ".tsv": "Csv",
    ".txt": "Csv",
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".json": "JsonLines",
    ".jsonl": "JsonLines",
    ".ndjson": "JsonLines",
}
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PARQUET: Final = b"PAR1"
_FOREIGN: Final = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"SQLite format 3": "a SQLite database",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"%PDF": "a PDF",
}
_PAGE: Final = (b"<!doctype html", b"<html", b"<?xml")
_HEAD: Final = 512


def open_file(file: File) -> IO[bytes]:
    """Open a file, decompressed."""
    match _compression(file):
        case "gz":
            return cast("IO[bytes]", gzip.open(file.path, "rb"))
        case "zst":
            return cast("IO[bytes]", zstandard.open(file.path, "rb"))
        case None:
            return file.path.open("rb")


def is_compressed(file: File) -> bool:
    """Return whether :func:`open_file` decompresses a file."""
    return _compression(file) is not None


def format_of(file: File, given: FormatName) -> Format:
    """Return the format of a file: as set by the user, by its first bytes, or by its name.

    Raises
    ------
    DataError
        If its first bytes show another format. The message names it.
    ConfigError
        If the format cannot be detected.
    """
    if given != "Auto":
        return given
    with open_file(file) as content:
        head = content.read(_HEAD)
    if head.startswith(_PARQUET):
        return "Parquet"
    _refuse_foreign(head)
    suffixes = [suffix.lower() for suffix in Path(file.name).suffixes if suffix.lower() not in {".gz", ".zst"}]
    found = SUFFIXES.get(suffixes[-1]) if suffixes else None
    if found is not None:
        return found
    return _format_of_text(head, file)


def _compression(file: File) -> Literal["gz", "zst"] | None:
    name = file.name.lower()
    if name.endswith(".gz"):
        return "gz"
    if name.endswith(".zst"):
        return "zst"
    with file.path.open("rb") as content:
        head = content.read(4)
    return "gz" if head.startswith(_GZIP) else "zst" if head == _ZSTD else None


def _refuse_foreign(head: bytes) -> None:
    for mark, what in _FOREIGN.items():
        if head.startswith(mark):
            raise DataError(f"the file is {what}; save the table as CSV, Parquet or JSON lines")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGE):
        raise DataError("the file is a web page, not a table; check the address, and whether it needs a login")


def _format_of_text(head: bytes, file: File) -> Format:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith((b"{", b"[")):
        return "JsonLines"
    if not text or b"\x00" in head:
        known = ", ".join(SUFFIXES)
        raise ConfigError(f"{file.uri}: neither the name ({known}) nor the content shows the format; set data.format")
    return "Csv"
