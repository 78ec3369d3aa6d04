"""The baseline of a forecast: the best naive model before the holdout, one for a job, the same in every framework."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.evaluate.baselines import naive_forecast
from trainyard_trainer.frameworks.forecast.baseline import Baseline
from trainyard_trainer.frameworks.registry import framework_for

DAYS = 200


def weekly(random):
    return 50 + 20 * np.sin(2 * np.pi * np.arange(DAYS) / 7) + random.normal(0, 1, DAYS)


def wandering(random):
    return 500 + np.cumsum(random.normal(0, 5, DAYS))


def rising(random):
    return 100 + 3.0 * np.arange(DAYS) + random.normal(0, 1, DAYS)


def frame_of(*kinds, scale=None):
    random = np.random.default_rng(11)
    scale = scale or [1.0] * len(kinds)
    return pd.concat(
        pd.DataFrame(
            {"ds": pd.date_range("2025-01-01", periods=DAYS), "item": f"{n}-{kind.__name__}", "y": size * kind(random)}
        )
        for n, (kind, size) in enumerate(zip(kinds, scale, strict=True))
    )


def prepared(folder, frame, **spec):
    data = {"series": "item", **spec.pop("data", {})}
    config = job(write(folder, frame.to_csv(index=False)), task="Forecast", data=data, **spec)
    return config, dataset_of(config, folder)


@pytest.mark.parametrize(("kind", "name"), [(weekly, "seasonal naive"), (wandering, "last value"), (rising, "drift")])
def test_the_baseline_depends_on_the_kind_of_the_series(tmp_path, kind, name):
    config, dataset = prepared(tmp_path, frame_of(kind))
    assert Baseline.chosen(dataset, config.spec).name == name


def test_the_holdout_does_not_choose_the_baseline(tmp_path):
    config, dataset = prepared(tmp_path, frame_of(weekly))
    one = dataset.series[0]
    values = dataset.frame["y"].to_numpy().copy()
    values[one.split : one.stop] = values[one.split - 1]  # now the last value would be perfect
    changed = dataclasses.replace(dataset, frame=dataset.frame.assign(y=values))
    assert Baseline.chosen(changed, config.spec).name == "seasonal naive"


def test_one_large_series_does_not_decide_for_all(tmp_path):
    config, dataset = prepared(tmp_path, frame_of(weekly, weekly, weekly, rising, scale=[1, 1, 1, 1e6]))
    assert Baseline.chosen(dataset, config.spec).name == "seasonal naive"


def test_series_too_short_for_a_window_use_the_seasonal_naive_model(tmp_path):
    few = frame_of(rising).head(3)
    config, dataset = prepared(tmp_path, few, data={"validation": {"minPoints": 2}})
    assert Baseline.chosen(dataset, config.spec).name == "seasonal naive"


@pytest.mark.parametrize("framework", ["Prophet", "LightGBM", "Torch"])
def test_every_framework_is_compared_with_the_same_baseline(tmp_path, framework):
    small = {"Torch": {"epochs": 2}, "LightGBM": {"num_iterations": 5}}.get(framework, {})
    config, dataset = prepared(tmp_path, frame_of(rising, wandering), framework=framework, parameters=small)
    context = context_of(config, tmp_path)
    made = framework_for(config)
    found = made.evaluate(dataset, made.train(dataset, context), context)
    chosen = Baseline.chosen(dataset, config.spec)
    assert found.baseline == chosen.name
    assert f"{chosen.name} forecast" in found.notes[0]
    values = dataset.frame["y"].to_numpy()
    for one in dataset.series:
        steps = np.arange(one.stop - one.start)
        cut = one.split - one.start
        expected = naive_forecast(chosen.name, steps[:cut], values[one.start : one.split], steps[cut:], 7)
        rows = found.holdout[found.holdout["series"] == one.name]
        assert rows["baseline"].tolist() == pytest.approx(expected.tolist())
