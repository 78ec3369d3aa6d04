"""Single columns: numbers out of text, and what to say when there are none."""

import re
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.errors import DataError

LARGEST: Final = 1e30
"""LightGBM keeps targets in single precision, and squares of errors must stay finite."""

_BLANK: Final = {"", "na", "n/a", "nan", "null", "none", "-", "?"}
_BEGINS: Final = frozenset("+-.0123456789iInN?") | {""}
"""How a number or a blank may begin."""

_DECIMAL_COMMA: Final = re.compile(r"\s*[+-]?\d+,\d+\s*")


def is_text(column: pd.Series) -> bool:
    """Whether a column holds text (plain, or as categories of text)."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    return pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype)


def codes_by_name(column: pd.Series) -> tuple[npt.NDArray[np.intp], tuple[str, ...]]:
    """Number the distinct values in the order of their text, missing ones -1, however the column is stored."""
    codes, distinct = pd.factorize(column)
    names = np.array([str(value) for value in distinct], dtype=object)
    order = np.argsort(names)
    rank = np.full(len(names) + 1, -1, dtype=np.intp)  # the last place is that of code -1
    rank[order] = np.arange(len(names))
    return rank[codes], tuple(names[order])


def text_to_numbers(column: pd.Series) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Read text as numbers.

    Returns
    -------
    The numbers (NaN where there is none), and which values are neither numbers nor blank; both of shape (rows,).
    """
    codes, distinct = pd.factorize(column, use_na_sentinel=True)
    texts = [str(value).strip() for value in distinct]
    numbers = np.full(len(texts) + 1, np.nan)  # the last place is that of code -1, a missing value
    bad = np.append(np.ones(len(texts), dtype=np.bool_), False)
    # To be refused costs a text more than to be read; most show at their first sign that they are neither.
    maybe = [place for place, text in enumerate(texts) if text[:1] in _BEGINS]
    numbers[maybe] = pd.to_numeric(pd.Series([texts[place] for place in maybe], dtype=object), errors="coerce")
    unread = np.isnan(numbers[maybe]).tolist()
    bad[maybe] = [odd and texts[place].lower() not in _BLANK for place, odd in zip(maybe, unread, strict=True)]
    return numbers[codes], bad[codes]


def target_numbers(column: pd.Series, name: str) -> npt.NDArray[np.float64]:
    """Return the target as numbers, infinite ones as missing.

    Raises
    ------
    DataError
        If a value is text or too large: the sentence names the first one and its data row (1 is the first below the
        header).
    """
    numbers, bad = read_target(column, name)
    if bad.any():
        row = int(bad.argmax())
        value = str(column.iloc[row])
        raise DataError(
            f"column {name!r} (data.target), data row {row + 1}: {value!r} is not a number; {_advice(value)}",
            row=row + 1,
        )
    return numbers


def read_target(column: pd.Series, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the target as :func:`target_numbers` does, and which values are text (they become missing).

    Raises
    ------
    DataError
        If a value is too large, or the whole column holds something else than numbers and text.
    """
    bad = np.zeros(len(column), dtype=np.bool_)
    if is_text(column):
        numbers, bad = text_to_numbers(column)
    elif pd.api.types.is_numeric_dtype(column.dtype):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    else:
        raise DataError(
            f"column {name!r} (data.target) holds {column.dtype}, not numbers; name a column of numbers in data.target"
        )
    numbers[~np.isfinite(numbers)] = np.nan
    too_large = np.abs(numbers) > LARGEST
    if too_large.any():
        row = int(too_large.argmax())
        raise DataError(
            f"column {name!r} (data.target), data row {row + 1}: {numbers[row]:g} is beyond {LARGEST:g}; "
            "give the target in a larger unit",
            row=row + 1,
        )
    return numbers, bad


def _advice(value: str) -> str:
    if _DECIMAL_COMMA.fullmatch(value):
        return "set data.csv.decimal to ','"
    return "correct the data, or use task Classification for labels"
