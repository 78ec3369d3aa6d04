"""The quality of the models that the trainer makes from real data, compared with a naive baseline and with the aim.

    PYTHONPATH=. .venv/bin/python tests/benchmarks/accuracy.py      # or: make bench-accuracy

Each row is one `trainyard-trainer run` of a TrainingJob that is written here. The trainer's defaults apply to all other
fields. Some benchmarks have rows of their own for the test (CMAPSS's test engines, ETTh1's last months). For these, the
saved model is loaded and predicts. For all others, the metrics are those of the version.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import yaml

from tests.benchmarks import long_horizon, turbofan
from tests.unit.trainer.data.jobs import REAL_DATA

LEAKS: Final = ["UDI", "Product ID", "TWF", "HDF", "PWF", "OSF", "RNF"]
"""Columns of AI4I: identifiers of rows, and the kinds of failure from which the target is computed."""


@dataclass(frozen=True)
class Row:
    """One figure.

    ``baseline`` is the figure of the naive model on the same rows. With ``least`` a higher figure is better.
    """

    what: str
    metric: str
    ours: float
    baseline: float | None = None
    aim: float | None = None
    least: bool = False
    seconds: float = 0.0

    @property
    def is_missed(self) -> bool:
        """Whether there is an aim that is not reached."""
        return self.aim is not None and (self.ours < self.aim if self.least else self.ours > self.aim)

    def __str__(self) -> str:
        """Return the row of a table in Markdown."""
        baseline = "-" if self.baseline is None else f"{self.baseline:.3f}"
        aim = "-"
        if self.aim is not None:
            verdict = "missed" if self.is_missed else "met"
            aim = f"{'at least' if self.least else 'at most'} {self.aim:g}: {verdict}"
        return f"| {self.what} | {self.metric} | {self.ours:.3f} | {baseline} | {aim} | {self.seconds:.0f} |"


@dataclass(frozen=True)
class Version:
    """The result of a training. ``seconds`` is the time of the whole process."""

    folder: Path
    metrics: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Trainings:
    """Runs jobs in ``folder``, on the data in ``data``."""

    folder: Path
    data: Path

    def table(self, name: str, frame: pd.DataFrame) -> Path:
        """Write a prepared table."""
        path = self.folder / f"{name}.csv"
        frame.to_csv(path, index=False)
        return path

    def train(self, name: str, table: Path, **spec: Any) -> Version:
        """Train one job as a user would. Raises RuntimeError with the end of the trainer's output."""
        data = {"uri": f"file://{table}", **spec.pop("data")}
        document = {
            "apiVersion": "trainyard.dev/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": name},
            "spec": {"data": data, **spec},
        }
        job, output = self.folder / f"{name}.yaml", self.folder / name
        job.write_text(yaml.safe_dump(document))
        start = time.perf_counter()
        command = [sys.executable, "-m", "trainyard_trainer", "run", "-f", str(job), "--output", str(output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{name}: exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        seconds = time.perf_counter() - start
        folder = Path(json.loads((output / "result.json").read_text())["artifact"]["uri"].removeprefix("file://"))
        manifest = json.loads((folder / "manifest.json").read_text())
        return Version(folder, manifest["metrics"], seconds)


def ai4i(run: Trainings) -> Iterator[Row]:
    """Failures of machines: 339 of 10,000 rows."""
    found = run.train(
        "ai4i",
        run.data / "ai4i2020.csv",
        framework="LightGBM",
        task="Classification",
        data={"target": "Machine failure", "exclude": LEAKS},
    )
    share = found.metrics["baseline_average_precision"]
    yield Row("AI4I 2020, stratified", "AUC", found.metrics["auc"], 0.5, 0.97, least=True, seconds=found.seconds)
    precision = found.metrics["average_precision"]
    yield Row("AI4I 2020, stratified", "average precision", precision, share, 0.80, least=True, seconds=found.seconds)


def cmapss(run: Trainings) -> Iterator[Row]:
    """Engines: the number of cycles that are left, and whether fewer than 31 are left."""
    from trainyard_trainer.frameworks.lightgbm.framework import LightGBMFramework

    rows = turbofan.training_rows(run.data)
    table = run.table("turbofan", rows)
    life = run.train(
        "life",
        table,
        framework="LightGBM",
        task="Regression",
        data={"target": "life", "group": "unit", "exclude": ["soon"]},
        split={"strategy": "Group", "testFraction": 0.1},
    )
    inputs, actual = turbofan.test_rows(run.data)
    framework = LightGBMFramework()
    predicted = framework.predict(framework.load(life.folder), inputs)["prediction"].to_numpy(dtype=float)
    mean = np.full(len(actual), rows["life"].mean())
    what = "CMAPSS FD001, cycles left of the 100 test engines"
    for variant, truth in (
        ("their own cap of 125 too", np.minimum(actual, turbofan.CAP)),
        ("no cap on the truth", actual),
    ):
        error, naive = _rmse(predicted, truth), _rmse(mean, truth)
        yield Row(f"{what}, {variant}", "RMSE", error, naive, 19.5, seconds=life.seconds)
    soon = run.train(
        "soon",
        table,
        framework="LightGBM",
        task="Classification",
        data={"target": "soon", "group": "unit", "exclude": ["life"]},
        split={"strategy": "Group"},
    )
    what = "CMAPSS FD001, fails within 30 cycles, by engine"
    yield Row(what, "AUC", soon.metrics["auc"], 0.5, 0.985, least=True, seconds=soon.seconds)


def _rmse(predicted: np.ndarray, actual: np.ndarray) -> float:
    return float(np.sqrt(np.mean((predicted - actual) ** 2)))


def etth1(run: Trainings) -> Iterator[Row]:
    """Oil temperature and loads, 96 hours ahead, on standardised columns."""
    columns = long_horizon.standardised(run.data / "ETTh1.csv")
    found = run.train(
        "etth1",
        run.table("etth1", long_horizon.known_rows(columns)),
        framework="Torch",
        task="Forecast",
        data={"time": "date", "series": "column", "target": "value"},
        forecast={"horizon": long_horizon.HORIZON},
        split={"validationFraction": 0.25},
    )
    ours, naive = long_horizon.judge(found.folder, columns)
    what = "ETTh1, 7 series, 96 hours ahead, 2,785 windows of the last 4 months"
    yield Row(what, "MSE", ours.mse, naive.mse, 0.40, seconds=found.seconds)
    yield Row(what, "MAE", ours.mae, naive.mae, seconds=found.seconds)


def bikes(run: Trainings) -> Iterator[Row]:
    """Rentals of bikes in a city, for each hour of the next week."""
    for framework in ("Prophet", "LightGBM"):
        found = run.train(
            f"bikes-{framework.lower()}",
            run.data / "bike_sharing_hourly.csv",
            framework=framework,
            task="Forecast",
            data={"time": "date_time", "target": "users"},
            forecast={"horizon": 168},
        )
        yield from _beside_naive(f"bike sharing, hourly, a week ahead, {framework}", found)


def tourism(run: Trainings) -> Iterator[Row]:
    """Trips to the regions of Australia by purpose: 304 short series by quarter."""
    frame = pd.read_csv(run.data / "australia_tourism.csv")
    frame["key"] = frame["Region"] + "/" + frame["Purpose"]
    table = run.table("tourism", frame[["date_time", "key", "Trips"]])
    for framework in ("Prophet", "LightGBM"):
        found = run.train(
            f"tourism-{framework.lower()}",
            table,
            framework=framework,
            task="Forecast",
            data={"time": "date_time", "series": "key", "target": "Trips"},
            forecast={"horizon": 8},
        )
        yield from _beside_naive(f"tourism, 304 series, 8 quarters ahead, {framework}", found)


def _beside_naive(what: str, found: Version) -> Iterator[Row]:
    for name in ("mae", "rmse"):
        yield Row(what, name.upper(), found.metrics[name], found.metrics[f"baseline_{name}"], seconds=found.seconds)


PARTS: Final[dict[str, Callable[[Trainings], Iterator[Row]]]] = {
    "ai4i": ai4i,
    "cmapss": cmapss,
    "etth1": etth1,
    "bikes": bikes,
    "tourism": tourism,
}


def main() -> int:
    """Print the table; return 1 if an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    default = Path(os.environ.get("TRAINYARD_BENCH_DATA") or REAL_DATA)
    parser.add_argument("--data", type=Path, default=default, help=f"folder of the data sets, {default}")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    options = parser.parse_args()
    print("| data | metric | ours | naive | aim | seconds |\n|---|---|---|---|---|---|", flush=True)
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for part in options.only:
            for row in PARTS[part](Trainings(Path(folder), options.data.resolve())):
                print(row, flush=True)
                missed += row.is_missed
    return min(1, missed)


if __name__ == "__main__":
    sys.exit(main())
