"""Who is held out: a rule that looks at each row alone, so that growth, deletion and order move no row.

Random, Stratified and Group put a row on a side by a hash: of its group, of ``data.key``, else of its values. The test
part is the low end of the hashes, the validation part the high end. A row that judged once therefore never trains a
judged model, however the table changes. The fractions hold within sampling error, for each class as for the whole, and
equal rows stand on one side. Time cuts between instants; there the models remember until when they have learned.
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
    """The rule that puts rows on the sides of a split, whatever table they stand in.

    Attributes
    ----------
    columns
        What is hashed: the group, the key, or every column whose values are the row's own; for Time that of the times.
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
        """Return where each row lies between 0 and 1: below the test fraction it judges; shape (rows,)."""
        return unit_interval(self.hashes(rows), self.seed)

    def hashes(self, rows: pd.DataFrame) -> Hashes:
        """Return what the places are made of; rows of one hash stand on one side. Shape (rows,)."""
        if self.strategy == "Group" or len(self.columns) == 1:
            return hash_values(rows[self.columns[0]])
        return hash_rows(rows[list(self.columns)])

    def judges(self, rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Tell which rows no judged model of this rule has ever learned from; shape (rows,). Not for Time."""
        return self.positions(rows) < self.test_fraction


def split_by_hash(sides: Sides, hashes: Hashes) -> Parts:
    """Divide rows by their hashes; each hash stands on one side.

    Too few hashes may leave no row to validate: then the one that comes nearest moves there from the training part. The
    test part is never filled up: a row that judges today would train tomorrow.

    Raises
    ------
    DataError
        If no row judges, or none is left to train.
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
        f"{' and to '.join(empty)}: each row's own hash decides, so that it never changes sides; give more data, a "
        "larger split.testFraction, or another split.seed"
    )


def split_by_time(times: pd.Series, split: Split) -> Parts:
    """Cut between instants, by their number: rows of one instant stay together, and no part sees what comes later.

    ``times`` has the name of its column.

    Raises
    ------
    DataError
        If there are too few distinct times.
    """
    distinct, codes = np.unique(times.to_numpy(), return_inverse=True)
    if len(distinct) < 3:
        raise DataError(
            f"a split by time needs at least 3 distinct times, column {times.name!r} (data.time) has {len(distinct)}; "
            "give more data or choose another split.strategy"
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
    """Return ``sha256:`` over the content of a frame: names, order of rows, values; not its index or memory layout."""
    hashes = np.asarray(pd.util.hash_pandas_object(frame, index=False, categorize=True), dtype=np.uint64)
    return digest_of_rows(frame.columns, hashes)


def digest_of_rows(names: Iterable[Any], hashes: npt.NDArray[np.uint64]) -> str:
    """Return a digest of rows, in this order, by the names of their columns and a hash of each row."""
    content = hashlib.sha256("\x00".join(map(str, names)).encode())
    content.update(hashes.tobytes())
    return f"sha256:{content.hexdigest()}"
