"""NASA's turbofan engines (CMAPSS FD001) as tables for a training: a row per engine and cycle.

A raw cycle says little about wear: sensors are noisy, and each engine starts at its own level. So a row has the means
of the last cycles, their trend, and the distance to the engine's own first cycles. It has nothing of later cycles.
"""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

CAP: Final = 125
"""The usual cap of the target: an engine with more cycles left than this shows no sign of wear."""

SOON: Final = 30
_NAMES: Final = ["unit", "cycle", *(f"setting{n}" for n in (1, 2, 3)), *(f"s{n}" for n in range(1, 22))]
_SENSORS: Final = [f"s{n}" for n in (2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21)]
"""The other sensors are constant in FD001."""

_SHORT, _LONG, _FIRST = 5, 20, 10


def training_rows(data: Path) -> pd.DataFrame:
    """Return features of all cycles of the engines that ran to failure, with ``life`` (capped) and ``soon``."""
    raw = _read(data / "cmapss_train_FD001.txt.gz")
    left = raw.groupby("unit")["cycle"].transform("max") - raw["cycle"]
    soon = np.where(left <= SOON, "yes", "no")
    return _features(raw).assign(unit=raw["unit"], life=left.clip(upper=CAP), soon=soon)


def test_rows(data: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return features of the last known cycle of each test engine, and the number of cycles that it had left."""
    raw = _read(data / "cmapss_test_FD001.txt.gz")
    features = _features(raw).assign(unit=raw["unit"])
    life = pd.read_csv(data / "cmapss_RUL_FD001.txt.gz", sep=r"\s+", header=None)[0].to_numpy(dtype=float)
    return features.groupby("unit").tail(1).reset_index(drop=True), life


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep=r"\s+", header=None, names=_NAMES)


def _features(raw: pd.DataFrame) -> pd.DataFrame:
    by_engine = raw.groupby("unit")[_SENSORS]
    parts = {"cycle": raw["cycle"]}
    short = by_engine.rolling(_SHORT, min_periods=1).mean().reset_index(level=0, drop=True)
    long = by_engine.rolling(_LONG, min_periods=1).mean().reset_index(level=0, drop=True)
    spread = by_engine.rolling(_LONG, min_periods=2).std().reset_index(level=0, drop=True)
    first = raw[raw["cycle"] <= _FIRST].groupby("unit")[_SENSORS].mean().loc[raw["unit"]].set_index(raw.index)
    is_later = raw["cycle"] > _FIRST  # the first cycles must not use their own mean
    for sensor in _SENSORS:
        parts[f"{sensor}_short"] = short[sensor]
        parts[f"{sensor}_long"] = long[sensor]
        parts[f"{sensor}_trend"] = short[sensor] - long[sensor]
        parts[f"{sensor}_spread"] = spread[sensor]
        parts[f"{sensor}_worn"] = (long[sensor] - first[sensor]).where(is_later, 0.0)
    return pd.DataFrame(parts)
