"""The search of each series: within its space and its budget, the default first, then what the last version found."""

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
"""Without any, a fit takes seconds: its error has no smallest value."""

GROWING = (10 + STEP) * (1 + 0.8 * WAVE) + NOISE
"""Its week grows with its level: only ``multiplicative`` follows."""

NOISY = 30 + 9 * WAVE + NOISE

MODE = {"seasonality_mode": {"choices": ["additive", "multiplicative"], "default": "additive"}}
PRIOR = {"seasonality_prior_scale": {"type": "Float", "low": 0.01, "high": 10.0, "log": True, "default": 10.0}}


def task_of(folder, *, space=None, seconds=600.0, values=GROWING, **more):
    plan = SearchPlan(parse(space or {**MODE, **PRIOR}), time.monotonic() + seconds, workers=1)
    fit_spec = FitSpec(
        "D", {"growth": "linear", "n_changepoints": 2}, None, 1, str(folder), horizon=7, folds=2, search=plan
    )
    return Task("a", DAYS.to_numpy(), values, 7, 0, fit_spec, **more)


def test_the_default_comes_first_then_what_the_last_version_found(tmp_path):
    alone = fit_series(task_of(tmp_path, trials=1))
    assert (alone.parameters, alone.trials) == ({}, 1)
    previous = {"seasonality_mode": "multiplicative"}
    again = fit_series(task_of(tmp_path, trials=2, previous=previous))
    assert (again.parameters, again.trials) == (previous, 2)
    assert '\\"seasonality_mode\\": \\"multiplicative\\"' in str(read_record(again.record)["model"]).replace('"', '\\"')


def test_a_search_finds_what_is_better_and_ends_when_nothing_gets_better(tmp_path):
    outcome = fit_series(task_of(tmp_path, space=MODE, trials=100))
    assert outcome.kind == "prophet"
    assert outcome.parameters == {"seasonality_mode": "multiplicative"}
    assert 5 <= outcome.trials < 20
    default = fit_series(task_of(tmp_path, trials=0))
    actual = GROWING[-7:]
    errors = [np.abs(one.forecast[:, 0] - actual).mean() for one in (outcome, default)]
    assert errors[0] < errors[1]


def test_the_same_seed_searches_alike_and_never_sees_the_holdout(tmp_path):
    others = np.concatenate([GROWING[:-7], GROWING[-7:] * 9])
    found = [fit_series(task_of(tmp_path, values=values, trials=3)) for values in (GROWING, GROWING, others)]
    assert found[0].record == found[1].record
    assert found[0].parameters == found[2].parameters
    assert found[0].forecast.tolist() == found[2].forecast.tolist()


def test_sets_that_are_worse_on_the_first_fold_are_given_up(tmp_path):
    space = {"seasonality_prior_scale": {"type": "Float", "low": 1e-4, "high": 10.0, "log": True, "default": 10.0}}
    outcome = fit_series(task_of(tmp_path, space=space, values=NOISY, trials=12))
    assert 0 < outcome.pruned < outcome.trials


def test_a_set_that_prophet_refuses_is_reported_and_ends_nothing(tmp_path):
    space = {"growth": {"choices": ["linear", "wild"]}}
    outcome = fit_series(task_of(tmp_path, space=space, values=NOISY, trials=6))
    assert outcome.kind == "prophet"
    assert "growth" in outcome.failures["search"]


def test_time_that_is_over_leaves_the_default(tmp_path):
    outcome = fit_series(task_of(tmp_path, seconds=0.0, values=NOISY, trials=50))
    assert (outcome.kind, outcome.parameters, outcome.trials) == ("prophet", None, 0)


def test_a_series_takes_its_share_of_the_time_and_no_more(tmp_path):
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


def test_a_job_tells_what_it_found_for_each_series(tmp_path):
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
            "sets all that spec.search would look for (seasonality_mode)",
        ),
    ],
)
def test_a_wrong_space_is_named_before_data_is_read(spec, words):
    with pytest.raises(ConfigError) as caught:
        framework_for(job("s3://bucket/t.csv", task="Forecast", **spec))
    assert words in str(caught.value)
