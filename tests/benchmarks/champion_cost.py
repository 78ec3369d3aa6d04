"""The time of the comparison with the champion during a training, as a share of the whole training.

    PYTHONPATH=. .venv/bin/python tests/benchmarks/champion_cost.py [--repeats 3]

Each case trains a model, adds rows to the data, and trains again with the first version as champion, in this process.
The time of the comparison includes everything from the download of the champion's files to the last interval.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from tests.unit.trainer.job.compare.nights import FORECAST, TABLE, Nights, ref
from trainyard_trainer.job import pipeline

Case = tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]


def main() -> None:
    """Print one row per case: the median share, and the seconds from which it is computed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    print("| training | comparison with the champion | whole training | share |\n|---|---|---|---|")
    for name, case in _cases().items():
        found = [_measured(*case) for _ in range(repeats)]
        share, compared, whole = sorted((compared / whole, compared, whole) for compared, whole in found)[repeats // 2]
        spread = statistics.pstdev([compared / whole for compared, whole in found])
        print(f"| {name} | {compared:.2f} s | {whole:.2f} s | {share:.1%} (+- {spread:.1%}) |", flush=True)


def _measured(then: pd.DataFrame, now: pd.DataFrame, spec: dict[str, Any]) -> tuple[float, float]:
    compared: list[float] = []
    compare = pipeline.compare

    def timed(*arguments: Any) -> Any:
        began = time.monotonic()
        found = compare(*arguments)
        compared.append(time.monotonic() - began)
        return found

    with tempfile.TemporaryDirectory() as folder, patch.object(pipeline, "compare", timed):
        nights = Nights(Path(folder))
        champion = ref(nights.train(then, **spec))
        began = time.monotonic()
        result = nights.train(now, champion=champion, **spec)
        whole = time.monotonic() - began
    if result.comparison is None or result.comparison.reason != "Compared":
        raise RuntimeError(f"nothing was compared: {result.message}")
    return compared[0], whole


def _cases() -> dict[str, Case]:
    day = _sales(50)
    before = day[day["day"] < day["day"].max()]
    many = _sales(500)
    rows = _machines(210_000)
    usual = {"parameters": {}}
    return {
        "LightGBM, table of 2,000 x 20": (rows.head(1_900), rows.head(2_000), TABLE | usual),
        "LightGBM, table of 210,000 x 20": (rows.head(200_000), rows, TABLE | usual),
        "LightGBM, 50 series of 2 years": (before, day, FORECAST | usual),
        "LightGBM, 500 series of 2 years": (many[many["day"] < many["day"].max()], many, FORECAST | usual),
        "Prophet, 50 series of 2 years": (before, day, FORECAST | usual | {"framework": "Prophet"}),
    }


def _sales(items: int) -> pd.DataFrame:
    random, days = np.random.default_rng(0), pd.date_range("2024-01-01", periods=731)
    steps = np.arange(len(days))
    season = 50 + 10 * np.sin(steps * 2 * np.pi / 7) + 5 * np.sin(steps * 2 * np.pi / 365)
    values = season + random.normal(0, 3, (items, len(days)))
    names = np.repeat([f"item {number:03}" for number in range(items)], len(days))
    return pd.DataFrame({"day": np.tile(days, items), "item": names, "sold": values.ravel().round(2)})


def _machines(rows: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    values = random.normal(size=(rows, 20))
    failed = values[:, :5].sum(axis=1) + random.normal(size=rows) > 2
    frame = pd.DataFrame(values, columns=[f"x{number}" for number in range(20)])
    return frame.assign(failed=np.where(failed, "yes", "no"))


if __name__ == "__main__":
    main()
