"""The output of a user's own code. It is not trusted, and it is checked before any of it is uploaded."""

import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from trainyard_api.base import MetricName
from trainyard_trainer.errors import DataError
from trainyard_trainer.job.container.layout import METRICS

MAX_METRICS_BYTES: Final = 1 << 20
MAX_FILES: Final = 10_000

_NAME: TypeAdapter[str] = TypeAdapter(MetricName)
_SHOWN: Final = 40
_WRAPPED: Final = re.compile(r"(?:np|numpy|torch)\.\w+\((?P<value>[^()]*)\)|tensor\((?P<tensor>[^(),]*)\)")
"""A number as NumPy or PyTorch prints it: ``np.float64(0.5)``."""
_ADVICE: Final = "write one JSON object of metric names and numbers"


def model_files(output: Path, author: str = "the container") -> list[str]:
    """Return the files below the output folder, relative to it, sorted.

    Links are rejected. The next step has the credentials of the storage, and would upload the target of a link.

    Parameters
    ----------
    author
        Who wrote the files, for the messages.

    Raises
    ------
    DataError
        For a link, a special file such as a socket, a name that is not valid text, too many files, or no file besides
        ``metrics.json``.
    """
    found = []
    for path in _walk(output, author):
        name = os.fsdecode(path.relative_to(output))
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise DataError(f"{author} wrote {name!r}, a symbolic link; write the file itself into {output}")
        if not stat.S_ISREG(mode):
            raise DataError(f"{author} wrote {name!r}, which is not a regular file; write only files into {output}")
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{author} wrote {name!r}, a name that is not UTF-8; rename it") from error
        found.append(name)
        if len(found) > MAX_FILES:
            raise DataError(f"{author} wrote more than {MAX_FILES} files into {output}; put them into an archive")
    if not set(found) - {METRICS}:
        raise DataError(f"{author} ended without an error but wrote no model into {output}; write its files there")
    return sorted(found)


def read_metrics(output: Path, author: str = "the container") -> tuple[dict[str, float], list[str]]:
    """Read ``metrics.json``.

    Returns
    -------
    The finite metrics in the order of the file, and messages about those that were left out. Numbers in quotes are
    accepted, also as NumPy prints them, because many libraries write them to JSON in this form.

    Raises
    ------
    DataError
        If the file is missing, is not a JSON object of names and numbers, or has no finite number.
    """
    metrics, warnings = {}, []
    for name, value in _object(output / METRICS, author).items():
        number = _number(name, value)
        if math.isfinite(number):
            metrics[name] = number
        else:
            warnings.append(f"metric {name} is {number} and was left out")
    if not metrics:
        raise DataError(f'{METRICS} has no finite number; write at least one metric, such as {{"mae": 1.5}}')
    return metrics, warnings


def _walk(folder: Path, author: str) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise DataError(
            f"{error.filename} of {author} cannot be read ({error.strerror}); make it readable for its group"
        ) from error

    for root, folders, files in os.walk(folder, onerror=refuse):
        yield from (Path(root) / name for name in files)
        yield from (Path(root) / name for name in folders if (Path(root) / name).is_symlink())


def _object(file: Path, author: str) -> dict[str, Any]:
    if not file.exists():
        raise DataError(f"{author} ended without an error but wrote no {METRICS}; {_ADVICE} to {file}")
    if file.stat().st_size > MAX_METRICS_BYTES:
        raise DataError(f"{METRICS} is larger than {MAX_METRICS_BYTES} bytes; write only metrics into it")
    try:
        found = json.loads(file.read_bytes())
    except json.JSONDecodeError as error:
        where = f"{METRICS}, line {error.lineno}, column {error.colno}"
        raise DataError(f"{where}: {error.msg}; {_ADVICE}") from error
    except (ValueError, RecursionError, OSError) as error:
        raise DataError(f"{METRICS} cannot be read ({error}); {_ADVICE}") from error
    if not isinstance(found, dict):
        raise DataError(f"{METRICS} contains a {type(found).__name__}; {_ADVICE}")
    return found


def _number(name: str, value: Any) -> float:
    if not is_metric_name(name):
        raise DataError(
            f"{METRICS}: {name[:_SHOWN]!r} is not a valid name of a metric; use at most 64 letters, digits "
            "and _@./-, and begin with a letter"
        )
    number = number_of(value)
    if number is None:
        raise DataError(
            f"{METRICS}: {name} is {json.dumps(value)[:_SHOWN]}, not a number; write one number for each name"
        )
    return number


def is_metric_name(name: str) -> bool:
    """Return whether the status of a job accepts a metric of this name."""
    try:
        _NAME.validate_python(name)
    except ValidationError:
        return False
    return True


def number_of(value: Any) -> float | None:
    """Return a JSON value as a number, which can be NaN or infinite. Return ``None`` if it is not a number."""
    match value:
        case None:
            return math.nan
        case bool():
            return None
        case str():
            wrapped = _WRAPPED.fullmatch(value.strip())
            return _parsed(value if wrapped is None else wrapped["value"] or wrapped["tensor"] or "")
        case int() | float():
            return _parsed(value)
        case _:
            return None


def _parsed(value: str | float) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return None
