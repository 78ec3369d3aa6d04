"""Diagnosis of a file of JSON lines. It runs only after the fast reader has failed, and returns one message."""

import json
from collections.abc import Mapping
from typing import IO, Any, Final

_KINDS: Final[dict[type, str]] = {str: "text", bool: "true or false", int: "a number", float: "a number"}
_SHOWN: Final = 40


def diagnose(file: IO[bytes]) -> str | None:
    """Return what is wrong and in which line, counted from 1. Return ``None`` if nothing is wrong.

    It finds lines that are not JSON or not an object, and names whose values change their type.
    """
    kinds: dict[str, tuple[str, int]] = {}
    for number, raw in enumerate(file, start=1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            row = json.loads(line) if line else {}
        except UnicodeDecodeError as error:
            return f"line {number}: byte 0x{raw[error.start]:02x} is not UTF-8; write the file again as UTF-8"
        except ValueError as error:
            return _no_json(raw, number, error)
        if not isinstance(row, dict):
            return f"line {number} is {line[:_SHOWN]!r}, not a JSON object; write one object per line"
        if (changed := _change(row, number, kinds)) is not None:
            return changed
    return None


def _no_json(raw: bytes, line: int, error: ValueError) -> str:
    if line == 1 and raw.lstrip().startswith(b"["):
        return "the file is one JSON array; write one JSON object per line instead"
    return f"line {line} is not a JSON object ({error}); write one JSON object per line"


def _change(row: Mapping[str, Any], line: int, kinds: dict[str, tuple[str, int]]) -> str | None:
    for name, value in row.items():
        if value is None:
            continue
        kind = _KINDS.get(type(value), "a list or an object")
        before, since = kinds.setdefault(name, (kind, line))
        if before != kind:
            return f"{name!r} is {kind} in line {line} and {before} in line {since}; use one type for all its values"
    return None
