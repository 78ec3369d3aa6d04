"""The time to read a CSV with the trainer, compared with Arrow alone, in the same process.

    PYTHONPATH=. .venv/bin/python tests/benchmarks/reading.py      # or: make bench-reading

The trainer's side is the whole stage. It finds the file and its dialect, reads it into a frame with categories,
computes its hash, and looks for a missing quotation mark. Arrow's sides are ``read_csv(path)``, once without and once
with ``to_pandas()``, which a notebook would use. The sides alternate, and the ratios are computed per round, so that
other load on the machine affects all sides. All sides use every core: wall seconds count, CPU seconds are shown too.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from tests.unit.trainer.data.jobs import environment, job
from trainyard_trainer.data.loading import load

PRODUCTS = 1_000
WEATHER = ("clear", "mist", "rain", "snow")


def sales(rows: int) -> pa.Table:
    """Return daily sales of many products: a date, two text columns, two decimal columns and two integer columns."""
    random = np.random.default_rng(0)
    days = rows // PRODUCTS + 1
    names = np.array([f"shop-{number % 40:02d}/product-{number:04d}" for number in range(PRODUCTS)])
    product, day = np.divmod(np.arange(rows), days)
    return pa.table(
        {
            "ds": pa.array((np.datetime64("2010-01-01") + day).astype("datetime64[s]")),
            "key": names[product],
            "y": random.poisson(20, rows),
            "price": np.round(random.gamma(3, 5, rows), 2),
            "temperature": np.round(random.normal(12, 8, rows), 1),
            "weather": np.array(WEATHER)[random.integers(0, len(WEATHER), rows)],
            "stock": random.integers(0, 1_000, rows),
        }
    )


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Return wall and CPU seconds. The result of ``work`` is freed after the clocks have stopped."""
    wall, used = time.perf_counter(), time.process_time()
    result = work()
    seconds = time.perf_counter() - wall, time.process_time() - used
    del result
    return seconds


def compare(title: str, path: Path, folder: Path, rounds: int) -> None:
    """Print two lines for a file: the medians of the sides, and the ratios of the trainer to each other side."""
    config = job(path, target="y", data={"time": "ds", "series": "key"})
    env = environment(folder)
    sides: dict[str, Callable[[], Any]] = {
        "trainer": lambda: load(config, env, lambda *_: None, lambda: False),
        "Arrow": lambda: pyarrow.csv.read_csv(path),
        "Arrow to a frame": lambda: pyarrow.csv.read_csv(path).to_pandas(),
    }
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for round_number in range(rounds + 1):
        for name in list(sides) if round_number % 2 == 0 else reversed(list(sides)):
            measured[name].append(timed(sides[name]))
    print(f"{title}, {path.stat().st_size / 2**20:.0f} MiB")
    for index, clock in enumerate(("wall", "CPU")):
        kept = {
            name: [pair[index] for pair in pairs[1:]] for name, pairs in measured.items()
        }  # the first round is a warm-up
        cells = [f"{name} {statistics.median(times):6.3f} s" for name, times in kept.items()]
        for name in list(sides)[1:]:
            ratios = sorted(a / b for a, b in zip(kept["trainer"], kept[name], strict=True))
            cells.append(f"to {name} {statistics.median(ratios):5.3f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
        print(f"  {clock:4} " + "  ".join(cells), flush=True)


def main() -> None:
    """Write the files and compare the readers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = sales(options.rows)
        for title, style in (("without quotation marks", "none"), ("texts in quotation marks", "needed")):
            path = folder / f"{style}.csv"
            write = pyarrow.csv.WriteOptions(quoting_style=style, quoting_header="none")
            pyarrow.csv.write_csv(table, path, write)
            compare(f"{title}, {options.rows} rows", path, folder, options.rounds)
            path.unlink()


if __name__ == "__main__":
    main()
