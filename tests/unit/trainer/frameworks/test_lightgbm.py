"""LightGBM: parameters are checked. Models are deterministic, saved, loaded, and compared with a baseline."""

import contextlib
import dataclasses
import json

import lightgbm
import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.errors import ConfigError, DataError, Interrupted, TrainerError, Unsupported
from trainyard_trainer.frameworks.lightgbm.fit import threads_to_predict
from trainyard_trainer.frameworks.lightgbm.framework import LightGBMFramework
from trainyard_trainer.frameworks.lightgbm.parameters import known_parameters, resolved
from trainyard_trainer.frameworks.registry import framework_for


def table(rows=400):
    random = np.random.default_rng(5)
    x, shop = random.random(rows), random.choice(["north", "south", "east"], rows)
    y = 3 * x + (shop == "north") + 0.1 * random.standard_normal(rows)
    third = pd.cut(y, 3, labels=["low", "middle", "high"])
    return pd.DataFrame({"x [m]": x, "shop [name]": shop, "y": y, "third": third, "big": np.where(y > 2, "yes", "no")})


def train(folder, *, task="Regression", target="y", stop=lambda: False, **spec):
    others = [name for name in ("y", "third", "big") if name != target]
    path = write(folder, table().to_csv(index=False))
    config = job(path, task=task, target=target, data={"exclude": others}, **spec)
    framework = framework_for(config)
    dataset, context = dataset_of(config, folder), context_of(config, folder, stop=stop)
    return framework, dataset, context, framework.train(dataset, context)


@pytest.mark.parametrize(
    ("task", "target", "expected"),
    [
        ("Regression", "y", {"mae", "rmse", "r2", "mape", "skill", "baseline_mae"}),
        ("Classification", "big", {"auc", "f1", "f1@0.5", "threshold", "log_loss", "skill", "baseline_accuracy"}),
        ("Classification", "third", {"auc", "f1", "accuracy", "precision", "recall", "skill"}),
    ],
)
def test_a_saved_model_predicts_like_the_trained_one(tmp_path, task, target, expected):
    framework, dataset, context, trained = train(tmp_path, task=task, target=target)
    found = framework.evaluate(dataset, trained, context)
    loaded = framework.load(context.output)

    assert expected <= set(found.metrics)
    assert found.metrics["skill"] > 0.5
    assert trained.formats == ("lightgbm-text",)
    assert {str(file.relative_to(context.output)) for file in context.output.rglob("*") if file.is_file()} == set(
        trained.files
    )
    assert len(found.golden.inputs) == 20
    pd.testing.assert_frame_equal(framework.predict(loaded, found.golden.inputs), found.golden.outputs)
    assert set(found.table.columns) == {"series", "metric", "value", "baseline"}
    assert found.importance is not None
    assert found.importance["feature"][0] == "x [m]"


def test_both_models_are_equal_to_those_trained_on_frames(tmp_path):
    _, dataset, context, trained = train(tmp_path)
    frame = dataset.frame[list(dataset.features)].set_axis(["column_0", "column_1"], axis=1)
    learned = np.sort(np.concatenate([dataset.parts.train, dataset.parts.validation]))
    fixed = {**trained.parameters, "early_stopping_round": 0}
    fixed["num_iterations"] = fixed.pop("best_iteration")
    for known, folder in ((learned, context.output / "judged"), (np.arange(dataset.rows), context.output)):
        target = dataset.frame["y"].to_numpy()[known]
        rows = lightgbm.Dataset(frame.iloc[known], target, params=fixed)
        lightgbm.train(fixed, rows, keep_training_booster=True).save_model(tmp_path / "bare.txt")
        assert (folder / "model.txt").read_text() == (tmp_path / "bare.txt").read_text()

    predictions = lightgbm.Booster(model_file=context.output / "model.txt").predict(frame)  # the booster accepts texts
    own = LightGBMFramework().predict(trained.model, dataset.frame.astype({"shop [name]": object}))
    assert own["prediction"].tolist() == predictions.tolist()


def test_only_many_rows_are_predicted_with_several_threads(tmp_path):
    *_, trained = train(tmp_path, parameters={"num_iterations": 4})
    booster = trained.model.booster
    assert threads_to_predict(booster, np.zeros((1, 2))) == 1
    assert threads_to_predict(booster, np.broadcast_to(0.0, (1_000_000, 2))) == 0


def test_the_same_seed_gives_the_same_model(tmp_path):
    texts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        _, _, context, _ = train(tmp_path / name, parameters={"bagging_fraction": 0.5, "bagging_freq": 1})
        texts.append((context.output / "model.txt").read_text())
    assert texts[0] == texts[1]


