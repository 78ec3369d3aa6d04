"""``data.static`` of a forecast: attributes of each series."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.errors import ConfigError, DataError
from trainyard_trainer.frameworks.registry import framework_for
from trainyard_trainer.job.prepare.table import table_of

DAYS = pd.date_range("2025-06-02", periods=200)
AHEAD = 7
SERIES = tuple(f"shop {number:02d}" for number in range(20))


def table(**columns):
    """Promotions double what is sold in the north and change nothing in the south."""
    parts = []
    for number, name in enumerate(SERIES):
        random = np.random.default_rng(number)
        promo = random.random(len(DAYS)) < 0.3
        north = number % 2 == 0
        sold = (10 + number) * (1 + promo * north) + 0.1 * random.standard_normal(len(DAYS))
        sold[-AHEAD:] = np.nan
        one = pd.DataFrame({"ds": DAYS, "item": name, "promo": promo, "y": sold})
        parts.append(one.assign(region="north" if north else "south", size=float(number)))
    return pd.concat(parts, ignore_index=True).assign(**columns)


def config_of(folder, frame, framework="LightGBM", static=("region",), features=("promo",), **spec):
    data = {"series": "item", "features": list(features), "static": list(static)}
    return job(write(folder, frame.to_csv(index=False)), task="Forecast", framework=framework, data=data, **spec)


def found(dataset):
    return {one.code: one.message for one in dataset.findings}


def effect(made, model, name):
    asked = pd.DataFrame({"ds": [DAYS[-AHEAD]] * 2, "item": [name] * 2, "promo": [0.0, 1.0]})
    without, with_it = (made.predict(model, asked.iloc[[number]])["prediction"].iloc[0] for number in (0, 1))
    return with_it / without


def test_a_promotion_only_changes_the_forecasts_of_its_region(tmp_path):
    config = config_of(tmp_path, table())
    made, dataset, context = framework_for(config), dataset_of(config, tmp_path), context_of(config, tmp_path)
    trained = made.train(dataset, context)
    evaluated = made.evaluate(dataset, trained, context)
    assert "region" in set(evaluated.importance["feature"])
    model = made.load(context.output)
    assert effect(made, model, "shop 04") > 1.7
    assert 0.9 < effect(made, model, "shop 05") < 1.15
    moved = table(region="west")
    moved.loc[moved["item"] == "shop 04", "region"] = "south"
    newer = dataset_of(config_of(tmp_path, moved), tmp_path)
    assert np.isfinite(made.forecast_holdouts(model, newer)).all()
    with pytest.raises(DataError, match=r"lacks the column of data\.static 'region'"):
        made.forecast_holdouts(model, dataset_of(config_of(tmp_path, table(), static=("size",)), tmp_path))


def test_numbers_and_texts(tmp_path):
    frame = table(code="7")
    frame.loc[frame["item"] == "shop 03", "code"] = "seven"
    frame.loc[frame["item"] == "shop 05", "size"] = np.nan
    static = dataset_of(config_of(tmp_path, frame, static=("region", "size", "code")), tmp_path).static
    assert static.names == ("region", "size", "code")
    assert static.texts == (("north", "south"), (), ("7", "seven"))
    assert static.values["shop 03"] == ("south", 3.0, "seven")
    assert np.isnan(static.values["shop 05"][1])


def test_the_newest_of_several_values_is_used(tmp_path):
    frame = table()
    frame.loc[(frame["item"] == "shop 01") & (frame["ds"] >= DAYS[100]), "region"] = "north"
    dataset = dataset_of(config_of(tmp_path, frame.iloc[::-1]), tmp_path)
    assert "'region' of data.static changes within 1 series" in found(dataset)["StaticChanges"]
    assert dataset.static.values["shop 01"] == ("north",)


def test_a_constant_column_is_left_out_and_reported(tmp_path):
    dataset = dataset_of(config_of(tmp_path, table(region="north"), static=("region", "size")), tmp_path)
    assert dataset.static.names == ("size",)
    assert "'region' of data.static" in found(dataset)["ConstantColumn"]


@pytest.mark.parametrize(("name", "why"), [("ds", "data.time"), ("promo", "one of data.features")])
def test_a_column_has_one_role(tmp_path, name, why):
    with pytest.raises(ConfigError, match=f"spec.data.static .*'{name}', .*{why}"):
        dataset_of(config_of(tmp_path, table(), static=(name,)), tmp_path)


def test_a_missing_column_is_refused(tmp_path):
    with pytest.raises(DataError, match="'regoin'"):
        dataset_of(config_of(tmp_path, table(), static=("regoin",)), tmp_path)


@pytest.mark.parametrize("framework", ["Prophet", "StatsForecast", "Torch"])
def test_other_frameworks_report_unused_static_columns(tmp_path, framework):
    config = config_of(tmp_path, table()[lambda rows: rows["item"] < "shop 02"], framework)
    trained = framework_for(config).train(dataset_of(config, tmp_path), context_of(config, tmp_path))
    assert any("the columns region of data.static are not used" in text for text in trained.warnings)


def test_a_prepared_table_has_the_static_columns(tmp_path):
    config = config_of(tmp_path, table(visitors=1.5), static=("region", "size"), features=("promo", "visitors"))
    dataset = dataset_of(config, tmp_path)
    found = table_of(dataset, pd.DataFrame(), config.spec)
    rows = found.frame[found.frame["item"] == "shop 03"]
    assert set(rows["region"]) == {"south"}
    assert set(rows["size"]) == {3.0}
    assert {found.roles[name] for name in ("region", "size", "promo", "visitors")} == {"feature"}
