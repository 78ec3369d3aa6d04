"""What a user's container left behind: looked at with distrust, before any of it is uploaded."""

import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from trainyard_api.base import MetricName
from trainyard_trainer.container.layout import METRICS
from trainyard_trainer.errors import DataError

MAX_METRICS_BYTES: Final = 1 << 20
MAX_FILES: Final = 10_000

_NAME: TypeAdapter[str] = TypeAdapter(MetricName)
_SHOWN: Final = 40
_ADVICE: Final = "write one JSON object of metric names and numbers"


def model_files(output: Path) -> list[str]:
    """Return the files below the output folder, relative to it, sorted.

    Links are refused: the next one to read them has the credentials of the storage, and would upload what they lead to.

    Raises
    ------
    DataError
        For a link, a socket or the like, a name that is no text, too many files, or none beside ``metrics.json``.
    """
    found = []
    for path in _walk(output):
        name = os.fsdecode(path.relative_to(output))
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise DataError(f"the container left {name!r}, a symbolic link; write the file itself into {output}")
        if not stat.S_ISREG(mode):
            raise DataError(f"the container left {name!r}, which is no file; write only files into {output}")
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"the container left {name!r}, a name that is not UTF-8; rename it") from error
        found.append(name)
        if len(found) > MAX_FILES:
            raise DataError(f"the container left more than {MAX_FILES} files in {output}; put them into an archive")
    if not set(found) - {METRICS}:
        raise DataError(f"the container ended without an error and left no model in {output}; write its files there")
    return sorted(found)


def read_metrics(output: Path) -> tuple[dict[str, float], list[str]]:
    """Read ``metrics.json``.

    Returns
    -------
    The finite metrics in the order of the file, and a sentence for each that was left out. Numbers in quotes count:
    so do many libraries' numbers end up in JSON.

    Raises
    ------
    DataError
        If it is missing, no JSON object of names and numbers, or has no finite number.
    """
    metrics, warnings = {}, []
    for name, value in _object(output / METRICS).items():
        number = _number(name, value)
        if math.isfinite(number):
            metrics[name] = number
        else:
            warnings.append(f"metric {name} is {number} and was left out")
    if not metrics:
        raise DataError(f'{METRICS} holds no finite number; write at least one metric, as {{"mae": 1.5}}')
    return metrics, warnings


def _walk(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise DataError(
            f"{error.filename} of the container cannot be read ({error.strerror}); let its group read it"
        ) from error

    for root, folders, files in os.walk(folder, onerror=refuse):
        yield from (Path(root) / name for name in files)
        yield from (Path(root) / name for name in folders if (Path(root) / name).is_symlink())


def _object(file: Path) -> dict[str, Any]:
    if not file.exists():
        raise DataError(f"the container ended without an error and left no {METRICS}; {_ADVICE} to {file}")
    if file.stat().st_size > MAX_METRICS_BYTES:
        raise DataError(f"{METRICS} is larger than {MAX_METRICS_BYTES} bytes; it holds metrics alone, no tables")
    try:
        found = json.loads(file.read_bytes())
    except json.JSONDecodeError as error:
        where = f"{METRICS}, line {error.lineno}, column {error.colno}"
        raise DataError(f"{where}: {error.msg}; {_ADVICE}") from error
    except (ValueError, RecursionError, OSError) as error:
        raise DataError(f"{METRICS} cannot be read ({error}); {_ADVICE}") from error
    if not isinstance(found, dict):
        raise DataError(f"{METRICS} holds a {type(found).__name__}; {_ADVICE}")
    return found


def _number(name: str, value: Any) -> float:
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        raise DataError(
            f"{METRICS}: {name[:_SHOWN]!r} is no name of a metric; use at most 64 of the letters, digits and _@./-, "
            "with a letter first"
        ) from error
    match value:
        case bool():
            pass
        case int() | float() | str():
            try:
                return float(value)
            except OverflowError:
                return math.inf
            except ValueError:
                pass
        case None:
            return math.nan
        case _:
            pass
    raise DataError(f"{METRICS}: {name} is {json.dumps(value)[:_SHOWN]}, not a number; write one number for each name")
