"""LightGBM: parameters are checked, models are deterministic, saved and read back, and judged beside a baseline."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.errors import ConfigError, DataError, Interrupted, Unsupported
from trainyard_trainer.frameworks import framework_for
from trainyard_trainer.frameworks.lightgbm import LightGBMFramework
from trainyard_trainer.frameworks.lightgbm_parameters import known_parameters, resolved


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
def test_a_saved_model_answers_as_the_trained_one(tmp_path, task, target, expected):
    framework, dataset, context, trained = train(tmp_path, task=task, target=target)
    found = framework.evaluate(dataset, trained, context)
    loaded = framework.load(context.output)

    assert expected <= set(found.metrics)
    assert found.metrics["skill"] > 0.5
    assert trained.formats == ("lightgbm-text",)
    assert {file.name for file in context.output.iterdir()} == set(trained.files)
    assert len(found.golden.inputs) == 20
    pd.testing.assert_frame_equal(framework.predict(loaded, found.golden.inputs), found.golden.outputs)
    assert set(found.table.columns) == {"series", "metric", "value", "baseline"}
    assert found.importance is not None
    assert found.importance["feature"][0] == "x [m]"


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
    answers = framework.predict(model, pd.DataFrame({"shop [name]": ["moon", None], "x [m]": ["0.5", 0.5]}))
    assert answers["prediction"].nunique() == 1
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
        ({"metric": {"a": 1}}, "a number, a word or a list"),
    ],
)
def test_wrong_parameters_are_named_before_data_is_read(parameters, words):
    with pytest.raises(ConfigError) as caught:
        check(parameters=parameters)
    assert words in str(caught.value)


def test_users_parameters_win_over_defaults():
    found = resolved({"eta": 0.2, "objective": "l1"}, "Regression", classes=0, seed=1, threads=2)
    assert (found["learning_rate"], found["objective"], found["num_threads"]) == (0.2, "l1", 2)
    assert "num_leaf" in known_parameters()["num_leaves"]
    assert isinstance(check(parameters={"objective": "tweedie"}), LightGBMFramework)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"mode": "Prepare"}, "spec.mode Prepare"),
        ({"shards": 2}, "spec.shards 2"),
    ],
)
def test_what_comes_later_names_its_field(spec, field):
    with pytest.raises(Unsupported) as caught:
        check(**spec)
    assert field in str(caught.value)
