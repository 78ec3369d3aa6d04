"""Torch on series: one network for all series, trained without future values, with the interface of all forecasts."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.errors import DataError
from trainyard_trainer.frameworks.golden import max_difference
from trainyard_trainer.frameworks.registry import framework_for
from trainyard_trainer.frameworks.torch.calendar import Calendar, times_of
from trainyard_trainer.frameworks.torch.windows import steps_of
from trainyard_trainer.job.onnx.export import export

QUICK = {"epochs": 15, "hidden": [16], "learning_rate": 0.01, "patience": 15}


def sales(days=250):
    random = np.random.default_rng(5)
    ds = pd.date_range("2025-01-01", periods=days, freq="D")
    frames = []
    for number, name in enumerate(["bread", "rolls", "cake"], 1):
        y = 20 * number + 0.05 * number * np.arange(days) + 8 * number * (ds.dayofweek >= 5)
        frames.append(pd.DataFrame({"ds": ds, "product": name, "y": y + random.standard_normal(days)}))
    return pd.concat(frames)


def prepared(folder, frame, *, parameters=QUICK, horizon=14, data=None, **spec):
    config = job(
        write(folder, frame.to_csv(index=False)),
        framework="Torch",
        task="Forecast",
        data={"series": "product"} if data is None else data,
        forecast={"horizon": horizon, **spec.pop("forecast", {})},
        parameters=parameters,
        **spec,
    )
    return framework_for(config), dataset_of(config, folder), context_of(config, folder)


def test_one_network_beats_the_seasonal_naive_model_and_predicts_from_its_files(tmp_path):
    framework, dataset, context = prepared(tmp_path, sales(), forecast={"holidaysCountry": "FR"})
    trained = framework.train(dataset, context)
    found = framework.evaluate(dataset, trained, context)
    assert found.metrics["skill"] > 0
    assert found.metrics["series_below_baseline"] <= 1
    assert (trained.series.total, trained.series.trained, trained.series.failed) == (3, 3, 0)
    assert {str(file.relative_to(context.output)) for file in context.output.rglob("*") if file.is_file()} == set(
        trained.files
    )
    assert set(found.holdout["series"]) == {"bread", "rolls", "cake"}
    assert len(found.holdout) == 3 * 14
    predictions = framework.predict(framework.load(context.output), found.golden.inputs)
    assert max_difference(found.golden.outputs, predictions) < 1e-4


@pytest.mark.parametrize("steps", [14, 30])
def test_it_forecasts_within_and_beyond_the_horizon(tmp_path, steps):
    framework, dataset, context = prepared(tmp_path, sales())
    framework.train(dataset, context)
    model = framework.load(context.output)
    ahead = pd.date_range("2025-09-08", periods=steps, freq="D")
    reported = framework.predict(model, pd.DataFrame({"ds": ahead, "product": "rolls"}))["prediction"]
    expected = 40 + 0.1 * np.arange(250, 250 + steps) + 16 * (ahead.dayofweek >= 5)
    assert np.abs(reported - expected).mean() < 4
    some = pd.DataFrame({"ds": ahead[[9, 2]].strftime("%Y-%m-%d"), "product": ["bread", "rolls"]})
    assert framework.predict(model, some)["prediction"][1] == pytest.approx(reported[2], rel=1e-5)


def test_invalid_requests_are_named(tmp_path):
    framework, dataset, context = prepared(tmp_path, sales(), parameters=QUICK | {"epochs": 1})
    framework.train(dataset, context)
    model = framework.load(context.output)
    for day, product, words in (
        ("2025-09-07", "rolls", r"2025-09-07T00:00:00 cannot be forecast: .*series 'rolls' .*2025-09-07"),
        ("2125-09-07", "rolls", "2125-09-07T00:00:00 cannot be forecast"),
        ("2025-09-08", "tea", "no series 'tea'"),
    ):
        with pytest.raises(DataError, match=words):
            framework.predict(model, pd.DataFrame({"ds": [day], "product": [product]}))


def test_training_does_not_use_the_holdout(tmp_path):
    """Other values in the holdout change neither the weights nor the forecasts that are judged."""
    weights, forecasts = [], []
    for name, factor in (("one", 1), ("two", 50)):
        (tmp_path / name).mkdir()
        frame = sales()
        frame.loc[frame["ds"] > frame["ds"].max() - pd.Timedelta(days=14), "y"] *= factor
        framework, dataset, context = prepared(tmp_path / name, frame, parameters=QUICK | {"epochs": 2})
        trained = framework.train(dataset, context)
        weights.append((context.output / "judged" / "model.safetensors").read_bytes())
        forecasts.append(framework.evaluate(dataset, trained, context).holdout["predicted"])
    assert weights[0] == weights[1]
    pd.testing.assert_series_equal(*forecasts)


def test_a_series_with_a_strong_trend_is_forecast_well(tmp_path):
    frame = sales()
    frame["y"] += 3 * (frame["ds"] - frame["ds"].min()).dt.days
    framework, dataset, context = prepared(tmp_path, frame)
    found = framework.evaluate(dataset, framework.train(dataset, context), context)
    assert found.metrics["skill"] > 0.5


def test_a_regressor_that_is_known_in_the_future_is_used(tmp_path):
    random = np.random.default_rng(1)
    sale = (random.random(250) < 0.3).astype(float)
    frame = pd.DataFrame({"ds": pd.date_range("2025-01-01", periods=250, freq="D")})
    frame["y"] = 50 + 30 * sale + random.standard_normal(250)
    framework, dataset, context = prepared(tmp_path, frame, data={})
    dataset = dataclasses.replace(dataset, frame=dataset.frame.assign(**{"sale.on": sale}), features=("sale.on",))
    trained = framework.train(dataset, context)
    found = framework.evaluate(dataset, trained, context)
    assert found.metrics["skill"] > 0.6, "only the regressor explains the target"
    model = framework.load(context.output)
    asked = pd.DataFrame({"ds": pd.date_range("2025-09-08", periods=2), "sale.on": [0.0, 1.0]})
    low, high = framework.predict(model, asked)["prediction"]
    assert high - low > 15
    assert max_difference(found.golden.outputs, framework.predict(model, found.golden.inputs)) < 1e-4
    with pytest.raises(DataError, match=r"lacks the column 'sale.on'"):
        framework.predict(model, asked[["ds"]])


def test_series_with_gaps_and_short_series_are_used(tmp_path):
    frame = sales(120)
    frame = frame[~((frame["product"] == "rolls") & (frame["ds"].dt.day % 5 == 0))]
    frame = frame[~((frame["product"] == "cake") & (frame["ds"] < "2025-03-25"))]
    framework, dataset, context = prepared(tmp_path, frame, parameters=QUICK | {"epochs": 3})
    trained = framework.train(dataset, context)
    assert len(framework.evaluate(dataset, trained, context).holdout) > 3 * 5


def test_a_gap_longer_than_the_horizon_is_not_an_error(tmp_path):
    frame = sales(120).query("product == 'bread'")
    frame = frame[(frame["ds"] < "2025-01-25") | (frame["ds"] > "2025-03-01")]
    parameters = QUICK | {"epochs": 2, "batch_size": 1, "input_size": 40}
    framework, dataset, context = prepared(tmp_path, frame, parameters=parameters, horizon=3, data={})
    found = framework.evaluate(dataset, framework.train(dataset, context), context)
    assert found.holdout["predicted"].notna().all()


def test_a_stray_old_row_does_not_make_millions_of_steps():
    times = pd.DatetimeIndex(["1990-01-01", *pd.date_range("2025-01-01", periods=5, freq="min")])
    rows, steps = steps_of(times.to_numpy("datetime64[ns]"), frequency_of("min"), 30)
    assert rows == slice(1, None)
    assert steps.tolist() == [0, 1, 2, 3, 4]


def test_no_forecast_of_a_count_is_negative(tmp_path):
    frame = sales()
    frame["y"] = (frame["y"] % 3 < 1).astype(float)
    framework, dataset, context = prepared(tmp_path, frame, parameters=QUICK | {"epochs": 2})
    found = framework.evaluate(dataset, framework.train(dataset, context), context)
    assert found.holdout["predicted"].min() >= 0


def test_the_exported_network_predicts_the_same(tmp_path):
    framework, dataset, context = prepared(tmp_path, sales(), parameters=QUICK | {"epochs": 2})
    golden = framework.evaluate(dataset, framework.train(dataset, context), context).golden
    made = export(framework, framework.load(context.output), golden, tmp_path)
    assert made.warning is None
    assert made.max_difference < 1e-4


def test_a_search_compares_forecasts_before_the_holdouts(tmp_path):
    framework, dataset, context = prepared(tmp_path, sales(), objective={"metric": "mase"})
    reported = []
    score = framework.tunable(dataset, context).score(QUICK | {"epochs": 3}, lambda *each: reported.append(each))
    assert [step for step, _ in reported] == [1, 2, 3]
    assert score in [value for _, value in reported]


@pytest.mark.parametrize(
    ("alias", "first", "second", "columns"),
    [
        ("h", "2026-03-01T23:00", "2026-03-02T00:00", 15),
        ("D", "2026-02-28", "2026-03-01", 11),
        ("B", "2026-02-27", "2026-03-02", 11),
        ("W-SUN", "2026-03-01", "2026-03-08", 4),
        ("MS", "2026-02-01", "2026-03-01", 4),
        ("QE", "2026-01-01", "2026-04-01", 4),
        ("YS", "2026-01-01", "2027-01-01", 1),
    ],
)
def test_steps_have_times_and_features(alias, first, second, columns):
    frequency = frequency_of(alias)
    start = np.datetime64(first, "ns")
    times = times_of(start, np.array([0, 1]), frequency)
    assert times.tolist() == [start.astype(int), np.datetime64(second, "ns").astype(int)]
    assert Calendar(frequency).features(times).shape == (2, columns)


def test_a_holiday_is_a_feature():
    days = np.array(["2026-07-13", "2026-07-14"], dtype="datetime64[ns]")
    assert Calendar(frequency_of("D"), "FR").features(days)[:, 11].tolist() == [0, 1]
