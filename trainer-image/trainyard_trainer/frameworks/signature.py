"""The columns of a model, and conversion of lists of JSON values to columns of exactly these types.

Requests and golden rows use the same code. So the warm-up tests the code that requests use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

import numpy as np
import pandas as pd

from trainyard_trainer.artifacts.manifest import Frame, Manifest
from trainyard_trainer.data.values.times import HOW_TO_ASK

ColumnType = Literal["double", "long", "boolean", "string", "datetime"]


@dataclass(frozen=True)
class Column:
    """One column. ``type`` is a type name of :class:`trainyard_api.modelversion.Signature`."""

    name: str
    type: ColumnType


@dataclass(frozen=True)
class Columns:
    """The input and output columns of a model."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]


class ColumnError(ValueError):
    """A value that does not fit its column. ``str(error)`` names the column and usually the row, counted from 1."""


def columns_of(manifest: Manifest, model: Any) -> Columns:
    """Return the signature of a loaded model.

    The manifest of a very wide model has no signature. Then the golden rows provide the names, and the model provides
    which columns are text.
    """
    if manifest.signature is not None:
        return Columns(
            tuple(Column(column.name, _known(column.type)) for column in manifest.signature.inputs),
            tuple(Column(column.name, _known(column.type)) for column in manifest.signature.outputs),
        )
    golden = manifest.golden
    texts = getattr(getattr(model, "description", None), "categories", {})
    inputs = tuple(Column(name, "string" if name in texts else "double") for name in golden.inputs.columns)
    return Columns(inputs, _guessed(golden.outputs))


def _known(word: str) -> ColumnType:
    return cast("ColumnType", word) if word in get_args(ColumnType) else "string"


def _guessed(outputs: Frame) -> tuple[Column, ...]:
    texts = {
        name for row in outputs.rows for name, value in zip(outputs.columns, row, strict=True) if isinstance(value, str)
    }
    return tuple(Column(name, "string" if name in texts else "double") for name in outputs.columns)


def frame_of(values: Mapping[str, Sequence[Any]], columns: Sequence[Column]) -> pd.DataFrame:
    """Return a table of ``columns``, in their order. ``values`` must have all of them, with equal length.

    Numbers and booleans become float64, with NaN for missing values. Text and times become objects. The model parses
    the times, because it knows their format and whether a time without an offset is in UTC.

    Raises
    ------
    ColumnError
        If a value is not of its column's type, or a time is missing.
    """
    return pd.DataFrame({column.name: _typed(column, values[column.name]) for column in columns})


def _typed(column: Column, values: Sequence[Any]) -> Any:
    match column.type:
        case "double" | "long" | "boolean":
            return _numbers(column.name, values)
        case "string":
            _check(column.name, values, _TEXTS, "text")
            return pd.Series(values, dtype=object)
        case "datetime":
            return _times(column.name, values)


_NUMBERS: Final[frozenset[type]] = frozenset({int, float, bool, type(None)})
_TEXTS: Final[frozenset[type]] = frozenset({str, type(None)})


def _check(name: str, values: Sequence[Any], allowed: frozenset[type], wanted: str) -> None:
    if not {type(value) for value in values} <= allowed:
        row = next(row for row, value in enumerate(values) if type(value) not in allowed)
        raise ColumnError(f"column {name!r}, row {row + 1}: {_short(values[row])} is not {wanted}")


def _numbers(name: str, values: Sequence[Any]) -> Any:
    _check(name, values, _NUMBERS, "a number")
    try:
        numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    except OverflowError:
        raise ColumnError(f"column {name!r} has a number that is too large") from None
    if np.isinf(numbers).any():
        raise ColumnError(
            f"column {name!r}, row {int(np.isinf(numbers).argmax()) + 1}: infinite values are not allowed"
        )
    return numbers


def _times(name: str, values: Sequence[Any]) -> Any:
    _check(name, values, _TEXTS, f"a time; {HOW_TO_ASK}")
    if None in values:
        raise ColumnError(f"column {name!r}, row {values.index(None) + 1}: None is not a time; {HOW_TO_ASK}")
    return pd.Series(values, dtype=object)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_SHOWN: Final = 60
