"""Forecasts compared with bare libraries: error and seconds of one core, on the same rows in one run.

    PYTHONPATH=. .venv/bin/python tests/benchmarks/forecasts.py            # or: make bench-forecasts
    PYTHONPATH=. .venv/bin/python tests/benchmarks/forecasts.py --throughput 1000

The holdout of each series is its last horizon. The bare libraries are statsforecast, with one method for each series,
and mlforecast, with fixed lags over LightGBM's defaults. Ours is `trainyard-trainer run` with its defaults. It fits
twice: without the holdout for the metrics, and with it for the final model. The seconds are those of the whole process
tree, with imports and the report. The error is MASE: the mean over the series of the mean absolute error, divided by
the mean absolute difference to one season before.

`--throughput N` uses N synthetic series of two years of days instead. It compares StatsForecast with one method and the
same method of the bare library, with the same number of fits, and measures LightGBM's seconds per series.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from tests.benchmarks.accuracy import Trainings
from tests.unit.trainer.data.jobs import REAL_DATA

FRAMEWORKS: Final = ("StatsForecast", "LightGBM", "Prophet", "Auto")
BARE: Final = ("SeasonalNaive", "Naive", "RandomWalkWithDrift", "AutoETS", "DynamicOptimizedTheta", "AutoCES", "MSTL")
NAIVE: Final = BARE[:3]


@dataclass(frozen=True)
class Dataset:
    """Series with the columns ``unique_id``, ``ds``, ``y``, without gaps, sorted.

    ``alias`` is the step as a pandas alias.
    """

    name: str
    frame: pd.DataFrame
    season: int
    horizon: int
    alias: str

    def parts(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the known rows, and the holdout."""
        last = self.frame.groupby("unique_id").cumcount(ascending=False) < self.horizon
        return self.frame[~last], self.frame[last]

    def mase(self, predicted: pd.DataFrame) -> float:
        """Return the error of forecasts with the columns ``unique_id``, ``ds``, ``predicted``."""
        known, held = self.parts()
        found = held.merge(predicted, on=["unique_id", "ds"], validate="one_to_one")
        errors = (found["y"] - found["predicted"]).abs().groupby(found["unique_id"]).mean()
        scale = known.groupby("unique_id")["y"].apply(lambda one: one.diff(self.season).abs().mean())
        return float((errors / scale[scale > 0]).dropna().mean())


def datasets() -> Iterator[Dataset]:
    """Yield the public sets: series of quarters, months, days and hours."""

    def one(
        name: str, times: "pd.Series[Any]", values: "pd.Series[Any]", alias: str, season: int, horizon: int
    ) -> Dataset:
        regular = pd.Series(values.to_numpy(float), pd.DatetimeIndex(pd.to_datetime(times))).asfreq(alias).interpolate()
        frame = pd.DataFrame({"unique_id": "all", "ds": regular.index, "y": regular.to_numpy()})
        return Dataset(name, frame, season, horizon, alias)

    tourism = pd.read_csv(REAL_DATA / "australia_tourism.csv", parse_dates=["date_time"])
    tourism["unique_id"] = tourism["Region"] + "/" + tourism["Purpose"]
    tourism = tourism.rename(columns={"date_time": "ds", "Trips": "y"})[["unique_id", "ds", "y"]]
    yield Dataset("tourism", tourism.sort_values(["unique_id", "ds"], ignore_index=True), 4, 8, "QS")
    sales = pd.read_csv(REAL_DATA / "prophet_example_retail_sales.csv")
    yield one("retail", sales["ds"], sales["y"], "MS", 12, 24)
    views = pd.read_csv(REAL_DATA / "prophet_example_wp_log_peyton_manning.csv")
    yield one("page views", views["ds"], views["y"], "D", 7, 28)
    power = pd.read_csv(REAL_DATA / "ETTh1.csv", parse_dates=["date"]).iloc[-2500:]
    melted = power.melt("date", var_name="unique_id", value_name="y").rename(columns={"date": "ds"})
    yield Dataset("ETTh1", melted.sort_values(["unique_id", "ds"], ignore_index=True), 24, 48, "h")
    bikes = pd.read_csv(REAL_DATA / "bike_sharing_hourly.csv").iloc[-3000:]
    yield one("bikes", bikes["date_time"], bikes["users"], "h", 24, 48)


def synthetic(count: int) -> Dataset:
    """Return daily series of two years, with a weekly pattern, a yearly pattern and a trend."""
    random, days = np.random.default_rng(0), pd.date_range("2024-01-01", periods=730)
    week = 1 + 0.3 * np.sin(2 * np.pi * days.dayofweek / 7)
    year = 1 + 0.2 * np.sin(2 * np.pi * days.dayofyear / 365)
    parts = []
    for number in range(count):
        level = random.uniform(5, 200) * (1 + random.uniform(-0.2, 0.4) * np.linspace(0, 1, 730))
        values = random.poisson(level * week * year).astype(float)
        parts.append(pd.DataFrame({"unique_id": f"s{number:05d}", "ds": days, "y": values}))
    return Dataset(f"{count} series", pd.concat(parts, ignore_index=True), 7, 28, "D")


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of all its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def timed(work: Callable[[], float]) -> tuple[float, float]:
    """Return the result of ``work``, and the CPU seconds that it took."""
    began = cpu_seconds()
    found = work()
    return found, cpu_seconds() - began


