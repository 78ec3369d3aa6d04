"""Prophet: one model per series in several processes, compared with the seasonal naive model, saved and loaded."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.errors import ConfigError, DataError, Interrupted
from trainyard_trainer.frameworks.prophet.choice import fit_series
from trainyard_trainer.frameworks.prophet.fallbacks import fallback_at
from trainyard_trainer.frameworks.prophet.series import FitSpec, Task, read_record, seasonalities
from trainyard_trainer.frameworks.registry import framework_for


def daily(names=("apple", "pear"), days=200):
    random = np.random.default_rng(4)
    parts = []
    for number, name in enumerate(names):
        step = np.arange(days)
        values = 20 + number + 6 * np.sin(step * 2 * np.pi / 7) + random.standard_normal(days)
        parts.append(pd.DataFrame({"day": pd.date_range("2025-06-01", periods=days), "item": name, "sold": values}))
    return pd.concat(parts, ignore_index=True)


def prepare(folder, frame, *, workers=1, stop=lambda: False, **spec):
    data = {"time": "day", **({"series": "item"} if "item" in frame else {}), **spec.pop("data", {})}
    config = job(write(folder, frame.to_csv(index=False)), target="sold", task="Forecast", data=data, **spec)
    return framework_for(config), dataset_of(config, folder), context_of(config, folder, workers=workers, stop=stop)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_saved_model_predicts_like_the_trained_one(tmp_path, workers):
    framework, dataset, context = prepare(tmp_path, daily(), workers=workers, forecast={"horizon": 14})
    trained = framework.train(dataset, context)
    found = framework.evaluate(dataset, trained, context)

    assert trained.series is not None
    assert (trained.series.total, trained.series.trained, trained.series.fallback) == (2, 2, 0)
    assert {"mae", "rmse", "mape", "r2", "skill", "baseline_mae", "series_below_baseline"} <= set(found.metrics)
    assert set(found.table["series"]) == {None, "apple", "pear"}
    assert found.table.query("series == 'pear' and metric == 'skill'")["value"].notna().all()
    assert list(found.golden.inputs.columns) == ["day", "item"]
    predictions = framework.predict(framework.load(context.output), found.golden.inputs)
    pd.testing.assert_frame_equal(predictions, found.golden.outputs, rtol=1e-9)
    assert {str(file.relative_to(context.output)) for file in context.output.rglob("*") if file.is_file()} == set(
        trained.files
    )
    assert list(context.work_dir.iterdir()) == []


def test_the_number_of_workers_changes_no_byte(tmp_path):
    files = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        framework, dataset, context = prepare(folder, daily(["apple", "pear", "plum"]), workers=workers)
        trained = framework.train(dataset, context)
        files.append([(context.output / name).read_bytes() for name in trained.files])
    assert files[0] == files[1]


def test_one_series_needs_no_series_column(tmp_path):
    framework, dataset, context = prepare(tmp_path, daily(["apple"]).drop(columns="item"))
    found = framework.evaluate(dataset, framework.train(dataset, context), context)
    assert set(found.table["series"]) == {"all"}
    assert list(found.golden.inputs.columns) == ["day"]
    predictions = framework.predict(framework.load(context.output), found.golden.inputs.iloc[::-1])
    assert predictions["prediction"].tolist()[::-1] == pytest.approx(found.golden.outputs["prediction"].tolist())


def test_unknown_series_and_missing_columns_are_named(tmp_path):
    framework, dataset, context = prepare(tmp_path, daily(["apple"]))
    framework.train(dataset, context)
    model = framework.load(context.output)
    with pytest.raises(DataError, match="no series 'plum'"):
        framework.predict(model, pd.DataFrame({"day": ["2026-01-01"], "item": ["plum"]}))
    with pytest.raises(DataError, match="'item'"):
        framework.predict(model, pd.DataFrame({"day": ["2026-01-01"]}))


def test_a_stop_ends_between_series(tmp_path):
    for workers in (1, 2):
        names = [str(number) for number in range(9)]
        framework, dataset, context = prepare(tmp_path, daily(names, 40), workers=workers, stop=lambda: True)
        with pytest.raises(Interrupted):
            framework.train(dataset, context)


def fit_spec(folder, **parameters):
    return FitSpec("D", parameters, None, 1, str(folder))


def test_a_failed_fit_falls_back_to_the_seasonal_naive_model(tmp_path):
    times = np.arange("2026-01-01", "2026-03-01", dtype="datetime64[D]").astype("datetime64[ns]")
    values = np.arange(len(times), dtype=np.float64) % 7
    outcome = fit_series(Task("a", times, values, 7, 3, fit_spec(tmp_path, growth="impossible")))
    assert outcome.kind == "seasonal-naive"
    assert "growth" in outcome.failures["prophet"]
    assert outcome.forecast[:, 0].tolist() == values[-7:].tolist()
    record = read_record(outcome.record)
    future = times[-1] + np.arange(1, 8) * np.timedelta64(1, "D")
    assert fallback_at(record, future).tolist() == [(len(times) + i) % 7 for i in range(7)]


def test_forecasts_of_demand_are_never_negative(tmp_path):
    times = np.arange("2025-01-01", "2025-12-01", dtype="datetime64[D]").astype("datetime64[ns]")
    values = np.maximum(0.0, 300.0 - np.arange(len(times)))
    outcome = fit_series(Task("a", times, values, 28, 0, fit_spec(tmp_path)))
    assert not outcome.failures
    assert outcome.forecast.min() >= 0


@pytest.mark.parametrize(
    ("days", "alias", "expected"),
    [
        (
            100,
            "D",
            {"growth": "flat", "yearly_seasonality": False, "weekly_seasonality": 3, "daily_seasonality": False},
        ),
        (400, "D", {"growth": "linear", "yearly_seasonality": 10, "weekly_seasonality": 3, "daily_seasonality": False}),
        (10, "h", {"growth": "flat", "yearly_seasonality": False, "weekly_seasonality": False, "daily_seasonality": 4}),
        (
            3000,
            "MS",
            {"growth": "linear", "yearly_seasonality": 6, "weekly_seasonality": False, "daily_seasonality": False},
        ),
        (
            3000,
            "QS",
            {"growth": "linear", "yearly_seasonality": 2, "weekly_seasonality": False, "daily_seasonality": False},
        ),
        (
            3000,
            "YS",
            {"growth": "linear", "yearly_seasonality": False, "weekly_seasonality": False, "daily_seasonality": False},
        ),
    ],
)
def test_seasonalities_follow_span_and_step(days, alias, expected):
    found = seasonalities(days, frequency_of(alias))
    assert found == expected
    assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]


def check(**spec):
    return framework_for(job("s3://bucket/t.csv", task="Forecast", **spec))


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ({"parameters": {"changepoint_prior": 1}}, ConfigError, "did you mean changepoint_prior_scale"),
        ({"parameters": {"growth": "wild"}}, ConfigError, "Prophet refused a value"),
        ({"parameters": {"yearly_seasonality": "often"}}, ConfigError, "Prophet refused a value"),
        ({"parameters": {"growth": "logistic"}}, ConfigError, "use linear"),
        ({"parameters": {"holidays": []}}, ConfigError, "holidaysCountry"),
        ({"forecast": {"horizon": 7, "holidaysCountry": "ZZ"}}, ConfigError, "holidaysCountry ZZ"),
        ({"forecast": {"horizon": 7, "frequency": "fortnight"}}, ConfigError, "'fortnight'"),
        ({"split": {"strategy": "Random"}}, ConfigError, "use Time"),
    ],
)
def test_wrong_specifications_are_named_before_data_is_read(spec, error, words):
    with pytest.raises(error) as caught:
        check(**spec)
    assert words in str(caught.value)


def test_valid_specifications_pass():
    check(parameters={"seasonality_mode": "multiplicative"}, forecast={"horizon": 7, "holidaysCountry": "FR"})


def test_the_contracts_of_the_stages_are_light_to_import():
    code = (
        "import sys, trainyard_trainer.errors, trainyard_trainer.frameworks, trainyard_trainer.data; "
        "heavy = {'pandas', 'numpy', 'lightgbm', 'prophet', 'sklearn', 'matplotlib', 'pyarrow', 'torch', 'boto3'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
