"""Evaluated models of every task for the page, without a training: generated data, and predictions with some noise."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from tests.unit.trainer.job.mean import DIGEST, config
from trainyard_api.trainingjob import SeriesCount
from trainyard_trainer.artifacts.manifest import Latency, Measurements
from trainyard_trainer.data.dataset import Dataset, Finding, Origin, Series
from trainyard_trainer.evaluate.backtest import AGE, Backtest, score
from trainyard_trainer.evaluate.forecasts import Forecast, judge
from trainyard_trainer.evaluate.judgement import Judgement
from trainyard_trainer.evaluate.rows import judge_classes, judge_numbers
from trainyard_trainer.frameworks.base import Evaluation, Golden, Trained
from trainyard_trainer.report.page import ReportInput
from trainyard_trainer.search.tunable import Tuned

NASTY = "</svg><script>alert(1)</script>"
HISTORY, HORIZON = 120, 28
NAMES = ("ok", "worn", "broken")

_MEASURED = Measurements(
    size_bytes=1_234_567,
    memory_bytes=3_400_000,
    latency=Latency(p50_ms=0.81, p95_ms=1.24, calls=50),
    onnx_max_difference=2.3e-7,
)
_FINDINGS = (
    Finding("Gaps", "info", "3 steps have no row", "s1", 3),
    Finding("FewPoints", "warning", "only 60 points; 90 are recommended", "s2", 60),
    Finding("TooFewPoints", "error", "only 12 points; 30 are needed", "s900", 12),
)


def dataset_of(frame: pd.DataFrame, **changes: Any) -> Dataset:
    empty = Dataset(
        task="Regression",
        frame=frame,
        target="y",
        features=("a",),
        findings=_FINDINGS,
        origin=Origin("https://user:hush@host/x.csv?sig=hush", DIGEST, 160_000),
        holdout_digest=DIGEST,
        rows=len(frame),
    )
    return dataclasses.replace(empty, **changes)


def source_of(dataset: Dataset, judged: Judgement, objective: str, **changes: Any) -> ReportInput:
    golden = Golden(pd.DataFrame(), pd.DataFrame())
    evaluation = Evaluation(judged.metrics, judged.table, golden, None, judged.holdout, judged.notes, judged.baseline)
    trained = Trained(("text",), ("m",), None, {"num_leaves": 31, "learning_rate": 0.1})
    plain = ReportInput(
        config=config(),
        dataset=dataset,
        trained=trained,
        evaluation=evaluation,
        objective=objective,
        created_at="2026-11-21T07:30:00+00:00",
        libraries={"lightgbm": "4.6.0"},
        warnings=("training used all rounds",),
        measurements=_MEASURED,
    )
    return dataclasses.replace(plain, **changes)


def forecasts(count: int = 12, first: str = NASTY, horizon: int = HORIZON) -> ReportInput:
    """Return the report of a shop's products. Some have a worse forecast than the naive model."""
    random = np.random.default_rng(7)
    length = HISTORY + horizon
    times = pd.date_range("2026-01-01", periods=length).to_numpy()
    series_forecasts, series, values = [], [], []
    for number in range(count):
        name = first if number == 0 else f"product-{number}"
        season = 10 * np.sin(2 * np.pi * np.arange(length) / 7) * (1 + number % 4)
        y = np.maximum(0, 40 * (1 + number % 5) + season + random.normal(0, 5, length))
        predicted = y[HISTORY:] + random.normal(0, 2 + 2 * (number % 6), horizon)
        naive = np.resize(y[HISTORY - 7 : HISTORY], horizon)
        series_forecasts.append(
            Forecast(name, times[HISTORY:], y[HISTORY:], predicted, naive, y[:HISTORY], 7, np.arange(HISTORY))
        )
        series.append(Series(name, number * length, (number + 1) * length, horizon))
        values.append(y)
    frame = pd.DataFrame({"ds": np.tile(times, count), "y": np.concatenate(values)})
    dataset = dataset_of(frame, task="Forecast", series=tuple(series), series_total=count + 1, frequency="D")
    trained = Trained(
        ("prophet-json",),
        ("m",),
        None,
        {"frequency": "D"},
        SeriesCount(total=count + 1, trained=count - 1, fallback=1, failed=1),
        tuned=Tuned({"changepoint_prior_scale": 0.05}, {name.name: {} for name in series}, trials=240, pruned=61),
    )
    return source_of(dataset, judge(series_forecasts), "mae", trained=trained)


