"""The split: a rule for each row alone. New, deleted or reordered rows do not move other rows.

Random, Stratified and Group assign a row by a hash: of its group, of ``data.key``, or of its values. The test part has
the lowest hashes, and the validation part has the highest. So a row of the test part never trains a judged model, even
if the table changes. The fractions hold within sampling error, in total and for each class, and equal rows are in the
same part. Time cuts between instants; there, the models record the last time that they were trained on.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.training import Split
from trainyard_trainer.data.dataset import Parts
from trainyard_trainer.data.values.row_hash import Hashes, hash_rows, hash_values, unit_interval
from trainyard_trainer.errors import DataError

Strategy = Literal["Time", "Group", "Stratified", "Random"]


@dataclass(frozen=True)
class Sides:
    """The rule that assigns rows of any table to the parts of a split.

    Attributes
    ----------
    columns
        The hashed columns: the group, the key, or all columns that identify a row. For Time, the time column.
    """

    strategy: Strategy
    seed: int
    test_fraction: float
    validation_fraction: float
    columns: tuple[str, ...]

    @classmethod
    def of(cls, strategy: Strategy, split: Split, columns: tuple[str, ...]) -> Self:
        """Return the rule of a specification."""
        return cls(strategy, split.seed, split.test_fraction, split.validation_fraction, columns)

    def positions(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return the position of each row between 0 and 1; shape (rows,).

        Below the test fraction, it is in the test part.
        """
        return unit_interval(self.hashes(rows), self.seed)

    def hashes(self, rows: pd.DataFrame) -> Hashes:
        """Return the hashes for the positions; shape (rows,). Rows with equal hashes are in the same part."""
        if self.strategy == "Group" or len(self.columns) == 1:
            return hash_values(rows[self.columns[0]])
        return hash_rows(rows[list(self.columns)])

    def judges(self, rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Return a mask of rows that no judged model with this rule was trained on; shape (rows,). Not for Time."""
        return self.positions(rows) < self.test_fraction


def split_by_hash(sides: Sides, hashes: Hashes) -> Parts:
    """Split rows by their hashes. Rows with equal hashes are in the same part.

    With few hashes, the validation part can be empty. Then the training rows closest to it are moved there. The test
    part is never filled up, because a test row of today would become a training row later.

    Raises
    ------
    DataError
        If a part has no rows.
    """
    positions = unit_interval(hashes, sides.seed)
    test = positions < sides.test_fraction
    validation = ~test & (positions >= 1 - sides.validation_fraction)
    others = ~test & ~validation
    if not validation.any() and others.any():
        validation = others & (positions == positions[others].max())
    elif validation.any() and not others.any():
        others = validation & (positions == positions[validation].min())
        validation = validation & ~others
    parts = Parts(*(np.flatnonzero(part) for part in (others & ~validation, validation, test)))
    _require_rows(sides, parts, hashes)
    return parts


def _require_rows(sides: Sides, parts: Parts, hashes: Hashes) -> None:
    sizes = {"train": len(parts.train), "validate": len(parts.validation), "judge": len(parts.test)}
    empty = [name for name, size in sizes.items() if size == 0]
    if not empty:
        return
    one = len(sides.columns) == 1
    what = f"different values of column {sides.columns[0]!r}" if one else "different rows"
    raise DataError(
        f"the split {sides.strategy} of {len(hashes)} rows ({len(pd.unique(hashes))} {what}) leaves no rows to "
        f"{' and to '.join(empty)}, because the hash of each row decides its part; give more data, a larger "
        "split.testFraction, or another split.seed"
    )


def split_by_time(times: pd.Series, split: Split) -> Parts:
    """Split between instants, by their number.

    Rows of one instant stay together, and no part has data later than the next.

    ``times`` must have the name of its column.

    Raises
    ------
    DataError
        If there are too few distinct times.
    """
    distinct, codes = np.unique(times.to_numpy(), return_inverse=True)
    if len(distinct) < 3:
        raise DataError(
            f"a split by time needs at least 3 distinct times, but column {times.name!r} (data.time) has "
            f"{len(distinct)}; give more data or choose another split.strategy"
        )
    test = max(1, round(len(distinct) * split.test_fraction))
    validation = max(1, round(len(distinct) * split.validation_fraction))
    if test + validation >= len(distinct):
        raise DataError(
            f"the split Time of {len(times)} rows at {len(distinct)} instants leaves no rows to train; give more data "
            "or change split.testFraction and split.validationFraction"
        )
    part = np.zeros(len(distinct), dtype=np.int8)
    part[len(distinct) - test - validation :] = 1
    part[len(distinct) - test :] = 2
    return Parts(*(np.flatnonzero(part[codes] == number) for number in range(3)))


def digest_of(frame: pd.DataFrame) -> str:
    """Return ``sha256:`` and the digest of a frame: names, order of rows, and values, but not its index or memory
    layout.
    """
    hashes = np.asarray(pd.util.hash_pandas_object(frame, index=False, categorize=True), dtype=np.uint64)
    return digest_of_rows(frame.columns, hashes)


def digest_of_rows(names: Iterable[Any], hashes: npt.NDArray[np.uint64]) -> str:
    """Return a digest of rows in this order, by the names of their columns and a hash of each row."""
    content = hashlib.sha256("\x00".join(map(str, names)).encode())
    content.update(hashes.tobytes())
    return f"sha256:{content.hexdigest()}"
