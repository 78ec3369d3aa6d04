"""Who is held out: positions of rows for training, validation and test, the same for the same seed and data."""

import hashlib
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.training import Split
from trainyard_trainer.data.columns import codes_by_name
from trainyard_trainer.data.dataset import Parts
from trainyard_trainer.errors import DataError

Strategy = Literal["Time", "Group", "Stratified", "Random"]


def split_rows(strategy: Strategy, split: Split, *, rows: int, by: pd.Series | None = None) -> Parts:
    """Divide ``rows`` rows.

    Parameters
    ----------
    by
        The times, the groups or the classes of the rows, for the strategies that need them; length ``rows``. Its
        name is that of the column.

    Raises
    ------
    DataError
        If a part would be empty: too few rows, groups, or distinct times.
    """
    random = np.random.default_rng(split.seed)
    match strategy, by:
        case "Time", pd.Series() as times:
            parts = _by_time(times, split)
        case "Group", pd.Series() as groups:
            parts = _by_group(groups, split, random)
        case "Stratified", pd.Series() as classes:
            parts = _stratified(classes, split, random)
        case _:
            parts = _cut(random.permutation(rows), split)
    sizes = {"train": len(parts.train), "validation": len(parts.validation), "test": len(parts.test)}
    empty = [name for name, size in sizes.items() if size == 0]
    if empty:
        raise DataError(
            f"the split {strategy} of {rows} rows leaves no rows for {' and '.join(empty)}; "
            "give more data or change split.testFraction and split.validationFraction"
        )
    return Parts(np.sort(parts.train), np.sort(parts.validation), np.sort(parts.test))


def _cut(order: npt.NDArray[np.intp], split: Split) -> Parts:
    """Take the test part from the end of an order, the validation part before it."""
    test = max(1, round(len(order) * split.test_fraction))
    validation = max(1, round(len(order) * split.validation_fraction))
    train = max(0, len(order) - test - validation)
    return Parts(order[:train], order[train : train + validation], order[train + validation :])


def _by_time(times: pd.Series, split: Split) -> Parts:
    """Cut between instants, by their number: rows of one instant stay together, and no part sees what comes later."""
    distinct, codes = np.unique(times.to_numpy(), return_inverse=True)
    if len(distinct) < 3:
        raise DataError(
            f"a split by time needs at least 3 distinct times, column {times.name!r} (data.time) has {len(distinct)}; "
            "give more data or choose another split.strategy"
        )
    return _members(codes, _cut(np.arange(len(distinct)), split))


def _by_group(groups: pd.Series, split: Split, random: np.random.Generator) -> Parts:
    codes, names = codes_by_name(groups)
    if len(names) < 3:
        raise DataError(
            f"a split by group needs at least 3 groups, column {groups.name!r} (data.group) has {len(names)}; "
            "give more data or choose another split.strategy"
        )
    return _members(codes, _cut(random.permutation(len(names)), split))


def _members(codes: npt.NDArray[np.intp], chosen: Parts) -> Parts:
    part_of = np.zeros(len(chosen.train) + len(chosen.validation) + len(chosen.test), dtype=np.int8)
    part_of[chosen.validation], part_of[chosen.test] = 1, 2
    of_rows = part_of[codes]
    return Parts(*(np.flatnonzero(of_rows == part) for part in range(3)))


def _stratified(classes: pd.Series, split: Split, random: np.random.Generator) -> Parts:
    codes, names = pd.factorize(classes, sort=True)
    cuts = []
    for code in range(len(names)):
        members = random.permutation(np.flatnonzero(codes == code))
        # A class of one or two rows can only be learned, not judged.
        cuts.append(_cut(members, split) if len(members) >= 3 else Parts(members, members[:0], members[:0]))
    return Parts(
        np.concatenate([cut.train for cut in cuts]),
        np.concatenate([cut.validation for cut in cuts]),
        np.concatenate([cut.test for cut in cuts]),
    )


def digest_of(frame: pd.DataFrame) -> str:
    """Return ``sha256:`` over the content of a frame: names, order of rows, values; not its index or memory layout.

    Two versions of a model may be compared when they were judged by holdouts of the same digest.
    """
    return digest_of_rows(frame.columns, row_hashes(frame))


def row_hashes(frame: pd.DataFrame) -> npt.NDArray[np.uint64]:
    """Return a number for the values of each row, whatever the other rows are; shape (rows,)."""
    return np.asarray(pd.util.hash_pandas_object(frame, index=False, categorize=True), dtype=np.uint64)


def digest_of_rows(names: Iterable[Any], hashes: npt.NDArray[np.uint64]) -> str:
    """Return the digest of a frame by its columns and its ``row_hashes``."""
    content = hashlib.sha256("\x00".join(map(str, names)).encode())
    content.update(hashes.tobytes())
    return f"sha256:{content.hexdigest()}"
