"""Quantiles of Prophet forecasts: as wide as the noise, reproducible, and saved with every kind of model."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.frameworks.golden import signature_of, verify_saved_model
from trainyard_trainer.frameworks.registry import framework_for

DAYS = pd.date_range("2025-06-01", periods=140)
STEP = np.arange(len(DAYS))
NOISE = np.random.default_rng(5).normal(0, 4, len(DAYS))
WEEK = np.array([3.0, 9.0, 2.0, 8.0, 1.0, 4.0, 30.0])[STEP % 7]
SERIES = {
    "prophet": 50 + 10 * np.sin(STEP * 2 * np.pi / 7) + NOISE,
    "seasonal-naive": WEEK,
    "tsb": np.where(STEP % 2 == 0, np.where(STEP < 40, 1.0, 20.0) + STEP % 3, 0.0),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantiles")
    frame = pd.concat([pd.DataFrame({"day": DAYS, "item": name, "sold": values}) for name, values in SERIES.items()])
    config = job(
        write(folder, frame.to_csv(index=False)),
        target="sold",
        task="Forecast",
        data={"time": "day", "series": "item"},
        forecast={"horizon": 14, "quantiles": [0.9, 0.1, 0.5]},
    )
    framework, dataset, context = framework_for(config), dataset_of(config, folder), context_of(config, folder)
    found = framework.train(dataset, context)
    return framework, context.output, found, framework.evaluate(dataset, found, context)


def ask(trained, series, days=60):
    framework, output, *_ = trained
    days = pd.date_range(DAYS[-1] + pd.Timedelta(days=1), periods=days)
    return framework.predict(framework.load(output), pd.DataFrame({"day": days, "item": series}))


def test_every_kind_of_model_has_ordered_quantiles(trained):
    kinds = {outcome.name: outcome.kind for outcome in trained[2].model.outcomes}
    assert (kinds["prophet"], kinds["seasonal-naive"]) == ("prophet", "seasonal-naive")
    assert kinds["tsb"] in {"tsb", "imapa"}
    for name in SERIES:
        found = ask(trained, name)
        assert list(found.columns) == ["prediction", "quantile:0.1", "quantile:0.5", "quantile:0.9"]
        assert (found["quantile:0.1"] <= found["quantile:0.5"]).all()
        assert (found["quantile:0.5"] <= found["quantile:0.9"]).all()
        assert found.min(axis=None) >= 0, "the data has no negative values"


def test_quantiles_of_prophet_are_as_wide_as_the_noise(trained):
    found = ask(trained, "prophet")
    width = (found["quantile:0.9"] - found["quantile:0.1"]).mean()
    assert width == pytest.approx(2 * 1.2816 * 4, rel=0.2)
    assert (found["quantile:0.5"] - found["prediction"]).abs().max() < 1


def test_quantiles_are_evaluated_on_held_out_rows(trained):
    metrics = trained[3].metrics
    assert 0.6 <= metrics["coverage"] <= 1, "the lowest and the highest level are 0.1 and 0.9"
    assert 0 < metrics["pinball"] < metrics["mae"]


def test_quantiles_of_a_level_are_those_of_the_demand(trained):
    found = ask(trained, "tsb")
    assert found["quantile:0.1"].iloc[0] == pytest.approx(np.quantile(SERIES["tsb"], 0.1))
    assert found["quantile:0.9"].iloc[0] == pytest.approx(np.quantile(SERIES["tsb"], 0.9))
    assert found.nunique().max() == 1


def test_equal_requests_give_equal_quantiles_and_do_not_change_the_generator_of_numpy(trained):
    np.random.seed(11)
    first = ask(trained, "prophet")
    drawn = np.random.uniform()
    np.random.seed(11)
    assert np.random.uniform() == drawn
    pd.testing.assert_frame_equal(ask(trained, "prophet"), first)


def test_quantiles_are_saved_with_the_model(trained):
    framework, output, _, evaluation = trained
    assert verify_saved_model(framework, output, evaluation.golden).max_difference < 1e-9
    names = [column.name for column in signature_of(evaluation.golden).outputs]
    assert names == ["prediction", "quantile:0.1", "quantile:0.5", "quantile:0.9"]
