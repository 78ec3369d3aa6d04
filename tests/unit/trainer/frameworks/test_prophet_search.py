"""The search of each series, within its space and budget: first the default, then the set of the last version."""

import dataclasses
import time

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.errors import ConfigError, Interrupted
from trainyard_trainer.frameworks.prophet.choice import fit_series
from trainyard_trainer.frameworks.prophet.series import FitSpec, SearchPlan, Task, read_record
from trainyard_trainer.frameworks.registry import framework_for
from trainyard_trainer.search.space import parse
from trainyard_trainer.search.tunable import Tuned

DAYS = pd.date_range("2025-06-01", periods=84)
STEP = np.arange(len(DAYS))
WAVE = np.sin(STEP * 2 * np.pi / 7)
NOISE = np.random.default_rng(3).standard_normal(len(STEP))
"""Without noise, a fit takes seconds, because its error has no minimum."""

GROWING = (10 + STEP) * (1 + 0.8 * WAVE) + NOISE
"""The weekly season grows with the level, so only ``multiplicative`` fits."""

NOISY = 30 + 9 * WAVE + NOISE

MODE = {"seasonality_mode": {"choices": ["additive", "multiplicative"], "default": "additive"}}
PRIOR = {"seasonality_prior_scale": {"type": "Float", "low": 0.01, "high": 10.0, "log": True, "default": 10.0}}


def task_of(folder, *, space=None, seconds=600.0, values=GROWING, **more):
    plan = SearchPlan(parse(space or {**MODE, **PRIOR}), time.monotonic() + seconds, workers=1)
    fit_spec = FitSpec(
        "D", {"growth": "linear", "n_changepoints": 2}, None, 1, str(folder), horizon=7, folds=2, search=plan
    )
    return Task("a", DAYS.to_numpy(), values, 7, 0, fit_spec, **more)


def test_the_default_is_first_then_the_set_of_the_last_version(tmp_path):
    first = fit_series(task_of(tmp_path, trials=1))
    assert (first.parameters, first.trials) == ({}, 1)
    previous = {"seasonality_mode": "multiplicative"}
    second = fit_series(task_of(tmp_path, trials=2, previous=previous))
    assert (second.parameters, second.trials) == (previous, 2)
    assert '\\"seasonality_mode\\": \\"multiplicative\\"' in str(read_record(second.record)["model"]).replace(
        '"', '\\"'
    )


def test_a_search_finds_a_better_set_and_ends_without_an_improvement(tmp_path):
    outcome = fit_series(task_of(tmp_path, space=MODE, trials=100))
    assert outcome.kind == "prophet"
    assert outcome.parameters == {"seasonality_mode": "multiplicative"}
    assert 5 <= outcome.trials < 20
    default = fit_series(task_of(tmp_path, trials=0))
    actual = GROWING[-7:]
    errors = [np.abs(one.forecast[:, 0] - actual).mean() for one in (outcome, default)]
    assert errors[0] < errors[1]


def test_a_search_is_reproducible_and_does_not_use_the_holdout(tmp_path):
    others = np.concatenate([GROWING[:-7], GROWING[-7:] * 9])
    found = [fit_series(task_of(tmp_path, values=values, trials=3)) for values in (GROWING, GROWING, others)]
    assert found[0].record == found[1].record
    assert found[0].parameters == found[2].parameters
    assert found[0].forecast.tolist() == found[2].forecast.tolist()


def test_sets_that_are_worse_on_the_first_fold_are_pruned(tmp_path):
    space = {"seasonality_prior_scale": {"type": "Float", "low": 1e-4, "high": 10.0, "log": True, "default": 10.0}}
    outcome = fit_series(task_of(tmp_path, space=space, values=NOISY, trials=12))
    assert 0 < outcome.pruned < outcome.trials


def test_an_invalid_set_is_reported_and_the_search_continues(tmp_path):
    space = {"growth": {"choices": ["linear", "wild"]}}
    outcome = fit_series(task_of(tmp_path, space=space, values=NOISY, trials=6))
    assert outcome.kind == "prophet"
    assert "growth" in outcome.failures["search"]


def test_without_time_the_default_is_used(tmp_path):
    outcome = fit_series(task_of(tmp_path, seconds=0.0, values=NOISY, trials=50))
    assert (outcome.kind, outcome.parameters, outcome.trials) == ("prophet", None, 0)


def test_a_search_ends_after_the_share_of_time_of_its_series(tmp_path):
    begin = time.monotonic()
    wide = {"changepoint_prior_scale": {"type": "Float", "low": 0.001, "high": 0.5}}
    outcome = fit_series(task_of(tmp_path, space=wide, seconds=100.0, share=200.0, trials=1000))
    assert 1 <= outcome.trials < 100
    assert time.monotonic() - begin < 60, "half a second was its share"


def test_a_stop_ends_a_search_between_two_sets(tmp_path):
    asked = iter([False, False, True])
    with pytest.raises(Interrupted):
        fit_series(task_of(tmp_path, trials=50), lambda: next(asked))


def prepare(folder, names=("apple", "pear"), workers=1, **spec):
    frame = pd.concat([pd.DataFrame({"day": DAYS, "item": name, "sold": GROWING}) for name in names])
    config = job(
        write(folder, frame.to_csv(index=False)),
        target="sold",
        task="Forecast",
        data={"time": "day", "series": "item"},
        parameters={"growth": "linear", "n_changepoints": 2},
        **spec,
    )
    return framework_for(config), dataset_of(config, folder), context_of(config, folder, workers=workers)


def test_a_job_returns_the_best_set_of_each_series(tmp_path):
    search = {"space": MODE, "adaptiveTrials": {"High": 3}}
    framework, dataset, context = prepare(tmp_path, workers=2, search=search)
    context = dataclasses.replace(context, previous=Tuned({}, {"pear": {"seasonality_mode": "multiplicative"}}))
    trained = framework.train(dataset, context)
    assert framework.tunable(dataset, context) is None
    assert trained.tuned is not None
    assert trained.tuned.series == {name: {"seasonality_mode": "multiplicative"} for name in ("apple", "pear")}
    assert trained.tuned.trials == 6
    assert list(context.work_dir.iterdir()) == []


def test_without_a_search_nothing_is_searched(tmp_path):
    framework, dataset, context = prepare(tmp_path)
    assert framework.train(dataset, context).tuned is None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"search": {"space": {"num_leaves": {"choices": [1]}}}}, "spec.search.space.num_leaves is not a parameter"),
        ({"search": {"space": {"growth": {"type": "Float"}}}}, "spec.search.space.growth.low"),
        (
            {"search": {"space": MODE}, "parameters": {"seasonality_mode": "additive"}},
            "spec.parameters sets all parameters of spec.search (seasonality_mode)",
        ),
    ],
)
def test_a_wrong_space_is_named_before_data_is_read(spec, words):
    with pytest.raises(ConfigError) as caught:
        framework_for(job("s3://bucket/t.csv", task="Forecast", **spec))
    assert words in str(caught.value)
