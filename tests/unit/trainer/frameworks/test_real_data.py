"""The quality of the models on real data sets, in absolute numbers. The data is in a folder next to the checkout."""

import os

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import REAL_DATA, context_of, dataset_of, job
from trainyard_trainer.frameworks.registry import framework_for

pytestmark = pytest.mark.data


@pytest.fixture(autouse=True)
def _require_data():
    if REAL_DATA.is_dir():
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"the real data sets are missing: {REAL_DATA}")
    pytest.skip(f"no real data sets in {REAL_DATA}")


def evaluate(folder, path, **spec):
    config = job(path, **spec)
    framework = framework_for(config)
    dataset, context = dataset_of(config, folder), context_of(config, folder, workers=1)
    trained = framework.train(dataset, context)
    return framework.evaluate(dataset, trained, context), dataset


def test_machine_failures_of_ai4i(tmp_path):
    """The mean over several holdouts, because one holdout has about 70 failures, and its AUC varies by 0.02."""
    metrics = []
    for seed in range(6):
        (tmp_path / str(seed)).mkdir()
        found, dataset = evaluate(
            tmp_path / str(seed),
            REAL_DATA / "ai4i2020.csv",
            task="Classification",
            target="Machine failure",
            data={"exclude": ["UDI", "TWF", "HDF", "PWF", "OSF", "RNF"]},
            split={"seed": seed},
        )
        assert dataset.rows == 10_000
        metrics.append(found.metrics)
    mean = pd.DataFrame(metrics).mean()
    assert mean["auc"] >= 0.97
    assert mean["average_precision"] >= 0.80
    assert mean["skill"] > 0.6


def test_engines_of_cmapss_by_group(tmp_path):
    names = ["unit", "cycle", *(f"setting{i}" for i in range(3)), *(f"sensor{i}" for i in range(21))]
    frame = pd.read_csv(REAL_DATA / "cmapss_train_FD001.txt.gz", sep=r"\s+", header=None, names=names)
    left = frame.groupby("unit")["cycle"].transform("max") - frame["cycle"]
    path = tmp_path / "engines.parquet"
    frame.assign(soon=np.where(left <= 30, "yes", "no")).to_parquet(path)
    found, dataset = evaluate(
        tmp_path, path, task="Classification", target="soon", data={"group": "unit", "exclude": ["cycle"]}
    )
    assert dataset.parts is not None
    assert found.metrics["auc"] >= 0.985


def test_bikes_per_hour_by_time(tmp_path):
    found, _ = evaluate(
        tmp_path,
        REAL_DATA / "bike_sharing_hourly.csv",
        target="users",
        data={"time": "date_time"},
        split={"strategy": "Time"},
    )
    assert found.metrics["skill"] > 0.45  # the second year is busier than the first
    assert found.metrics["r2"] > 0.6


@pytest.mark.parametrize(("name", "horizon", "skill"), [("wp_log_peyton_manning", 28, 0.1), ("retail_sales", 12, 0.0)])
def test_examples_of_prophet(tmp_path, name, horizon, skill):
    found, _ = evaluate(
        tmp_path, REAL_DATA / f"prophet_example_{name}.csv", task="Forecast", forecast={"horizon": horizon}
    )
    assert found.metrics["skill"] > skill


def test_gaps_in_temperatures_of_yosemite(tmp_path):
    found, dataset = evaluate(
        tmp_path,
        REAL_DATA / "prophet_example_yosemite_temps.csv",
        task="Forecast",
        forecast={"horizon": 288},
        parameters={"n_changepoints": 5},
    )
    assert dataset.frequency == "5min"
    assert {finding.code: finding.count for finding in dataset.findings}["MissingTarget"] == 12
    assert found.metrics["mae"] < 15


@pytest.mark.parametrize(("framework", "parameters"), [("LightGBM", {}), ("Torch", {"epochs": 40, "device": "cpu"})])
def test_nine_of_ten_quarters_are_between_the_quantiles(tmp_path, framework, parameters):
    """The holdouts are 2,432 rows of 304 series, which were not used for the quantiles."""
    frame = pd.read_csv(REAL_DATA / "australia_tourism.csv")
    frame["key"] = frame["Region"] + "/" + frame["Purpose"]
    frame[["date_time", "key", "Trips"]].to_csv(tmp_path / "trips.csv", index=False)
    found, dataset = evaluate(
        tmp_path,
        tmp_path / "trips.csv",
        task="Forecast",
        framework=framework,
        target="Trips",
        data={"time": "date_time", "series": "key"},
        forecast={"horizon": 8, "quantiles": [0.05, 0.25, 0.5, 0.75, 0.95]},
        parameters=parameters,
    )
    assert len(dataset.series) == 304
    assert found.metrics["coverage"] == pytest.approx(0.9, abs=0.04)
    assert found.metrics["pinball"] < 0.35 * found.metrics["mae"]
    predictions = found.golden.outputs
    assert (np.diff(predictions.drop(columns="prediction"), axis=1) >= 0).all()
    assert predictions.min(axis=None) >= 0
