"""Framework StatsForecast: the numbers of the library, methods chosen before the holdout, and saved models."""

import dataclasses
import hashlib

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.artifacts.checkpoints import NoCheckpoints
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.errors import ConfigError, DataError, Interrupted
from trainyard_trainer.frameworks.registry import framework_for
from trainyard_trainer.frameworks.statsforecast.methods import SECONDS_PER_STEP, Method, default_methods

DAYS = pd.date_range("2025-01-06", periods=140)
CHEAP = ["DynamicOptimizedTheta", "SeasonalNaive", "HistoricAverage"]


def weekly(seed=0, noise=1.0):
    """Sales with a weekly season, around 20."""
    random = np.random.default_rng(seed)
    return 20 + 6 * (DAYS.dayofweek == 5) + noise * random.standard_normal(len(DAYS))


def table(**series):
    parts = [pd.DataFrame({"ds": DAYS[-len(values) :], "item": name, "y": values}) for name, values in series.items()]
    return pd.concat(parts)


def config_of(folder, frame, **spec):
    data = {"series": "item"} if "item" in frame else {}
    parameters = spec.pop("parameters", {"models": CHEAP})
    return job(
        write(folder, frame.to_csv(index=False)),
        task="Forecast",
        framework="StatsForecast",
        data={**data, **spec.pop("data", {})},
        parameters=parameters,
        **spec,
    )


def run(folder, config, **changed):
    framework, dataset = framework_for(config), dataset_of(config, folder)
    context = dataclasses.replace(context_of(config, folder, workers=changed.pop("workers", 1)), **changed)
    trained = framework.train(dataset, context)
    return framework, dataset, context, trained, framework.evaluate(dataset, trained, context)


@pytest.mark.parametrize("name", ["AutoETS", "DynamicOptimizedTheta", "MSTL", "RandomWalkWithDrift"])
def test_one_method_forecasts_like_the_library(tmp_path, name):
    from statsforecast import models

    values = weekly()
    config = config_of(tmp_path, pd.DataFrame({"ds": DAYS, "y": values}), parameters={"models": [name]})
    framework, _dataset, context, trained, found = run(tmp_path, config)
    reported = {} if name == "RandomWalkWithDrift" else {"season_length": 7}
    bare = getattr(models, name)(**reported)
    np.testing.assert_allclose(found.holdout["predicted"], bare.forecast(y=values[:-7], h=7)["mean"], rtol=1e-9)
    asked = pd.DataFrame({"ds": pd.date_range(DAYS[-1], periods=8)[1:]})
    predicted = framework.predict(framework.load(context.output), asked)
    np.testing.assert_allclose(predicted["prediction"], bare.forecast(y=values, h=7)["mean"], rtol=1e-9)
    assert trained.parameters["weights"] == {name: 1.0}
    assert (trained.series.trained, trained.series.fallback) == (1, 0)


def test_a_series_uses_the_method_that_forecasts_it_best(tmp_path):
    """The seasonal naive method is best for an exact weekly season, and the last value for a steady increase."""
    exact = np.tile([1.0, 5, 2, 8, 3, 9, 4], 20)
    frame = table(exact=exact, other=10 * exact, line=np.arange(140.0))
    config = config_of(tmp_path, frame, parameters={"models": ["SeasonalNaive", "Naive"]})
    framework, _, context, _, found = run(tmp_path, config)
    weights = framework.load(context.output).weights_of()
    assert {name: row.tolist() for name, row in weights.items()} == {"exact": [1, 0], "other": [1, 0], "line": [0, 1]}
    for name, expected in (("exact", exact[-7:]), ("line", np.full(7, 132.0))):
        rows = found.holdout[found.holdout["series"] == name]
        np.testing.assert_allclose(rows["predicted"], expected)


