"""The share of held-out rows between the quantiles 0.05 and 0.95 of LightGBM's and Torch's forecasts.

The aim is 0.9.

    PYTHONPATH=. .venv/bin/python tests/benchmarks/quantiles.py

Each row is one `trainyard-trainer run` with the trainer's defaults on public data.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tests.benchmarks.accuracy import Trainings
from tests.unit.trainer.data.jobs import REAL_DATA

LEVELS: Final = [0.05, 0.25, 0.5, 0.75, 0.95]
FRAMEWORKS: Final = ("LightGBM", "Torch")
WEEK: Final = 168


def tourism(data: Path) -> tuple[pd.DataFrame, dict[str, Any], int]:
    """Trips to the regions of Australia by purpose: 304 series by quarter."""
    frame = pd.read_csv(data / "australia_tourism.csv")
    frame["key"] = frame["Region"] + "/" + frame["Purpose"]
    return frame[["date_time", "key", "Trips"]], {"time": "date_time", "series": "key", "target": "Trips"}, 8


def transformer(data: Path) -> tuple[pd.DataFrame, dict[str, Any], int]:
    """Loads and oil temperature of a transformer: seven hourly series of half a year."""
    frame = pd.read_csv(data / "ETTh1.csv").iloc[:14_400].tail(4_400)
    long = frame.melt("date", var_name="key", value_name="value")
    return long, {"time": "date", "series": "key", "target": "value"}, WEEK


def bikes(data: Path) -> tuple[pd.DataFrame, dict[str, Any], int]:
    """Users of shared bikes: one hourly series of two years."""
    frame = pd.read_csv(data / "bike_sharing_hourly.csv")[["date_time", "users"]]
    return frame, {"time": "date_time", "target": "users"}, WEEK


PARTS: Final[dict[str, Callable[[Path], tuple[pd.DataFrame, dict[str, Any], int]]]] = {
    "tourism, 304 series, 8 quarters ahead": tourism,
    "transformer, 7 series, a week of hours ahead": transformer,
    "bike sharing, 1 series, a week of hours ahead": bikes,
}


def rows(run: Trainings) -> Iterator[str]:
    """Yield the rows of the table."""
    for number, (what, part) in enumerate(PARTS.items()):
        frame, data, horizon = part(run.data)
        table = run.table(str(number), frame)
        for framework in FRAMEWORKS:
            forecast = {"horizon": horizon, "quantiles": LEVELS}
            name = f"{framework.lower()}-{number}"
            found = run.train(name, table, framework=framework, task="Forecast", data=data, forecast=forecast)
            values = [found.metrics[metric] for metric in ("coverage", "pinball", "mae", "baseline_mae")]
            yield f"| {what} | {framework} | {' | '.join(f'{value:.3g}' for value in values)} | {found.seconds:.0f} |"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=REAL_DATA, help="folder of the data sets")
    options = parser.parse_args()
    print("| data | framework | coverage of 0.9 | pinball | MAE | naive | seconds |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(Trainings(Path(folder), options.data.resolve())):
            print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