def forecast(
    *, quantiles: bool = True, horizon: int = 28, series: int = 12, plotted: int = 2, first: str = "first"
) -> ReportInput:
    """Return forecasts with steps after the end of the data."""
    plain = forecasts(series, first, horizon=28)
    ends = plain.dataset.frame["ds"].max()
    rows = pd.concat(
        [
            pd.DataFrame(
                {
                    "series": one.name,
                    "time": pd.date_range(ends, periods=horizon + 1)[1:],
                    "step": np.arange(1, horizon + 1),
                    "prediction": 40.0,
                    **({"quantile:0.1": 30.0, "quantile:0.5": 41.0, "quantile:0.9": 50.0} if quantiles else {}),
                }
            )
            for one in plain.dataset.series[:plotted]
        ],
        ignore_index=True,
    )
    return dataclasses.replace(plain, forecast=rows)


def backtest(count: int = 30, windows: int = 4, first: str = NASTY) -> Backtest:
    """Return rows of some series at some cutoffs, with their scores."""
    random = np.random.default_rng(11)
    parts = []
    for age in reversed(range(windows)):
        cutoff = pd.Timestamp("2026-06-01") - pd.Timedelta(days=7 * age)
        names = np.repeat(
            np.array([first, *(f"product-{number}" for number in range(1, count))], dtype=object), HORIZON
        )
        actual = random.gamma(4, 10, len(names))
        parts.append(
            pd.DataFrame(
                {
                    "series": names,
                    "cutoff": cutoff,
                    "time": np.tile(pd.date_range(cutoff, periods=HORIZON + 1)[1:], count),
                    "step": np.tile(np.arange(1, HORIZON + 1), count),
                    "actual": actual,
                    "predicted": actual + random.normal(0, 5, len(names)),
                    "baseline": actual + random.normal(0, 7, len(names)),
                    "scale": 7.0,
                    "square_scale": 60.0,
                    AGE: age,
                }
            )
        )
    rows = pd.concat(parts, ignore_index=True)
    return Backtest(rows, score(rows), 7, ("backtest: 1 of 31 series are too short",))


def numbers(rows: int = 700) -> ReportInput:
    random = np.random.default_rng(8)
    actual = random.gamma(2, 50, rows)
    judged = judge_numbers(actual, actual + random.normal(0, 15, rows), actual)
    source = source_of(dataset_of(pd.DataFrame({"a": actual, "y": actual})), judged, "mae")
    gains = pd.DataFrame(
        {"feature": ["a rather long name of a feature", "temperature", "day"], "gain": [5e4, 2e4, 10.0]}
    )
    return dataclasses.replace(source, evaluation=dataclasses.replace(source.evaluation, importance=gains))


def classes(names: tuple[str, ...] = NAMES, rows: int = 500, costs: tuple[float, float] | None = None) -> ReportInput:
    random = np.random.default_rng(9)
    actual = random.choice(len(names), rows, p=np.array([6, 3, 1][: len(names)]) / sum([6, 3, 1][: len(names)]))
    raw = random.random((rows, len(names))) + 0.8 * np.eye(len(names))[actual]
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    judged = judge_classes(actual, probabilities, actual, names, 0.45 if len(names) == 2 else None)
    frame = pd.DataFrame({"a": actual.astype(float), "y": actual.astype(float)})
    requested = {} if costs is None else {"threshold": {"costOfMiss": costs[0], "costOfAlarm": costs[1]}}
    settings = config(framework="LightGBM", task="Classification", **requested)
    return source_of(dataset_of(frame, task="Classification", classes=names), judged, "auc", config=settings)