def test_intermittent_series_have_separate_methods(tmp_path):
    random = np.random.default_rng(1)
    seldom = np.where(random.random(140) < 0.2, random.integers(1, 5, 140), 0).astype(float)
    config = config_of(tmp_path, table(seldom=seldom, steady=weekly()), parameters={})
    _, _, _context, trained, _ = run(tmp_path, config)
    known = [one.label for one in default_methods(intermittent=True, season=7)]
    model = trained.model.kept
    labels = [next(iter(one)) if isinstance(one, dict) else one for one in model.methods]
    used = {name: {labels[at] for at in np.flatnonzero(row)} for name, row in model.weights_of().items()}
    assert used["seldom"] <= set(known)
    assert used["steady"] <= {one.label for one in default_methods(intermittent=False, season=7)}
    assert (model.forecasts >= 0).all()


def test_a_failed_method_is_reported_and_replaced(tmp_path, monkeypatch):
    forecast = Method.forecast

    def failing(self, values, steps, season, seasons):
        if self.name == "HistoricAverage" and values.mean() > 100:
            raise ZeroDivisionError("no luck")
        return forecast(self, values, steps, season, seasons)

    monkeypatch.setattr(Method, "forecast", failing)
    frame = table(small=weekly(1), large=200 + weekly(2))
    config = config_of(tmp_path, frame, parameters={"models": ["HistoricAverage"]})
    _, _, _, trained, found = run(tmp_path, config)
    assert (trained.series.trained, trained.series.fallback) == (1, 1)
    failed, replaced = trained.warnings
    assert failed.startswith("1 series: HistoricAverage failed")
    assert failed.endswith("ZeroDivisionError: no luck")
    assert replaced.startswith("1 series use the seasonal naive model")
    large = found.holdout[found.holdout["series"] == "large"]
    np.testing.assert_allclose(large["predicted"], (200 + weekly(2))[-14:-7])


@pytest.mark.parametrize("values", [[np.nan, 1.0], [1e9, 1.0]])
def test_a_forecast_that_is_not_finite_or_out_of_range_is_an_error(monkeypatch, values):
    from statsforecast import models

    monkeypatch.setattr(models.Naive, "forecast", lambda *_, **__: {"mean": np.array(values)})
    with pytest.raises(ValueError, match=r"not finite|far outside the range"):
        Method("Naive").forecast(weekly(), 2, 7, (7,))


def test_missing_rows_count_as_steps(tmp_path):
    """In an exact weekly season with missing rows, the season stays seven steps long."""
    exact = np.tile([1.0, 5, 2, 8, 3, 9, 4], 20)
    frame = pd.DataFrame({"ds": DAYS, "y": exact}).drop([20, 21, 40, 90])
    config = config_of(
        tmp_path, frame, parameters={"models": ["SeasonalNaive"]}, forecast={"horizon": 7, "frequency": "D"}
    )
    _, _, _, _, found = run(tmp_path, config)
    assert found.metrics["mae"] == 0


def test_series_of_any_length_are_forecast(tmp_path):
    frame = table(long=weekly(), short=weekly()[-9:], constant=np.full(140, 3.0))
    config = config_of(
        tmp_path,
        frame,
        parameters={},
        forecast={"horizon": 3, "quantiles": [0.1, 0.9]},
        data={"validation": {"minPoints": 9}},
    )
    framework, _, context, _, found = run(tmp_path, config)
    assert np.isfinite(found.holdout["predicted"]).all()
    asked = pd.DataFrame({"ds": DAYS[-1] + pd.Timedelta(days=1), "item": ["long", "short", "constant"]})
    predicted = framework.predict(framework.load(context.output), asked)
    assert predicted["prediction"].tolist()[2] == pytest.approx(3)
    assert (predicted["quantile:0.1"] <= predicted["quantile:0.9"]).all()


