"""Thirty nights of a growing table: the specifications and the corrupted nights. Used with and without a cluster."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd

from tests.unit.trainer.job.compare.nights import QUICK, machines

NIGHTS: Final = 30
BETTER_NIGHT: Final = 8
"""From here on the features hold the best feature."""
WORSE_NIGHTS: Final = (5, 10, 20)
"""Somebody tries features without the two best features."""

NOT_WORSE: Final = {"metric": "auc", "compareTo": "Champion", "tolerance": 0.05}
DATA_GATES: Final = [
    {"metric": "data_rows_ratio", "op": ">=", "value": 0.7},
    {"metric": "data_missing_increase", "op": "<=", "value": 0.1},
    {"metric": "data_scale_ratio", "op": "<", "value": 10},
    {"metric": "data_relation_shift", "op": "<=", "value": 3},
]

_FIRST, _EACH = 1200, 60
_WEAK, _STRONG, _WORSE = ["load", "noise", "age"], ["heat", "load", "noise", "age"], ["noise", "age"]


def _shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(failed=np.random.default_rng(1).permutation(frame["failed"].to_numpy()))


POISON: Final[dict[int, Callable[[pd.DataFrame], pd.DataFrame]]] = {
    14: _shuffled,
    18: lambda frame: frame.assign(heat=frame["heat"] * 1000),
    22: lambda frame: frame.head(len(frame) // 2),
    26: lambda frame: frame.assign(heat=frame["heat"].mask(np.arange(len(frame)) % 3 == 0)),
}
"""What is wrong with the table of a night; on the next one it is repaired."""


def table(night: int) -> pd.DataFrame:
    """Return the table of a night, corrupted or not."""
    frame = machines(_FIRST + NIGHTS * _EACH, seed=4).head(_FIRST + night * _EACH)
    return POISON.get(night, pd.DataFrame.copy)(frame)


def spec(night: int) -> dict[str, Any]:
    """Return the spec of the TrainingJob of this night, without the address of its data."""
    features = _WORSE if night in WORSE_NIGHTS else _WEAK if night < BETTER_NIGHT else _STRONG
    return {"task": "Classification", "data": {"target": "failed", "features": features}, "parameters": {**QUICK}}


def is_good(night: int) -> bool:
    """Return whether the model of a night should take over."""
    return night not in {*POISON, *WORSE_NIGHTS}