def bare_method(data: Dataset, name: str) -> float:
    """Return the error of one method of the bare library."""
    return data.mase(_bare_forecast(data, name, data.parts()[0]))


def _bare_forecast(data: Dataset, name: str, known: pd.DataFrame) -> pd.DataFrame:
    from statsforecast import models

    make = getattr(models, name)
    method = make() if name in {"Naive", "RandomWalkWithDrift"} else make(season_length=data.season)
    parts = []
    for key, one in known.groupby("unique_id"):
        predicted = method.forecast(y=one["y"].to_numpy(), h=data.horizon)["mean"]
        ahead = pd.date_range(one["ds"].iloc[-1], periods=data.horizon + 1, freq=data.alias)[1:]
        parts.append(pd.DataFrame({"unique_id": key, "ds": ahead, "predicted": predicted}))
    return pd.concat(parts)


def bare_trees(data: Dataset) -> float:
    """Return the error of mlforecast with fixed lags."""
    from lightgbm import LGBMRegressor
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean

    known, _ = data.parts()
    season = data.season
    maker = MLForecast(
        models=[LGBMRegressor(n_jobs=2, verbosity=-1)],
        freq=data.alias,
        lags=[1, season, 2 * season],
        lag_transforms={1: [RollingMean(season)]},
        num_threads=2,
    )
    maker.fit(known, static_features=[])
    return data.mase(maker.predict(data.horizon).rename(columns={"LGBMRegressor": "predicted"}))


def ours(run: Trainings, data: Dataset, framework: str, parameters: Mapping[str, Any] | None = None) -> float:
    """Return the error of one training."""
    table = run.table(data.name.replace(" ", "-"), data.frame)
    found = run.train(
        f"{data.name.replace(' ', '-').lower()}-{framework.lower()}",
        table,
        framework=framework,
        task="Forecast",
        data={"time": "ds", "series": "unique_id", "target": "y"},
        forecast={"horizon": data.horizon},
        workers=1,  # the processes of several workers are no children of ours, and would not be counted
        **({"parameters": dict(parameters)} if parameters else {}),
    )
    return found.metrics["mase"]


def compare(run: Trainings, data: Dataset) -> None:
    """Print the rows of a set: bare methods, mlforecast, ours."""
    known, _ = data.parts()
    print(f"\n### {data.name}: {known['unique_id'].nunique()} series, {len(known)} rows, {data.horizon} steps ahead\n")
    print("| | MASE | seconds of one core |\n|---|---|---|")
    for name in BARE:
        _print_row(f"statsforecast {name}", lambda name=name: bare_method(data, name))
    _print_row("mlforecast, fixed lags", lambda: bare_trees(data))
    for framework in FRAMEWORKS:
        _print_row(f"trainyard {framework}", lambda framework=framework: ours(run, data, framework))


def _print_row(what: str, work: Callable[[], float]) -> None:
    error, seconds = timed(work)
    print(f"| {what} | {error:.4f} | {seconds:.1f} |", flush=True)


def throughput(run: Trainings, count: int, name: str) -> None:
    """Print the cost of many series: one method with as many fits as in our training, and the trees."""
    data = synthetic(count)
    known, _ = data.parts()
    began = time.perf_counter()

    def twice() -> float:
        _bare_forecast(data, name, data.frame)
        return data.mase(_bare_forecast(data, name, known))

    error, bare = timed(twice)
    print("| | MASE | seconds of one core | per series | ratio |\n|---|---|---|---|---|")
    print(f"| statsforecast {name}, two fits | {error:.4f} | {bare:.1f} | {bare / count:.4f} | 1 |", flush=True)
    parameters = {"models": [name]}
    for framework, fixed in (("StatsForecast", parameters), ("LightGBM", None)):
        error, seconds = timed(lambda framework=framework, fixed=fixed: ours(run, data, framework, fixed))
        row = f"| trainyard {framework} | {error:.4f} | {seconds:.1f} | {seconds / count:.4f} | {seconds / bare:.2f} |"
        print(row, flush=True)
    print(f"\n{time.perf_counter() - began:.0f} s in all")


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="the name of one data set")
    parser.add_argument("--throughput", type=int, help="how many synthetic series to time")
    parser.add_argument("--method", default="DynamicOptimizedTheta", help="for the synthetic series")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Trainings(Path(folder), REAL_DATA)
        if options.throughput:
            throughput(run, options.throughput, options.method)
            return
        for data in datasets():
            if options.only in {None, data.name}:
                compare(run, data)


if __name__ == "__main__":
    main()