def test_the_coverage_of_quantiles_matches_their_levels(tmp_path):
    frame = table(**{f"s{number}": weekly(number, 2.0) for number in range(30)})
    config = config_of(tmp_path, frame, forecast={"horizon": 7, "quantiles": [0.1, 0.9]})
    *_, found = run(tmp_path, config)
    inside = (found.holdout["actual"] >= found.holdout["quantile:0.1"]) & (
        found.holdout["actual"] <= found.holdout["quantile:0.9"]
    )
    assert 0.7 < inside.mean() < 0.9


def test_a_saved_model_reproduces_the_golden_rows_and_refuses_invalid_requests(tmp_path):
    config = config_of(tmp_path, table(a=weekly(1), b=weekly(2)[:-10]), forecast={"horizon": 5, "quantiles": [0.5]})
    framework, _dataset, context, trained, found = run(tmp_path, config)
    model = framework.load(context.output)
    pd.testing.assert_frame_equal(framework.predict(model, found.golden.inputs), found.golden.outputs)
    pd.testing.assert_frame_equal(framework.predict(trained.model, found.golden.inputs), found.golden.outputs)
    assert framework.predict(model, found.golden.inputs[:0]).columns.tolist() == ["prediction", "quantile:0.5"]
    last = pd.DataFrame({"ds": [DAYS[-1] + pd.Timedelta(days=5)], "item": ["b"]})
    assert np.isfinite(framework.predict(model, last)["prediction"]).all()
    with pytest.raises(DataError, match=r"is outside .* series 'b'"):
        framework.predict(model, last.assign(ds=DAYS[-1] + pd.Timedelta(days=6)))
    with pytest.raises(DataError, match="no series 'c'"):
        framework.predict(model, last.assign(item="c"))


def test_the_judged_model_reproduces_the_holdout_and_forecasts_a_newer_one(tmp_path):
    config = config_of(tmp_path, table(a=weekly(1), b=weekly(2)))
    framework, dataset, context, _trained, found = run(tmp_path, config)
    judged = framework.load(context.output / JUDGED)
    np.testing.assert_allclose(framework.forecast_holdouts(judged, dataset), found.holdout["predicted"])
    assert framework.learned_until(judged) == dict.fromkeys("ab", DAYS[-8].to_datetime64())
    newer = tmp_path / "newer"
    newer.mkdir()
    frame = table(a=weekly(1), c=weekly(3))
    forecasts = framework.forecast_holdouts(judged, dataset_of(config_of(newer, frame), newer))
    np.testing.assert_allclose(forecasts[:7], found.holdout["predicted"][:7])
    assert np.isnan(forecasts[7:]).all()


class MemoryCheckpoints(NoCheckpoints):
    def __init__(self):
        self.bodies = {}

    def get(self, name):
        return self.bodies.get(name)

    def put(self, name, body):
        self.bodies[name] = body

    def names(self):
        return sorted(self.bodies)


def digests(context, trained):
    return [hashlib.sha256((context.output / name).read_bytes()).hexdigest() for name in trained.files]


def test_a_resumed_attempt_and_other_workers_give_the_same_files(tmp_path):
    frame = table(**{f"s{number}": weekly(number) for number in range(14)})
    config = config_of(tmp_path, frame)
    _, _, context, trained, _ = run(tmp_path, config)
    uninterrupted = digests(context, trained)
    for workers in (1, 2):
        checkpoints, reported = MemoryCheckpoints(), []
        first = tmp_path / f"first{workers}"
        first.mkdir()
        with pytest.raises(Interrupted):
            run(
                first,
                config,
                workers=workers,
                checkpoints=checkpoints,
                progress=lambda *one, reported=reported: reported.append(one),
                stop=lambda reported=reported: len(reported) >= 16,
            )
        assert checkpoints.bodies
        second = tmp_path / f"second{workers}"
        second.mkdir()
        _, _, context, trained, _ = run(second, config, workers=workers, checkpoints=checkpoints)
        assert digests(context, trained) == uninterrupted