def test_unseen_categories_count_as_missing_and_wrong_input_is_named(tmp_path):
    framework, _, context, _ = train(tmp_path)
    model = framework.load(context.output)
    predictions = framework.predict(model, pd.DataFrame({"shop [name]": ["moon", None], "x [m]": ["0.5", 0.5]}))
    assert predictions["prediction"].nunique() == 1
    with pytest.raises(DataError, match="shop"):
        framework.predict(model, pd.DataFrame({"x [m]": [1]}))
    with pytest.raises(DataError, match="must hold numbers"):
        framework.predict(model, pd.DataFrame({"shop [name]": ["north"], "x [m]": ["wide"]}))


def test_the_description_is_plain_json(tmp_path):
    _, _, context, _ = train(tmp_path, task="Classification", target="big")
    fields = json.loads((context.output / "model.json").read_text())
    assert fields["classes"] == ["no", "yes"]
    assert fields["categories"] == {"shop [name]": ["east", "north", "south"]}
    assert 0 < fields["threshold"] < 1


def test_a_stop_ends_the_training(tmp_path):
    with pytest.raises(Interrupted):
        train(tmp_path, stop=lambda: True)


def test_running_out_of_rounds_is_a_warning(tmp_path):
    *_, trained = train(tmp_path, parameters={"n_estimators": 3})
    assert "all 3 rounds" in trained.warnings[0]


def check(**spec):
    return framework_for(job("s3://bucket/t.csv", **spec))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"num_leafs": 31}, "spec.parameters.num_leafs is not a parameter of LightGBM; did you mean num_leaf"),
        ({"zzzz": 1}, "zzzz"),
        ({"num_leaves": 1}, "LightGBM refused a value"),
        ({"num_leaves": "many"}, "LightGBM refused a value"),
        ({"n_jobs": 8}, "spec.workers"),
        ({"input_model": "/etc/passwd"}, "command line"),
        ({"num_leaves": 31, "max_leaves": 63}, "a second time"),
        ({"objective": "binary"}, "does not fit the task"),
        ({"metric": {"a": 1}}, "spec.parameters.metric must be"),
    ],
)
def test_wrong_parameters_are_named_before_data_is_read(parameters, words):
    with pytest.raises(ConfigError) as caught:
        check(parameters=parameters)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("num_leafs", "spec.search.space.num_leafs is not a parameter of LightGBM; did you mean num_leaf"),
        ("n_jobs", "spec.search.space.n_jobs is decided by spec.workers"),
        ("learning_rate", "spec.search.space and spec.parameters both contain learning_rate"),
    ],
)
def test_wrong_names_in_a_search_are_reported_before_data_is_read(name, words):
    space = {name: {"type": "Int", "low": 1, "high": 9}}
    with pytest.raises(ConfigError) as caught:
        check(parameters={"eta": 0.1}, search={"space": space})
    assert words in str(caught.value)
    check(parameters={"eta": 0.1}, search={"space": {"eta": {"type": "Float", "low": 0.1, "high": 0.2}}})


def test_parameters_of_the_user_override_defaults():
    found = resolved({"eta": 0.2, "objective": "l1"}, "Regression", classes=0, seed=1, threads=2)
    assert (found["learning_rate"], found["objective"], found["num_threads"]) == (0.2, "l1", 2)
    assert "num_leaf" in known_parameters()["num_leaves"]
    assert isinstance(check(parameters={"objective": "tweedie"}), LightGBMFramework)


def test_shards_are_refused_for_tables():
    with pytest.raises(Unsupported, match=r"spec\.shards 2"):
        check(shards=2)


@pytest.mark.parametrize(
    ("task", "target", "metric", "better"),
    [
        ("Regression", "y", "mae", min),
        ("Regression", "y", "r2", max),
        ("Classification", "big", "auc", max),
        ("Classification", "big", "f1", max),
        ("Classification", "third", "log_loss", min),
    ],
)
def test_a_search_scores_the_validation_part(tmp_path, task, target, metric, better):
    framework, dataset, context, _ = train(tmp_path, task=task, target=target, objective={"metric": metric})
    tunable = framework.tunable(dataset, context)
    reported = []
    sound = tunable.score({"num_iterations": 60}, lambda step, value: reported.append((step, value)))
    poor = tunable.score({"num_iterations": 1, "num_leaves": 2, "learning_rate": 0.001}, lambda *_: None)
    assert better(sound, poor) == sound != poor
    assert [step for step, _ in reported] == [25, 50]
    blind = dataclasses.replace(dataset, frame=dataset.frame.copy())
    column = blind.frame.columns.get_loc(dataset.target)
    blind.frame.iloc[dataset.parts.test, column] = blind.frame.iloc[dataset.parts.train[0], column]
    assert framework.tunable(blind, context).score({"num_iterations": 60}, lambda *_: None) == sound


