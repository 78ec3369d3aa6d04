"""LightGBM forecasts: one model of all series, for requests within its horizon."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, environment, job, write
from trainyard_trainer.data.dataset import Clock
from trainyard_trainer.data.loading import load
from trainyard_trainer.data.preprocessing import preprocess
from trainyard_trainer.errors import ConfigError, DataError, Interrupted
from trainyard_trainer.evaluate.baselines import seasonal_naive
from trainyard_trainer.frameworks.forecast.panel import filled
from trainyard_trainer.frameworks.golden import verify_saved_model
from trainyard_trainer.frameworks.lightgbm_forecast import fit
from trainyard_trainer.frameworks.lightgbm_forecast.features import calendar
from trainyard_trainer.frameworks.lightgbm_forecast.fit import Fitter
from trainyard_trainer.frameworks.registry import framework_for

FEW_TREES = {"num_iterations": 30, "num_leaves": 7}


def daily(names=("apple", "pear"), days=150, start="2025-06-01"):
    random = np.random.default_rng(4)
    parts = []
    for number, name in enumerate(names):
        step = np.arange(days)
        values = 20 * (number + 1) + 6 * np.sin(step * 2 * np.pi / 7) + 0.05 * step + random.standard_normal(days)
        parts.append(pd.DataFrame({"day": pd.date_range(start, periods=days), "item": name, "sold": values.round(3)}))
    return pd.concat(parts, ignore_index=True)


def prepare(folder, frame, *, stop=lambda: False, **spec):
    data = {"time": "day", **({"series": "item"} if "item" in frame else {}), **spec.pop("data", {})}
    spec = {"parameters": FEW_TREES, "framework": "LightGBM", **spec}
    config = job(write(folder, frame.to_csv(index=False)), target="sold", task="Forecast", data=data, **spec)
    return framework_for(config), dataset_of(config, folder), context_of(config, folder, stop=stop)


def trained(folder, frame, **spec):
    framework, dataset, context = prepare(folder, frame, **spec)
    context = dataclasses.replace(context, parameters=context.config.spec.parameters)
    done = framework.train(dataset, context)
    return framework, dataset, context, done, framework.evaluate(dataset, done, context)


def test_a_saved_model_predicts_like_the_trained_one(tmp_path):
    framework, dataset, context, done, found = trained(tmp_path, daily())
    assert (done.series.total, done.series.trained, done.series.fallback) == (2, 2, 0)
    assert done.formats == ("lightgbm-forecast",)
    assert {str(file.relative_to(context.output)) for file in context.output.rglob("*") if file.is_file()} == set(
        done.files
    )
    assert done.parameters["num_leaves"] == 7
    assert found.metrics["mae"] < found.metrics["baseline_mae"]
    assert {"mase", "wape", "skill", "series_below_baseline"} <= set(found.metrics)
    assert set(found.table["series"].dropna()) == {"apple", "pear"}
    assert {"series", "time", "actual", "predicted", "baseline"} <= set(found.holdout.columns)
    assert len(found.holdout) == sum(one.holdout for one in dataset.series)
    assert verify_saved_model(framework, context.output, found.golden).max_difference < 1e-9
    assert list(found.golden.inputs.columns) == ["day", "item"]
    assert found.importance["gain"].is_monotonic_decreasing
    assert framework.to_onnx(done.model) is None
    assert json.loads((context.output / "model.json").read_text())["horizon"] == 7


def test_the_baseline_is_the_seasonal_naive_forecast(tmp_path):
    _, dataset, _, _, found = trained(tmp_path, daily())
    values = dataset.frame["y"].to_numpy()
    for one in dataset.series:
        steps = np.arange(one.stop - one.start)
        known = one.split - one.start
        expected = seasonal_naive(steps[:known], values[one.start : one.split], steps[known:], 7)
        rows = found.holdout[found.holdout["series"] == one.name]
        assert rows["baseline"].tolist() == expected.tolist()
        assert rows["actual"].tolist() == values[one.split : one.stop].tolist()


def test_the_same_data_gives_the_same_files(tmp_path):
    bodies = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        _, _, context, done, _ = trained(tmp_path / name, daily())
        bodies.append([(context.output / file).read_bytes() for file in done.files])
    assert bodies[0] == bodies[1]


def test_the_holdout_does_not_change_its_forecast(tmp_path):
    frame = daily(["apple"])
    forecasts = []
    for name, sold in (("original", frame["sold"]), ("changed", frame["sold"].where(frame.index < 143, 21.0))):
        (tmp_path / name).mkdir()
        *_, found = trained(tmp_path / name, frame.assign(sold=sold))
        forecasts.append(found.holdout["predicted"].tolist())
    assert forecasts[0] == forecasts[1]


def test_forecasts_replace_the_lags_of_future_steps(tmp_path):
    """The forecast of a step is the same if it is requested alone, with all others, or in another order."""
    framework, _, context, _, _ = trained(tmp_path, daily())
    model = framework.load(context.output)
    days = pd.date_range("2025-10-29", periods=7)
    asked = pd.DataFrame({"day": list(days) * 2, "item": ["apple"] * 7 + ["pear"] * 7})
    together = framework.predict(model, asked)["prediction"]
    assert np.isfinite(together).all()
    for row in (6, 13, 0):
        single = framework.predict(model, asked.iloc[[row]])["prediction"]
        assert single[0] == pytest.approx(together[row], rel=1e-9)
    shuffled = framework.predict(model, asked.iloc[::-1].reset_index(drop=True))["prediction"]
    assert shuffled.tolist()[::-1] == pytest.approx(together.tolist(), rel=1e-9)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"day": ["2025-11-05"], "item": ["apple"]}, r"data row 1: 2025-11-05T00:00:00 is outside .* 7 steps of D"),
        ({"day": ["2025-10-29", "2025-10-28"], "item": ["apple"] * 2}, r"data row 2: 2025-10-28"),
        ({"day": ["2025-10-29"], "item": ["plum"]}, "no series 'plum'"),
        ({"day": ["2025-10-29"]}, "lacks the column 'item'"),
        ({"day": ["soon"], "item": ["apple"]}, "is not a time"),
    ],
)
def test_invalid_requests_are_named(tmp_path, rows, words):
    framework, _, context, _, _ = trained(tmp_path, daily())
    with pytest.raises(DataError, match=words):
        framework.predict(framework.load(context.output), pd.DataFrame(rows))


def test_a_series_that_is_too_short_uses_the_seasonal_naive_model(tmp_path):
    short = daily(["new"], days=9, start="2025-10-20")
    frame = pd.concat([daily(["apple", "pear"]), short], ignore_index=True)
    framework, _, context, done, found = trained(
        tmp_path, frame, data={"validation": {"minPoints": 5}}, forecast={"horizon": 3}
    )
    assert (done.series.total, done.series.trained, done.series.fallback) == (3, 3, 0)
    rows = found.holdout[found.holdout["series"] == "new"]
    assert rows["predicted"].tolist() == rows["baseline"].tolist(), "without its holdout it has seven steps"
    assert verify_saved_model(framework, context.output, found.golden).max_difference < 1e-9


def test_too_short_series_are_counted(tmp_path):
    short = daily(["new"], days=7, start="2025-10-22")
    frame = pd.concat([daily(["apple", "pear"]), short], ignore_index=True)
    framework, _, context, done, _ = trained(
        tmp_path, frame, data={"validation": {"minPoints": 5}}, forecast={"horizon": 3}
    )
    assert (done.series.total, done.series.trained, done.series.fallback) == (3, 2, 1)
    assert done.warnings[0].startswith("1 series use the seasonal naive model")
    asked = pd.DataFrame({"day": ["2025-10-29"], "item": ["new"]})
    prediction = framework.predict(framework.load(context.output), asked)["prediction"][0]
    assert prediction == short["sold"].iloc[0]


def test_series_that_are_all_too_short_are_refused(tmp_path):
    with pytest.raises(DataError, match="use framework Prophet"):
        trained(tmp_path, daily(days=2), data={"validation": {"minPoints": 2}}, forecast={"horizon": 1})


def test_counts_with_many_zeros_use_tweedie_and_are_never_negative(tmp_path):
    random = np.random.default_rng(6)
    frame = daily(["a", "b", "c"])
    frame["sold"] = random.poisson(0.6, len(frame))
    *_, done, found = trained(tmp_path, frame)
    assert done.parameters["objective"] == "tweedie"
    assert found.holdout["predicted"].min() >= 0


@pytest.mark.parametrize(
    ("spec", "expected"),
    [({}, "l1"), ({"objective": {"metric": "rmse"}}, "l2"), ({"parameters": {"objective": "huber"}}, "huber")],
)
def test_the_objective_follows_the_metric(tmp_path, spec, expected):
    _, dataset, context = prepare(tmp_path, daily(), **spec)
    assert Fitter(dataset, context).parameters(context.config.spec.parameters or {})["objective"] == expected


def test_missing_rows_are_filled_with_the_previous_season_and_not_trained_on(tmp_path):
    assert filled(np.array([np.nan, 1, 2, 3, np.nan, np.nan]), 2)[1:].tolist() == [1, 2, 3, 2, 3]
    assert np.isnan(filled(np.array([np.nan, 1.0]), 2)[0])
    frame = daily(["apple"]).drop(index=[50, 51, 90])
    framework, dataset, context, _, found = trained(tmp_path, frame)
    assert verify_saved_model(framework, context.output, found.golden).max_difference < 1e-9
    fitter = Fitter(dataset, context)
    assert len(fitter.rows.panel.values) == 150
    assert np.isnan(fitter.rows.panel.values[[50, 51, 90]]).all()


def test_covariates_known_in_the_future_are_features(tmp_path):
    frame = daily(["apple"], days=200).drop(columns="item")
    rain = np.random.default_rng(7).uniform(0, 10, len(frame))
    frame["sold"] = 50 + 5 * rain
    pd.DataFrame({"day": frame["day"], "mm": rain}).to_csv(tmp_path / "rain.csv", index=False)
    covariate = {"name": "rain", "uri": f"file://{tmp_path}/rain.csv", "time": "day", "columns": ["mm"]}
    config = job(
        write(tmp_path, frame.to_csv(index=False)),
        target="sold",
        task="Forecast",
        framework="LightGBM",
        data={"time": "day", "covariates": [{**covariate, "knownInFuture": True}]},
    )
    framework = framework_for(config)
    dataset = preprocess(load(config, environment(tmp_path), lambda *_: None, lambda: False), config)
    context = context_of(config, tmp_path)
    done = framework.train(dataset, context)
    found = framework.evaluate(dataset, done, context)
    assert found.metrics["mae"] < 0.2 * found.metrics["baseline_mae"]
    assert found.importance["feature"].iloc[0] == "rain.mm"
    assert verify_saved_model(framework, context.output, found.golden).max_difference < 1e-9
    model = framework.load(context.output)
    ahead = pd.DataFrame({"day": ["2025-12-18", "2025-12-19"], "rain.mm": [0.5, 9.5]})
    dry, wet = framework.predict(model, ahead)["prediction"]
    assert wet - dry > 30
    assert np.isfinite(framework.predict(model, ahead.assign(**{"rain.mm": None}))["prediction"]).all()


def test_hours_are_stored_in_utc_with_calendar_features_of_their_zone(tmp_path):
    hours = pd.date_range("2026-03-20", periods=400, freq="h", tz="Europe/Paris")
    frame = pd.DataFrame({"day": [hour.isoformat() for hour in hours], "sold": 5.0 + hours.hour})
    framework, _, context, _, found = trained(
        tmp_path, frame, data={"timeZone": "Europe/Paris"}, forecast={"horizon": 24}
    )
    assert verify_saved_model(framework, context.output, found.golden).max_difference < 1e-9
    paris = Clock(zone="Europe/Paris")
    both = calendar(np.array(["2026-03-28T11:00", "2026-03-29T10:00"], "datetime64[ns]"), ["minute_of_day"], paris)
    assert both.ravel().tolist() == [720, 720]
    model = framework.load(context.output)
    asked = pd.DataFrame({"day": ["2026-04-06T00:00", "2026-04-05T22:00Z"]})
    assert framework.predict(model, asked)["prediction"].nunique() == 1


def test_holidays_of_a_country_are_a_feature(tmp_path):
    frame = daily(["apple"], days=400, start="2024-06-01")
    frame["sold"] = frame["sold"].where(~frame["day"].dt.strftime("%m-%d").isin(["07-14", "12-25", "05-01"]), 200.0)
    framework, _, context, done, found = trained(
        tmp_path,
        frame,
        forecast={"horizon": 20, "holidaysCountry": "FR"},
        parameters={**FEW_TREES, "min_data_in_leaf": 2},
    )
    assert "holiday:FR" in done.parameters["features"]
    assert verify_saved_model(framework, context.output, found.golden).max_difference < 1e-9
    days = np.array(["2025-07-14", "2025-07-15"], "datetime64[ns]")
    assert calendar(days, ["holiday:FR"], Clock()).ravel().tolist() == [1, 0]
    hours = np.array(["2025-07-13T22:30", "2025-07-14T22:30"], "datetime64[ns]")
    assert calendar(hours, ["holiday:FR"], Clock(zone="Europe/Paris")).ravel().tolist() == [1, 0]


def test_shapes_are_tried_on_a_part_of_many_rows_and_the_rounds_found_on_all(tmp_path, monkeypatch):
    _, dataset, context = prepare(tmp_path, daily(["apple", "pear", "plum"]))
    sizes = []
    tables = Fitter._table

    def counting(self, feature_spec, cuts, parameters, sample):
        made = tables(self, feature_spec, cuts, parameters, sample).construct()
        sizes.append(made.num_data())
        return made

    monkeypatch.setattr(Fitter, "_table", counting)
    monkeypatch.setattr(fit, "_ROWS_TO_CHOOSE_BY", 100)
    fitter = Fitter(dataset, context)
    chosen = fitter.choose(fitter.parameters(FEW_TREES), lambda *_: None)
    assert set(sizes[:-1]) == {100}
    assert sizes[-1] > 300
    assert chosen.score > 0
    monkeypatch.setattr(fit, "_ROWS_TO_CHOOSE_BY", 10_000)
    whole = Fitter(dataset, context).choose(fitter.parameters(FEW_TREES), lambda *_: None)
    assert whole.trees is not None
    assert whole.trees.rounds == whole.rounds


def test_far_lags_are_forecast_in_one_call(tmp_path):
    """The forecast of a step is the same for any number of requested steps."""
    _, dataset, context = prepare(tmp_path, daily(), forecast={"horizon": 14})
    fitter = Fitter(dataset, context)
    parameters = {**fitter.parameters(FEW_TREES), "num_iterations": 20}
    far = next(one for one in fitter.shapes(parameters) if one.nearest >= 14)
    trees = fitter.fit(far, fitter.splits, parameters, lambda *_: None)
    state = fitter.rows.state(far, fitter.rows.holdouts())
    whole = trees.forecast(state, 14, None)
    for steps in (1, 5, 14):
        np.testing.assert_array_equal(trees.forecast(state, steps, None), whole[:, :steps])
    near = next(one for one in fitter.shapes(parameters) if one.nearest == 1)
    assert near.nearest < far.nearest


def test_a_search_scores_windows_before_the_holdout(tmp_path):
    framework, dataset, context = prepare(tmp_path, daily(), parameters={"num_iterations": 20, "num_leaves": 7})
    tunable = framework.tunable(dataset, context)
    space = tunable.space()
    assert "num_leaves" not in space
    assert space["learning_rate"]["default"] == 0.1
    reported = []
    first = tunable.score({"num_iterations": 20, "num_leaves": 7}, lambda step, value: reported.append((step, value)))
    assert [step for step, _ in reported] == [10, 20]
    assert first <= min(value for _, value in reported)
    other = tunable.score({"num_iterations": 20, "num_leaves": 7, "min_data_in_leaf": 60}, lambda *_: None)
    assert other != first
    changed = dataclasses.replace(dataset, frame=dataset.frame.copy())
    for one in dataset.series:
        changed.frame.loc[one.split : one.stop - 1, "y"] = 1e6
    second = framework.tunable(changed, context).score({"num_iterations": 20, "num_leaves": 7}, lambda *_: None)
    assert second == pytest.approx(first)


def test_a_trial_can_be_given_up(tmp_path):
    framework, dataset, context = prepare(tmp_path, daily())

    class GiveUpError(Exception):
        pass

    def give_up(step, value):
        raise GiveUpError

    with pytest.raises(GiveUpError):
        framework.tunable(dataset, context).score({}, give_up)


def test_a_stop_ends_the_training(tmp_path):
    framework, dataset, context = prepare(tmp_path, daily(), stop=lambda: True)
    with pytest.raises(Interrupted):
        framework.train(dataset, context)


def check(**spec):
    return framework_for(job("s3://bucket/t.csv", task="Forecast", framework="LightGBM", **spec))


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ({"parameters": {"num_leafs": 3}}, ConfigError, "did you mean num_leaf"),
        ({"forecast": {"horizon": 7, "holidaysCountry": "ZZ"}}, ConfigError, "holidaysCountry ZZ"),
        ({"split": {"strategy": "Random"}}, ConfigError, "use Time"),
        ({"forecast": {"horizon": 7, "frequency": "fortnight"}}, ConfigError, "'fortnight'"),
        ({"objective": {"metric": "auc"}}, ConfigError, "auc"),
    ],
)
def test_wrong_specifications_are_named_before_data_is_read(spec, error, words):
    with pytest.raises(error, match=words):
        check(**spec)


def test_a_server_needs_no_mlforecast(tmp_path):
    _, _, context, _, _ = trained(tmp_path, daily())
    code = (
        "import sys, pandas as pd; from pathlib import Path\n"
        "from trainyard_trainer.frameworks.lightgbm_forecast.framework import LightGBMForecastFramework as F\n"
        f"model = F().load(Path({str(context.output)!r}))\n"
        "F().predict(model, pd.DataFrame({'day': ['2025-10-29'], 'item': ['pear']}))\n"
        "print(sorted({'mlforecast', 'prophet', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
