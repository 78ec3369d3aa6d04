"""A hash of each row by its values only. It does not depend on the table, on the order, or on other rows.

The hash of a value does not depend on the type of its column. An integer column becomes float with its first missing
value, and text with its first other word. Its old values keep their hashes. The rules are:

- numbers, and text that can be parsed as a number, are hashed as 64-bit floats; true and false as these words;
- times are hashed as text in ISO 8601, and so is text in that format;
- a missing value adds nothing, so a new column does not change old rows that have no value in it;
- columns are mixed with a hash of their name, so their order has no effect.

Numbers are mixed by SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014),
text by SipHash of pandas with a fixed key. A test checks values of both, because a change would move rows between the
parts of a split.
"""

import re
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.values.columns import is_text

Hashes = npt.NDArray[np.uint64]

_MISSING_WORDS: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?"})
_TRUTH: Final = frozenset({"true", "false"})
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d.*)?")

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_FIXED_KEY: Final = "0123456789123456"


def hash_rows(frame: pd.DataFrame) -> Hashes:
    """Return the hash of each row over all columns of a frame; shape (rows,)."""
    total = np.zeros(len(frame), dtype=np.uint64)
    for name in frame.columns:
        total += _mixed(hash_values(frame[name]), _text_hash(np.array([str(name)], dtype=object))[0])
    return _mixed(total, np.uint64(0))


def hash_values(column: pd.Series) -> Hashes:
    """Return the hash of each value of a column, 0 for a missing one; shape (rows,)."""
    if isinstance(column.dtype, pd.CategoricalDtype) or is_text(column) or pd.api.types.is_bool_dtype(column.dtype):
        return _of_distinct(column)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _number_hash(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _time_hash(column)
    return _of_distinct(column)


def unit_interval(hashes: Hashes, seed: int) -> npt.NDArray[np.float64]:
    """Return a uniform number in [0, 1) for each hash; shape (rows,). It depends on the seed."""
    mixed = _mixed(hashes, _mixed(np.array([seed], dtype=np.uint64), np.uint64(0))[0])
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53))


@np.errstate(over="ignore")
def _mixed(hashes: Hashes, salt: np.uint64) -> Hashes:
    """Mix each hash with a salt. 0, a missing value, stays 0."""
    state = hashes ^ salt
    state = state + _GAMMA
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return np.where(hashes == 0, np.uint64(0), np.maximum(state ^ (state >> np.uint64(31)), np.uint64(1)))


def _number_hash(numbers: npt.NDArray[np.float64]) -> Hashes:
    bits = (numbers + 0.0).view(np.uint64)  # -0.0 becomes 0.0
    hashes = _mixed(np.where(bits == 0, np.uint64(1), bits), _GAMMA)
    return np.where(np.isnan(numbers), np.uint64(0), hashes)


def _time_hash(column: pd.Series) -> Hashes:
    instants = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
    codes, distinct = pd.factorize(instants.to_numpy(dtype="datetime64[ns]"))
    return _taken(_text_hash(_iso_texts(distinct)), codes)


def _iso_texts(times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.object_]:
    return np.datetime_as_string(times.astype("datetime64[ns]"), unit="ns").astype(object)


_BEGINS: Final = frozenset("+-.0123456789iInN?")
"""First characters of a number.

Other notations of numbers are text here, because the hash of a row must never change.
"""


def _of_distinct(column: pd.Series) -> Hashes:
    """Hash each distinct value once, by its content and not by its storage type."""
    codes, distinct = pd.factorize(column, use_na_sentinel=True)
    texts = np.array([str(value).strip() for value in distinct], dtype=object)
    if len(texts) == 0:
        return np.zeros(len(column), dtype=np.uint64)
    hashes = _text_hash(texts)
    numbers = np.full(len(texts), np.nan)
    maybe = [index for index, text in enumerate(texts) if text[:1] in _BEGINS]
    numbers[maybe] = pd.to_numeric(pd.Series(texts[maybe], dtype=object), errors="coerce")
    readable = ~np.isnan(numbers)
    hashes[readable] = _number_hash(numbers[readable])
    for index, text in enumerate(texts):
        if readable[index]:
            continue
        word = text.lower()
        if word in _MISSING_WORDS:
            hashes[index] = 0
        elif word in _TRUTH:
            hashes[index] = _text_hash(np.array([word], dtype=object))[0]
        elif _ISO.fullmatch(text) is not None:
            hashes[index] = _iso_hash(text)
    return _taken(hashes, codes)


def _iso_hash(text: str) -> np.uint64:
    time = pd.to_datetime(text, errors="coerce", utc=True)
    if pd.isna(time):
        return np.uint64(_text_hash(np.array([text], dtype=object))[0])
    return np.uint64(_text_hash(_iso_texts(np.array([time.tz_localize(None).to_datetime64()])))[0])


def _text_hash(texts: npt.NDArray[np.object_]) -> Hashes:
    found = pd.util.hash_array(texts, encoding="utf8", hash_key=_FIXED_KEY, categorize=False)
    return np.maximum(np.asarray(found, dtype=np.uint64), np.uint64(1))


def _taken(hashes: Hashes, codes: npt.NDArray[np.intp]) -> Hashes:
    return np.append(hashes, np.uint64(0))[codes]  # the last value is for code -1, a missing value