def test_a_slow_learner_is_compared_after_more_rounds(tmp_path):
    framework, dataset, context, _ = train(tmp_path)
    tunable = framework.tunable(dataset, context)
    reported = {}
    for rate, rounds in [(0.05, 100), (0.025, 200), (0.1, 50)]:
        parameters = {"num_iterations": rounds, "learning_rate": rate, "early_stopping_round": 0}
        tunable.score(parameters, lambda step, value, rate=rate: reported.setdefault(rate, {}).update({step: value}))
    assert [list(steps) for steps in reported.values()] == [[25, 50, 75, 100]] * 3


def test_parameters_of_the_specification_are_not_searched_under_any_alias(tmp_path):
    framework, dataset, context, _ = train(tmp_path, parameters={"min_child_samples": 5, "eta": 0.1})
    space = framework.tunable(dataset, context).space()
    assert {"min_data_in_leaf", "learning_rate"}.isdisjoint(space)
    assert space["num_leaves"]["default"] == 31


def test_parameter_sets_can_change_bins_and_sizes_of_leaves(tmp_path):
    framework, dataset, context, _ = train(tmp_path)
    scores = [
        framework.tunable(dataset, context).score(last, lambda *_: None)
        for last in ({"max_bin": 7}, {"min_data_in_leaf": 2})
    ]
    tunable = framework.tunable(dataset, context)
    in_sequence = [
        tunable.score(parameters, lambda *_: None)
        for parameters in ({"min_data_in_leaf": 100}, {"max_bin": 7}, {"min_data_in_leaf": 2})
    ]
    assert in_sequence[1:] == scores


def test_a_trial_can_be_given_up(tmp_path):
    framework, dataset, context, _ = train(tmp_path)

    class GiveUpError(Exception):
        pass

    def give_up(step, value):
        raise GiveUpError

    with pytest.raises(GiveUpError):
        framework.tunable(dataset, context).score({}, give_up)


def test_the_parameters_of_a_search_are_used_in_training(tmp_path):
    framework, dataset, context, _ = train(tmp_path)
    found = framework.train(dataset, dataclasses.replace(context, parameters={"num_leaves": 5}))
    assert found.parameters["num_leaves"] == 5
    assert framework.evaluate(dataset, found, context).holdout["actual"].size == len(dataset.parts.test)


ODD_VALUES = [None, "None", "x", [], [1], True, 0, -1, 0.5, 1e308, "1e400", 10**30]
OFTEN_SET = (
    *("objective", "metric", "boosting", "num_leaves", "learning_rate", "max_depth", "num_iterations", "max_bin"),
    *("early_stopping_round", "min_data_in_leaf", "bagging_fraction", "feature_fraction", "lambda_l1", "alpha"),
    *("monotone_constraints", "interaction_constraints", "deterministic", "zero_as_missing", "linear_tree"),
)


@pytest.mark.parametrize("task", ["Regression", "Forecast"])
@pytest.mark.parametrize("name", OFTEN_SET)
def test_any_value_of_a_parameter_is_accepted_or_refused(name, task):
    """LightGBM raises several kinds of exceptions for invalid values. None may become an internal error."""
    for value in ODD_VALUES:
        with contextlib.suppress(TrainerError):
            framework_for(job("s3://bucket/t.csv", task=task, framework="LightGBM", parameters={name: value}))


@pytest.mark.parametrize("metric", ["None", "none", "custom"])
def test_early_stopping_without_a_metric_is_refused_before_data_is_read(metric):
    with pytest.raises(ConfigError, match="early stopping"):
        framework_for(job("s3://bucket/t.csv", parameters={"metric": metric}))
    framework_for(job("s3://bucket/t.csv", parameters={"metric": metric, "early_stopping_round": 0}))


def test_without_early_stopping_there_is_no_warning_about_it(tmp_path):
    *_, trained = train(tmp_path, parameters={"num_iterations": 5, "early_stopping_round": 0})
    assert trained.warnings == ()


@pytest.mark.parametrize(("objective", "least"), [("gamma", 0.0), ("poisson", -1.0), ("tweedie", -0.5)])
def test_a_target_outside_the_range_of_the_objective_is_named(tmp_path, objective, least):
    frame = pd.DataFrame({"a": np.random.default_rng(0).random(60), "y": np.linspace(least, 5, 60)})
    config = job(write(tmp_path, frame.to_csv(index=False)), parameters={"objective": objective})
    dataset, context = dataset_of(config, tmp_path), context_of(config, tmp_path)
    with pytest.raises(ConfigError, match=f"'{objective}' needs values .*column 'y' .* has {least:g}"):
        framework_for(config).train(dataset, context)
