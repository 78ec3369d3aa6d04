"""The speed and the memory of the trainer. Figures that depend on the machine are ratios within one run.

    PYTHONPATH=. .venv/bin/python tests/benchmarks/trainer_speed.py      # or: make bench-trainer

Each training is the whole process of `trainyard-trainer run`, with imports. Memory is the sum over all of its
processes. Shared pages count once. See also `trainer_overhead.py` (the bare library) and `reading.py` (Arrow).
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import yaml

from tests.benchmarks.memory import PeakMemory

TWO_YEARS: Final = 730


@dataclass(frozen=True)
class Run:
    """One training: the seconds of its whole process, and its largest memory."""

    seconds: float
    mib: float
    processes: int


def products(count: int, days: int) -> pd.DataFrame:
    """Return daily sales with a trend, a weekly pattern and a yearly pattern."""
    random = np.random.default_rng(0)
    time_ = pd.date_range("2023-01-01", periods=days)
    step = np.arange(days)
    parts = []
    for number in range(count):
        week, year = random.uniform(0.1, 0.5, 2)
        season = 1 + week * np.sin(2 * np.pi * step / 7) + year * np.sin(2 * np.pi * step / 365.25)
        expected = random.uniform(20, 80) * season * (1 + random.uniform(-2e-4, 4e-4) * step)
        parts.append(
            pd.DataFrame({"date": time_, "product": f"product {number:04d}", "quantity": random.poisson(expected)})
        )
    return pd.concat(parts, ignore_index=True)


def train(folder: Path, frame: pd.DataFrame, **spec: Any) -> Run:
    """Train on a table in a process of its own. Raises RuntimeError with the end of its output."""
    table = folder / "table.csv"
    frame.to_csv(table, index=False)
    data = {"uri": f"file://{table}", "time": "date", "series": "product", "target": "quantity"}
    document = {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "speed"},
        "spec": {"framework": "Prophet", "task": "Forecast", "data": data, "forecast": {"horizon": 28}, **spec},
    }
    job, log = folder / "job.yaml", folder / "log"
    job.write_text(yaml.safe_dump(document))
    with tempfile.TemporaryDirectory(dir=folder) as output, log.open("wb") as out:
        start = time.perf_counter()
        command = [sys.executable, "-m", "trainyard_trainer", "run", "-f", str(job), "--output", output]
        with subprocess.Popen(command, stdout=out, stderr=out) as process, PeakMemory(process.pid) as memory:
            code = process.wait()
        seconds = time.perf_counter() - start
    if code != 0:
        raise RuntimeError(f"exit code {code}: {log.read_text()[-2000:]}")
    return Run(seconds, memory.mib, memory.processes)


def imports(folder: Path, rounds: int) -> None:
    """Time the import of the package, and the imports before a job is read, less the start of Python."""

    def seconds(code: str) -> tuple[float, float]:
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return time.perf_counter() - start, used

    for what in ("import trainyard_trainer", "import trainyard_trainer.job.run"):
        pairs = [(seconds(what), seconds("pass")) for _ in range(max(3, rounds))]
        wall, used = (statistics.median(imported[index] - bare[index] for imported, bare in pairs) for index in (0, 1))
        print(f"{what}: {wall:.2f} s, {used:.2f} s of CPU", flush=True)


def ten_products(folder: Path, rounds: int) -> None:
    """Time a small shop. The service that trainyard replaces took minutes for it."""
    runs = [train(folder, products(10, TWO_YEARS)) for _ in range(rounds)]
    seconds = statistics.median(run.seconds for run in runs)
    print(f"10 products, 2 years of days, whole process: {seconds:.1f} s, {runs[0].mib:.0f} MiB", flush=True)


def workers(folder: Path, rounds: int) -> None:
    """Compare one worker with two on 50 series."""
    frame = products(50, TWO_YEARS)
    pairs = []
    for round_number in range(rounds):
        order = (1, 2) if round_number % 2 == 0 else (2, 1)
        runs = {count: train(folder, frame, workers=count) for count in order}
        pairs.append((runs[1], runs[2]))
    ratios = sorted(one.seconds / two.seconds for one, two in pairs)
    one, two = (statistics.median(pair[side].seconds for pair in pairs) for side in (0, 1))
    mib = max(pair[1].mib for pair in pairs)
    print(
        f"Prophet, 50 series: 1 worker {one:.1f} s, 2 workers {two:.1f} s, ratio {statistics.median(ratios):.2f} "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f}; aim: 1.8), {mib:.0f} MiB of {pairs[0][1].processes} processes "
        "(aim: 600)",
        flush=True,
    )


def many_series(folder: Path, rounds: int) -> None:
    """Compare the memory of jobs with different numbers of series.

    The series are short, so that it takes only minutes.
    """
    counts = (200, 1000)
    found = {
        count: train(folder, products(count, 100), workers=2, split={"folds": 1}, parameters={"growth": "flat"})
        for count in counts
    }
    cells = ", ".join(f"{count} series {run.mib:.0f} MiB in {run.seconds:.0f} s" for count, run in found.items())
    print(f"Memory: {cells}, ratio {found[1000].mib / found[200].mib:.2f}", flush=True)


PARTS: Final[dict[str, Callable[[Path, int], None]]] = {
    "imports": imports,
    "ten-products": ten_products,
    "workers": workers,
    "many-series": many_series,
}


def main() -> None:
    """Run the requested parts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for part in options.only:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[part](Path(folder), options.rounds)


if __name__ == "__main__":
    main()
