"""A saved model with the state of newer rows: the same forecasts as from a holdout that starts there."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.errors import DataError
from trainyard_trainer.frameworks.auto.model import AutoModel, Member
from trainyard_trainer.frameworks.forecast.columns import Columns, asked_rows
from trainyard_trainer.frameworks.forecast.refresh import UNKNOWN, ends_of
from trainyard_trainer.frameworks.registry import framework_for, predict_each
from trainyard_trainer.frameworks.torch.model import write_description

DAYS = pd.date_range("2025-03-03", periods=150)
TRAINED = 120
"""Number of days of the training. Series b ends three days earlier."""

HORIZON = 7
MISSING = (21, 40, 41, 77, 90, 101, 112, 125, 130)
"""Days without a row. None of them is the last day of a series."""

REGIONS = {"a": "north", "b": "south", "c": "north", "new": "south", "short": "south"}
PARAMETERS: dict[str, dict[str, Any]] = {
    "LightGBM": {"num_iterations": 20, "num_leaves": 7},
    "StatsForecast": {"models": ["DynamicOptimizedTheta", "SeasonalNaive", "HistoricAverage"]},
    "Prophet": {},
    "Torch": {"epochs": 2, "hidden": [8]},
}
PARAMETERS["Auto"] = {name: PARAMETERS[name] for name in ("LightGBM", "StatsForecast")}
FRAMEWORKS = tuple(PARAMETERS)
KNOW_NEW_SERIES = ("LightGBM", "Torch")


def one_series(name, until):
    """Sales with a week, promotions that are known in advance, and visitors, which are not. A few days are missing."""
    random = np.random.default_rng(sorted(REGIONS).index(name))
    promo = random.random(len(DAYS)) < 0.3
    visitors = random.integers(0, 50, len(DAYS)).astype(float)
    sold = 20 + 6 * (DAYS.dayofweek == 5) + 5 * promo + 0.2 * np.roll(visitors, HORIZON)
    frame = pd.DataFrame({"ds": DAYS, "item": name, "promo": promo, "visitors": visitors, "y": sold})
    frame["y"] += random.standard_normal(len(DAYS))
    end = until - 3 if name == "b" else until
    frame.loc[end:, ["y", "visitors"]] = np.nan
    begin = end - 6 if name == "short" else 0
    return frame.assign(region=REGIONS[name]).drop(list(MISSING)).loc[begin : end + HORIZON - 1]


def table(until, names="abc"):
    return pd.concat([one_series(name, until) for name in names], ignore_index=True)


def config_of(folder, frame, framework, **spec):
    data = {"series": "item", "features": ["promo", "visitors"], "static": ["region"], **spec.pop("data", {})}
    spec = {
        "parameters": PARAMETERS[framework],
        "forecast": {"horizon": HORIZON, "frequency": "D", "quantiles": [0.1, 0.9]},
        **({"auto": {"candidates": ["StatsForecast", "LightGBM"]}} if framework == "Auto" else {}),
        **spec,
    }
    data = {"validation": {"minPoints": 5}, **{field: value for field, value in data.items() if value}}
    return job(write(folder, frame.to_csv(index=False)), task="Forecast", framework=framework, data=data, **spec)


def dataset_until(folder, until, names="abc", **spec):
    return dataset_of(config_of(folder, table(until, names), "LightGBM", **spec), folder)


@dataclass(frozen=True)
class Saved:
    name: str
    framework: Any
    folder: Path

    @property
    def model(self):
        return self.framework.load(self.folder)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Trained models by the name of the framework, each trained once."""
    made: dict[str, Saved] = {}

    def of(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            config = config_of(folder, table(TRAINED), name)
            framework, context = framework_for(config), context_of(config, folder)
            framework.train(dataset_of(config, folder), context)
            made[name] = Saved(name, framework, context.output)
        return made[name]

    return of


COLUMNS = Columns("ds", "item", ("promo",))


def asked_after(dataset, names=None):
    """Return a request for the steps after the end of each series."""
    parts = []
    for one, end in zip(dataset.series, ends_of(dataset), strict=True):
        days = pd.DatetimeIndex([end + np.timedelta64(step, "D") for step in range(1, HORIZON + 1)])
        parts.append(pd.DataFrame({"ds": days, "item": one.name, "promo": dataset.ahead[one.name][:, 0]}))
    found = pd.concat(parts, ignore_index=True)
    return found if names is None else found[found["item"].isin(list(names))].reset_index(drop=True)


def holdouts(dataset):
    parts = [asked_rows(dataset, COLUMNS, one.name, slice(one.split, one.stop)) for one in dataset.series]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_rows_of_the_training_give_the_forecasts_of_the_saved_model(tmp_path, saved, name):
    one, dataset = saved(name), dataset_until(tmp_path, TRAINED)
    found = one.framework.refreshed(one.model, dataset)
    assert (found.left_out, found.notes) == ({}, ())
    asked = asked_after(dataset)
    expected = one.framework.predict(one.model, asked)
    assert expected.columns.tolist() == ["prediction", "quantile:0.1", "quantile:0.9"]
    pd.testing.assert_frame_equal(one.framework.predict(found.model, asked), expected, rtol=1e-9)


@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize("later", [1, 5, -10])
def test_other_rows_give_the_forecasts_of_a_holdout_that_starts_there(tmp_path, saved, name, later):
    one, until = saved(name), TRAINED + later
    found = one.framework.refreshed(one.model, dataset_until(tmp_path, until))
    assert found.left_out == {}
    judged = dataset_until(tmp_path, until + HORIZON)
    asked = holdouts(judged)
    assert len(asked) < 3 * HORIZON  # some of the days are missing
    predicted = one.framework.predict(found.model, asked)
    expected = one.framework.forecast_holdouts(one.model, judged)
    np.testing.assert_allclose(predicted["prediction"], expected, rtol=1e-6)
    assert (predicted["quantile:0.1"] <= predicted["quantile:0.9"]).all()
    assert sum("3 series end before the end of their training" in note for note in found.notes) == (later < 0)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_refreshed_model_knows_the_ends_of_its_training_and_forgets_nothing_in_its_files(tmp_path, saved, name):
    one, dataset = saved(name), dataset_until(tmp_path, TRAINED + 4, "ab")
    learned = one.framework.learned_until(one.model)
    model = one.framework.refreshed(one.model, dataset).model
    assert one.framework.learned_until(model) == learned
    assert set(learned) == {"a", "b", "c"}
    asked = asked_after(dataset)
    expected = one.framework.predict(model, asked)
    if name == "Prophet":  # its files are those of the training; worker processes get the state
        again = next(predict_each(one.framework, model, [asked], 2))
    else:
        again_model = written(one, model, tmp_path / "again")
        assert one.framework.learned_until(again_model) == learned
        again = one.framework.predict(again_model, asked)
    pd.testing.assert_frame_equal(again, expected, rtol=1e-5 if name == "Torch" else 1e-9)
    with pytest.raises(DataError, match="no series 'c'"):
        one.framework.predict(model, asked.assign(item="c"))


def written(one, model, folder):
    if one.name == "Torch":
        write_description(model, folder)
    else:
        model.save(folder)
    for name, member in getattr(model, "members", {}).items():
        member.model.save(folder / name)
    return one.framework.load(folder)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_new_series_do_not_fail_the_others(tmp_path, saved, name):
    one, names = saved(name), ("a", "b", "c", "new", "short")
    dataset = dataset_until(tmp_path, TRAINED + 2, names)
    found = one.framework.refreshed(one.model, dataset)
    others = one.framework.refreshed(one.model, dataset_until(tmp_path, TRAINED + 2))
    asked = asked_after(dataset, "abc")
    expected = one.framework.predict(others.model, asked)
    pd.testing.assert_frame_equal(one.framework.predict(found.model, asked), expected, rtol=1e-5)
    if name in KNOW_NEW_SERIES:
        assert found.left_out == {}
        assert any(note.startswith("2 series are new to the model, such as 'new'") for note in found.notes)
        assert np.isfinite(one.framework.predict(found.model, asked_after(dataset))).all(axis=None)
    else:
        assert found.left_out == {"new": UNKNOWN, "short": UNKNOWN}


def test_a_new_series_is_forecast_by_trees_if_it_is_long_enough(tmp_path, saved):
    one = saved("LightGBM")
    dataset = dataset_until(tmp_path, TRAINED + HORIZON, ("a", "new", "short"))
    cut = dataset_until(tmp_path, TRAINED, ("a", "new", "short"))
    found = one.framework.refreshed(one.model, cut)
    state = found.model.state
    assert dict(zip(state.names, state.fitted, strict=True)) == {"a": True, "new": True, "short": False}
    shortest = found.model.trees.feature_spec.shortest
    assert f"1 series are answered by the seasonal naive model: they have fewer than {shortest} steps" in found.notes
    asked = holdouts(dataset)
    predicted = one.framework.predict(found.model, asked)["prediction"]
    expected = one.framework.forecast_holdouts(one.model, dataset)
    rows = (asked["item"] != "short").to_numpy()  # the rows of series short start a fixed time before its end
    np.testing.assert_allclose(predicted[rows], expected[rows], rtol=1e-6)


def test_rows_that_are_fewer_than_the_lags_need_are_noted(tmp_path, saved):
    one = saved("LightGBM")
    frame = table(TRAINED + 2)
    dataset = dataset_of(config_of(tmp_path, frame[frame["ds"] >= DAYS[TRAINED - 12]], "LightGBM"), tmp_path)
    found = one.framework.refreshed(one.model, dataset)
    reach = found.model.trees.feature_spec.reach
    assert f"the lags need {reach}" in found.notes[-1]
    assert np.isfinite(one.framework.predict(found.model, asked_after(dataset))).all(axis=None)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_data_of_another_form_is_refused(tmp_path, saved, name):
    one = saved(name)
    weekly = table(140)
    weekly["ds"] = DAYS[0] + 7 * (weekly["ds"] - DAYS[0])
    forecast = {"horizon": 3, "frequency": "W-MON"}
    other = dataset_of(config_of(tmp_path, weekly, "LightGBM", forecast=forecast), tmp_path)
    with pytest.raises(DataError, match=r"cannot forecast from the end of this data: .* steps of D, .* W-MON; give"):
        one.framework.refreshed(one.model, other)
    zone = dataset_until(tmp_path, TRAINED, data={"timeZone": "Europe/Paris"})
    with pytest.raises(DataError, match=r"times of UTC, .* times of Europe/Paris"):
        one.framework.refreshed(one.model, zone)
    if name != "StatsForecast":
        without = dataset_until(tmp_path, TRAINED, data={"features": ["visitors"]})
        with pytest.raises(DataError, match="the data lacks the covariate 'promo'"):
            one.framework.refreshed(one.model, without)


@pytest.mark.parametrize(("data", "column"), [({"features": ["promo"]}, "visitors"), ({"static": []}, "region")])
@pytest.mark.parametrize("name", ["LightGBM", "Auto"])
def test_trees_need_their_static_and_lagged_columns(tmp_path, saved, name, data, column):
    one = saved(name)
    assert "LightGBM" in getattr(one.model, "members", {"LightGBM"})
    with pytest.raises(DataError, match=f"cannot forecast from the end of this data: .* '{column}' of the model; give"):
        one.framework.refreshed(one.model, dataset_until(tmp_path, TRAINED, data=data))


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_model_of_one_series_without_a_name(tmp_path, name):
    forecast = {"horizon": HORIZON, "frequency": "D"}
    plain = {"series": None, "features": [], "static": []}

    def dataset_of_one(until):
        frame = table(until, "a").dropna(subset="y")[["ds", "y"]]
        return dataset_of(config_of(tmp_path, frame, name, data=plain, forecast=forecast), tmp_path)

    config = config_of(tmp_path, table(TRAINED, "a").dropna()[["ds", "y"]], name, data=plain, forecast=forecast)
    framework, context = framework_for(config), context_of(config, tmp_path)
    framework.train(dataset_of_one(TRAINED), context)
    model = framework.load(context.output)
    found = framework.refreshed(model, dataset_of_one(TRAINED + 3))
    asked = pd.DataFrame({"ds": DAYS[TRAINED + 3 : TRAINED + 3 + HORIZON]})
    judged = dataset_of_one(TRAINED + 3 + HORIZON)
    rows = np.isin(asked["ds"], judged.frame["ds"])
    predicted = framework.predict(found.model, asked)["prediction"][rows]
    np.testing.assert_allclose(predicted, framework.forecast_holdouts(model, judged), rtol=1e-5)
    with pytest.raises(DataError, match="it forecasts one series without a name, the data has 3 series"):
        framework.refreshed(model, dataset_until(tmp_path, TRAINED))


@pytest.mark.parametrize("name", ["LightGBM", "StatsForecast", "Prophet"])
def test_the_repeated_hour_in_autumn_is_a_row_like_others(tmp_path, name):
    """The training ends before the clocks go back in Paris at 01:00 UTC on 2025-10-26, the newer rows end after it."""
    hours = pd.date_range("2025-10-12", "2025-10-27", freq="h", tz="UTC", inclusive="left")
    random = np.random.default_rng(3)
    sold = 20 + 10 * np.sin(2 * np.pi * hours.tz_convert("Europe/Paris").hour / 24) + random.standard_normal(len(hours))
    plain = {"series": None, "features": [], "static": [], "timeZone": "Europe/Paris"}
    forecast = {"horizon": 12, "frequency": "h"}

    def dataset_before(end):
        rows = hours < pd.Timestamp(end, tz="UTC")
        frame = pd.DataFrame({"ds": hours[rows].strftime("%Y-%m-%dT%H:%M:%SZ"), "y": sold[rows]})
        config = config_of(tmp_path, frame, name, data=plain, forecast=forecast)
        return config, dataset_of(config, tmp_path)

    config, dataset = dataset_before("2025-10-25T20:00")
    framework, context = framework_for(config), context_of(config, tmp_path)
    framework.train(dataset, context)
    model = framework.load(context.output)
    if name == "Prophet":
        model = fallbacks(model, all={**NAIVE, "frequency": "h", "season": 24})
    found = framework.refreshed(model, dataset_before("2025-10-26T06:00")[1])
    judged = dataset_before("2025-10-26T18:00")[1]
    asked = asked_rows(judged, Columns("ds", None, (), judged.clock), "all", slice(judged.series[0].split, None))
    assert len(asked) == 12
    predicted = framework.predict(found.model, asked)["prediction"]
    np.testing.assert_allclose(predicted, framework.forecast_holdouts(model, judged), rtol=1e-6)


@pytest.mark.parametrize("name", ["StatsForecast", "Prophet", "Auto"])
def test_a_model_without_a_series_that_it_knows_refuses_every_request(tmp_path, saved, name):
    one, dataset = saved(name), dataset_until(tmp_path, TRAINED, ("new", "short"))
    found = one.framework.refreshed(one.model, dataset)
    assert found.left_out == {"new": UNKNOWN, "short": UNKNOWN}
    with pytest.raises(DataError, match="no series"):
        one.framework.predict(found.model, asked_after(dataset))


def fallbacks(bundle, **records):
    return dataclasses.replace(bundle, replaced=records)


NAIVE = {
    "kind": "seasonal-naive",
    "frequency": "D",
    "season": 7,
    "times": [str(DAYS[0])],
    "values": [1.0],
    "offsets": [-1.0, 1.0],
    "floor": None,
}


def test_prophet_extrapolates_over_one_horizon_and_its_seasonal_naive_model_without_a_limit(tmp_path, saved):
    one = saved("Prophet")
    level = {"kind": "tsb", "value": 3.0, "offsets": [-1.0, 1.0], "floor": None}
    model = fallbacks(one.model, b=NAIVE, c=level)
    found = one.framework.refreshed(model, dataset_until(tmp_path, TRAINED + HORIZON))
    assert found.left_out == {}
    assert [note.split(" of ")[0].split(" from ")[0] for note in found.notes] == [
        "Prophet extrapolates 1 series",
        "TSB and IMAPA repeat the level",
    ]
    assert all("up to 7 steps before the end of the data" in note for note in found.notes)
    dataset = dataset_until(tmp_path, TRAINED + HORIZON + 1)
    found = one.framework.refreshed(model, dataset)
    assert set(found.left_out) == {"a", "c"}
    for text in (str(DAYS[TRAINED - 1].date()), "8 steps", "the limit is 7 steps", "train a new version"):
        assert text in found.left_out["a"]
    asked = asked_after(dataset, "b")
    judged = dataset_until(tmp_path, TRAINED + 2 * HORIZON + 1, "b")
    rows = np.isin(asked["ds"], judged.frame["ds"])
    predicted = one.framework.predict(found.model, asked)["prediction"][rows]
    np.testing.assert_allclose(predicted, one.framework.forecast_holdouts(model, judged)[-rows.sum() :])


def test_prophet_models_of_older_releases_have_one_season_or_must_be_trained_again(tmp_path, saved):
    one = saved("Prophet")
    older = dataclasses.replace(one.model, horizon=0, frequency="")
    assert one.framework.refreshed(older, dataset_until(tmp_path, TRAINED + 7)).left_out == {}
    assert set(one.framework.refreshed(older, dataset_until(tmp_path, TRAINED + 8)).left_out) == set("abc")
    oldest = dataclasses.replace(older, until={})
    left_out = one.framework.refreshed(oldest, dataset_until(tmp_path, TRAINED)).left_out
    assert "does not record the end of its training" in left_out["a"]


def test_auto_scales_the_weights_if_a_member_leaves_a_series_out(tmp_path, saved):
    prophet, stats, auto = saved("Prophet"), saved("StatsForecast"), saved("Auto")
    model = AutoModel(
        ends=stats.model.ends,
        members={
            "StatsForecast": Member(stats.framework, stats.model),
            "Prophet": Member(prophet.framework, fallbacks(prophet.model, b=NAIVE)),
        },
        weights=np.array([[0.25, 0.75], [0.25, 0.75], [0.0, 1.0]]),
        floors=stats.model.floors,
        quantiles=stats.model.quantiles,
    )
    dataset = dataset_until(tmp_path, TRAINED + HORIZON + 1)
    found = auto.framework.refreshed(model, dataset)
    assert set(found.left_out) == {"c"}
    assert "train a new version" in found.left_out["c"]
    assert found.model.ends.names == ("a", "b")
    np.testing.assert_array_equal(found.model.weights, [[1.0, 0.0], [0.25, 0.75]])
    assert any(
        note.startswith("Prophet does not forecast 1 series, so the weights") and "'a'" in note for note in found.notes
    )
    asked = asked_after(dataset, "a")
    alone = stats.framework.predict(stats.framework.refreshed(stats.model, dataset).model, asked)
    pd.testing.assert_series_equal(
        auto.framework.predict(found.model, asked)["prediction"], alone["prediction"], rtol=1e-12
    )


def test_negative_values_remove_the_floor_of_the_quantiles(tmp_path, saved):
    one, frame = saved("StatsForecast"), table(TRAINED)
    frame.loc[frame["item"] == "a", "y"] -= 100
    found = one.framework.refreshed(one.model, dataset_of(config_of(tmp_path, frame, "LightGBM"), tmp_path))
    assert found.model.floors.tolist() == [-np.inf, 0, 0]


@pytest.mark.parametrize("name", ["StatsForecast", "Auto"])
def test_negative_values_in_the_holdout_remove_the_floor_of_the_final_model_alone(tmp_path, name):
    frame = table(TRAINED)
    frame.loc[(frame["item"] == "a") & (frame["ds"] == DAYS[TRAINED - 2]), "y"] = -5.0
    config = config_of(tmp_path, frame, name)
    framework, context = framework_for(config), context_of(config, tmp_path)
    framework.train(dataset_of(config, tmp_path), context)
    assert framework.load(context.output).floors.tolist() == [-np.inf, 0, 0]
    assert framework.load(context.output / JUDGED).floors.tolist() == [0, 0, 0]
