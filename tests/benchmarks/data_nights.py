"""How often an honest night causes a warning, and how often a poisoned night causes none.

Prints the tables of decision 0028.

    PYTHONPATH=. .venv/bin/python tests/benchmarks/data_nights.py --seeds 10
"""

import argparse
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from tests.unit.trainer.report.profile.nights import (
    SHAPES,
    Random,
    Shape,
    compared,
    config_of,
    profile,
    scaled,
    shuffled,
    valid_nights,
    warnings_of,
)
from trainyard_trainer.errors import DataError

NIGHTS = 30


def main() -> None:
    """Print one row per shape: rows of the first night, and shares of honest and poisoned nights with a warning."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", nargs="*", default=list(SHAPES))
    options = parser.parse_args()
    print("| Shape | Rows | Honest, against the night before | Honest, against night 0 | " + " | ".join(POISONS) + " |")
    print("|---|---|---|---|" + "---|" * len(POISONS))
    for name in options.only:
        honest = [_warned(name, options.seeds, promoted=promoted) for promoted in (True, False)]
        rows, detected = _detected(name, options.seeds)
        cells = [f"{share:.1%}" for share in honest] + ["" if share is None else f"{share:.0%}" for share in detected]
        print(f"| {name} | {rows} | {' | '.join(cells)} |", flush=True)


def _warned(name: str, seeds: int, *, promoted: bool) -> float:
    nights = 1 if name == "leap" else NIGHTS
    found = [bool(one) for seed in range(seeds) for one in valid_nights(name, seed, nights, promoted=promoted)]
    return sum(found) / len(found)


def _detected(name: str, seeds: int) -> tuple[int, list[float | None]]:
    warned: dict[str, list[bool]] = {poison: [] for poison in POISONS}
    rows = 0
    for seed in range(seeds):
        shape = SHAPES[name](np.random.default_rng([seed, len(name)]))
        config = config_of(shape)
        then, _ = profile(shape.night(0), config)
        rows = then.rows
        for poison, make in POISONS.items():
            for frame in make(shape, np.random.default_rng(seed)):
                try:
                    warned[poison].append(bool(warnings_of(compared(then, frame, config))))
                except DataError:
                    warned[poison].append(True)
    return rows, [sum(one) / len(one) if one else None for one in warned.values()]


def _shuffled(share: float) -> Callable[[Shape, Random], Iterator[pd.DataFrame]]:
    def make(shape: Shape, random: Random) -> Iterator[pd.DataFrame]:
        yield shuffled(shape.night(1), random, share)

    return make


def _unit(share: float) -> Callable[[Shape, Random], Iterator[pd.DataFrame]]:
    """Scale one numeric column in the newest rows. For a forecast, this is the target."""

    def make(shape: Shape, _: Random) -> Iterator[pd.DataFrame]:
        frame = shape.night(1)
        numbers = [name for name in frame.columns if name != "y" and frame[name].dtype.kind in "fi"]
        days = (
            frame["ds"].rank(pct=True)
            if shape.task == "Forecast"
            else pd.Series(np.arange(1, len(frame) + 1)) / len(frame)
        )
        yield scaled(frame, numbers[0] if numbers else "y", (days > 1 - share).to_numpy())

    return make


def _half(shape: Shape, random: Random) -> Iterator[pd.DataFrame]:
    frame = shape.night(1)
    yield frame[random.random(len(frame)) < 0.5].reset_index(drop=True)


POISONS: dict[str, Callable[[Shape, Random], Iterator[pd.DataFrame]]] = {
    "all shuffled": _shuffled(1),
    "30 % shuffled": _shuffled(0.3),
    "10 % shuffled": _shuffled(0.1),
    "unit": _unit(1),
    "unit of the newest 30 %": _unit(0.3),
    "half the rows gone": _half,
}


if __name__ == "__main__":
    main()
