"""``data.features`` of a forecast: columns of the table itself, with or without values for future steps."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.errors import ConfigError, DataError
from trainyard_trainer.frameworks.registry import framework_for

DAYS = pd.date_range("2025-06-02", periods=140)


def table(*, ahead=7, series=("a", "b")):
    """Sales that double on days with a promotion; the promotions of the next days are known."""
    parts = []
    for number, name in enumerate(series):
        random = np.random.default_rng(number)
        promo = random.random(140) < 0.3
        sold = (10 + 5 * number) * (1 + promo) + 0.1 * random.standard_normal(140)
        sold[140 - ahead :] = np.nan
        price = np.where(np.isnan(sold), np.nan, 1.5)
        parts.append(pd.DataFrame({"ds": DAYS, "item": name, "promo": promo, "price": price, "y": sold}))
    return pd.concat(parts, ignore_index=True)


def config_of(folder, frame, framework="LightGBM", features=("promo",), **spec):
    data = {"series": "item", "features": list(features)}
    return job(write(folder, frame.to_csv(index=False)), task="Forecast", framework=framework, data=data, **spec)


def codes(dataset):
    return {one.code: one.message for one in dataset.findings}


def test_rows_without_a_target_have_the_future_values(tmp_path):
    frame = table()
    dataset = dataset_of(config_of(tmp_path, frame), tmp_path)
    assert dataset.features == ("promo",)
    assert "MissingTarget" not in codes(dataset)
    expected = frame[frame["item"] == "b"]["promo"].to_numpy(float)
    rows = dataset.series[1]
    np.testing.assert_array_equal(dataset.frame["promo"].iloc[rows.start : rows.stop], expected[:133])
    np.testing.assert_array_equal(dataset.ahead["b"][:, 0], expected[133:])


@pytest.mark.parametrize("framework", ["LightGBM", "Prophet", "Torch"])
def test_a_promotion_changes_the_forecast(tmp_path, framework):
    config = config_of(tmp_path, table(), framework)
    made, dataset = framework_for(config), dataset_of(config, tmp_path)
    context = context_of(config, tmp_path)
    trained = made.train(dataset, context)
    made.evaluate(dataset, trained, context)
    asked = pd.DataFrame({"ds": [DAYS[133]] * 2, "item": ["a"] * 2, "promo": [0.0, 1.0]})
    model = made.load(context.output)
    without, with_it = (made.predict(model, asked.iloc[[number]])["prediction"].iloc[0] for number in (0, 1))
    assert with_it > 1.3 * without
    with pytest.raises(DataError, match="lacks the column 'promo'"):
        made.predict(model, asked.drop(columns="promo"))


def test_statsforecast_reports_unused_features(tmp_path):
    config = config_of(tmp_path, table(), "StatsForecast", parameters={"models": ["SeasonalNaive"]})
    made, dataset = framework_for(config), dataset_of(config, tmp_path)
    trained = made.train(dataset, context_of(config, tmp_path))
    assert any("covariates promo are not used" in text for text in trained.warnings)


def test_a_feature_without_future_values_is_reported(tmp_path):
    dataset = dataset_of(config_of(tmp_path, table(), features=("promo", "price")), tmp_path)
    assert dataset.features == ("promo",)
    assert dataset.lagged == ("price",)
    assert codes(dataset)["FeatureNotKnownInFuture"].startswith("'price' of data.features: ")
    folder = tmp_path / "none"
    folder.mkdir()
    dataset = dataset_of(config_of(folder, table(ahead=0)), folder)
    assert dataset.features == ()
    assert dataset.lagged == ("promo",)
    assert "FeatureNotKnownInFuture" in codes(dataset)


HORIZON = 7


def orders():
    """Orders are delivered a week later. Future orders are not known."""
    parts = []
    for number, name in enumerate(("a", "b", "c")):
        random = np.random.default_rng(number)
        ordered = random.integers(0, 50, len(DAYS) + HORIZON)
        delivered = 20 + ordered[:-HORIZON] * (1 + number)
        parts.append(pd.DataFrame({"ds": DAYS, "item": name, "ordered": ordered[HORIZON:], "y": delivered}))
    return pd.concat(parts, ignore_index=True)


def test_values_from_one_horizon_before_improve_the_forecast(tmp_path):
    frame = orders()
    config = config_of(tmp_path, frame, features=("ordered",), forecast={"horizon": HORIZON})
    made, dataset, context = framework_for(config), dataset_of(config, tmp_path), context_of(config, tmp_path)
    trained = made.train(dataset, context)
    found = made.evaluate(dataset, trained, context)
    assert found.metrics["mae"] < 0.4 * found.metrics["baseline_mae"]
    assert "ordered_lag_7" in set(found.importance["feature"])
    model = made.load(context.output)
    days = DAYS[-1] + pd.to_timedelta(np.arange(1, HORIZON + 1), "D")
    predicted = made.predict(model, pd.DataFrame({"ds": days, "item": "b"}))["prediction"]
    wanted = 20 + 2 * frame[frame["item"] == "b"]["ordered"].to_numpy()[-HORIZON:]
    assert np.corrcoef(predicted, wanted)[0, 1] > 0.9
    judged = made.forecast_holdouts(trained.judged, dataset)
    np.testing.assert_allclose(judged, found.holdout["predicted"])
    with pytest.raises(DataError, match="lacks the covariate 'ordered'"):
        made.forecast_holdouts(model, dataset_of(config_of(tmp_path, frame, features=()), tmp_path))


@pytest.mark.parametrize("framework", ["Prophet", "StatsForecast"])
def test_other_frameworks_report_unused_past_features(tmp_path, framework):
    config = config_of(tmp_path, orders(), framework, features=("ordered",))
    trained = framework_for(config).train(dataset_of(config, tmp_path), context_of(config, tmp_path))
    assert any(text.startswith("ordered ") and "not used" in text for text in trained.warnings)


def test_a_missing_target_before_the_end_is_reported(tmp_path):
    frame = table()
    frame.loc[20, "y"] = np.nan
    dataset = dataset_of(config_of(tmp_path, frame), tmp_path)
    assert codes(dataset)["MissingTarget"].startswith("1 rows without a value in 'y'")


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (["item"], ConfigError, "'item', which is data.series"),
        (["ds"], ConfigError, "'ds', which is data.time"),
        (["kind"], DataError, "'kind', data row 1: 'sale' is not a number"),
        (["nothing"], DataError, "nothing"),
    ],
)
def test_an_invalid_feature_is_refused(tmp_path, features, error, message):
    config = config_of(tmp_path, table().assign(kind="sale"), features=features)
    with pytest.raises(error, match=message):
        dataset_of(config, tmp_path)


def test_a_sentinel_is_detected_and_saved_with_the_model(tmp_path):
    frame = table().assign(price=lambda rows: np.where(rows["promo"], 4.0, 5.0))
    frame.loc[frame.index % 9 == 0, "price"] = -999.0
    config = config_of(tmp_path, frame, features=("price",))
    made, dataset, context = framework_for(config), dataset_of(config, tmp_path), context_of(config, tmp_path)
    assert "values of 'price' are -999" in codes(dataset)["Sentinel"]
    assert np.nanmin(dataset.frame["price"]) == 4
    made.train(dataset, context)
    asked = pd.DataFrame({"ds": [DAYS[133]] * 2, "item": ["a"] * 2, "price": [-999.0, np.nan]})
    model = made.load(context.output)
    sent, missing = (made.predict(model, asked.iloc[[number]])["prediction"].iloc[0] for number in (0, 1))
    assert sent == missing