def test_input_size_limits_the_fit_to_the_newest_steps(tmp_path):
    values = np.concatenate([np.full(100, 1000.0), np.full(40, 10.0)])
    frame = pd.DataFrame({"ds": DAYS, "y": values})
    config = config_of(tmp_path, frame, parameters={"models": ["HistoricAverage"], "input_size": 20})
    _, _, _, trained, found = run(tmp_path, config)
    assert (found.holdout["predicted"] == 10).all()
    assert "fitted to the newest 20 of up to 140 steps" in trained.warnings[-1]


def test_unused_holidays_are_reported(tmp_path):
    config = config_of(
        tmp_path, pd.DataFrame({"ds": DAYS, "y": weekly()}), forecast={"horizon": 7, "holidaysCountry": "FR"}
    )
    _, _, _, trained, _ = run(tmp_path, config)
    assert any("forecast.holidaysCountry is not used" in text for text in trained.warnings)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": ["AutoETS"]}, "spec.parameters.model is unknown: .* did you mean models"),
        ({"models": "AutoETS"}, "must be a list of methods"),
        ({"models": []}, "must be a list of methods"),
        ({"models": ["AutoEts"]}, "there is no method 'AutoEts' among .* did you mean AutoETS"),
        ({"models": ["SklearnModel"]}, "there is no method 'SklearnModel'"),
        ({"models": [7]}, "7 must be the name of a method"),
        ({"models": [{"AutoETS": {}, "Naive": {}}]}, "must be the name of a method"),
        ({"models": [{"AutoETS": ["ZZA"]}]}, "the arguments of AutoETS must"),
        ({"models": [{"AutoETS": {"modle": "ZZA"}}]}, "AutoETS does not accept its arguments"),
        ({"models": [{"AutoETS": {"model": "QQQ"}}]}, "AutoETS does not accept its arguments"),
        ({"models": ["AutoETS", {"AutoETS": {"model": "ZZA"}}]}, "contains AutoETS twice"),
        ({"input_size": 0}, "must be a number of steps"),
        ({"input_size": True}, "must be a number of steps"),
        ({"input_size": "many"}, "must be a number of steps"),
    ],
)
def test_invalid_parameters_are_refused_before_data_is_read(tmp_path, parameters, message):
    config = config_of(tmp_path, pd.DataFrame({"ds": DAYS, "y": weekly()}), parameters=parameters)
    with pytest.raises(ConfigError, match=message):
        framework_for(config)


def test_a_method_can_be_used_twice_with_other_arguments(tmp_path):
    models = ["AutoETS", {"AutoETS": {"model": "ANN", "alias": "plain"}}]
    config = config_of(tmp_path, pd.DataFrame({"ds": DAYS, "y": weekly()}), parameters={"models": models})
    *_, trained, _ = run(tmp_path, config)
    assert set(trained.parameters["weights"]) <= {"AutoETS", "plain"}


def test_a_search_is_refused(tmp_path):
    config = config_of(tmp_path, pd.DataFrame({"ds": DAYS, "y": weekly()}), search={"trials": 3})
    with pytest.raises(ConfigError, match=r"spec\.search"):
        framework_for(config)


@pytest.mark.parametrize("name", sorted(SECONDS_PER_STEP))
def test_every_method_can_be_used(name):
    """Each method gets its required arguments and forecasts a week. Two methods take minutes on longer series."""
    found = Method(name).forecast(weekly()[-42:], 7, 7, (7,))
    assert found.shape == (7,)


def test_quantiles_need_a_window(tmp_path):
    frame = pd.DataFrame({"ds": DAYS[:3], "y": weekly()[:3]})
    config = config_of(
        tmp_path,
        frame,
        forecast={"horizon": 4, "quantiles": [0.5], "frequency": "D"},
        data={"validation": {"minPoints": 3}},
    )
    with pytest.raises(DataError, match="no series is long enough"):
        run(tmp_path, config)
