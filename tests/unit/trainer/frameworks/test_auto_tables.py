"""Framework Auto for tables: several presets of LightGBM, weighted on the validation rows."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.frameworks.auto.tables import PRESETS
from trainyard_trainer.frameworks.registry import framework_for

FEW = {"LightGBM": {"num_iterations": 40}}


def rows(count=600):
    random = np.random.default_rng(3)
    x, z, town = random.normal(size=count), random.normal(size=count), random.choice(["a", "b", "c"], count)
    noise = random.normal(size=count) * 0.3
    y = np.sin(2 * x) + 0.5 * z * (town == "a") + noise
    return pd.DataFrame({"x": x.round(4), "z": z.round(4), "town": town, "y": y.round(4)})


def run(folder, frame, task="Regression", workers=1, **spec):
    folder.mkdir(exist_ok=True)
    spec = {"parameters": FEW, **spec}
    config = job(write(folder, frame.to_csv(index=False)), task=task, framework="Auto", **spec)
    framework, dataset = framework_for(config), dataset_of(config, folder)
    context = context_of(config, folder, workers=workers)
    trained = framework.train(dataset, context)
    return framework, dataset, context, trained, framework.evaluate(dataset, trained, context)


def targets():
    frame = rows()
    yield pytest.param("Regression", frame, id="number")
    yield pytest.param("Classification", frame.assign(y=np.where(frame["y"] > 0.3, "yes", "no")), id="two classes")
    three = pd.cut(frame["y"], [-np.inf, -0.4, 0.4, np.inf], labels=["low", "middle", "high"]).astype(str)
    yield pytest.param("Classification", frame.assign(y=three), id="three classes")


@pytest.mark.parametrize(("task", "frame"), list(targets()))
def test_the_saved_model_predicts_like_the_trained_one(tmp_path, task, frame):
    framework, _, context, trained, found = run(tmp_path, frame, task)
    assert found.metrics["skill"] > 0.1
    written = {str(file.relative_to(context.output)) for file in context.output.rglob("*") if file.is_file()}
    assert written == set(trained.files)
    model = framework.load(context.output)
    pd.testing.assert_frame_equal(framework.predict(model, found.golden.inputs), found.golden.outputs)
    pd.testing.assert_frame_equal(framework.predict(trained.model, found.golden.inputs), found.golden.outputs)
    assert sum(model.weights) == pytest.approx(1)
    assert set(found.leaderboard["candidate"]) == {"all together", *PRESETS}
    assert set(found.importance["feature"]) == {"x", "z", "town"}
    assert found.importance["gain"].is_monotonic_decreasing
    if task == "Classification":
        shares = found.golden.outputs.drop(columns="prediction")
        np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_the_prediction_is_the_weighted_mean_of_the_members(tmp_path):
    from trainyard_trainer.frameworks.lightgbm.framework import LightGBMFramework

    framework, _, context, _, found = run(tmp_path, rows())
    model = framework.load(context.output)
    assert len(model.members) > 1
    each = [LightGBMFramework().predict(one, found.golden.inputs)["prediction"] for one in model.members.values()]
    expected = np.average(each, axis=0, weights=model.weights)
    np.testing.assert_allclose(found.golden.outputs["prediction"], expected)


def test_two_runs_are_the_same(tmp_path):
    outputs = [run(tmp_path / str(number), rows())[-1].golden.outputs for number in range(2)]
    pd.testing.assert_frame_equal(*outputs)


def test_a_small_table_keeps_all_candidates(tmp_path):
    *_, trained, found = run(tmp_path, rows(400), auto={"budgetSeconds": 1})
    assert set(found.leaderboard["candidate"]) == {"all together", *PRESETS}
    assert trained.warnings == ()


def test_a_large_table_keeps_the_first_candidate(tmp_path, monkeypatch):
    from trainyard_trainer.frameworks.auto import tables

    monkeypatch.setattr(tables, "_SECONDS_PER_CELL", 1.0)
    *_, trained, found = run(tmp_path, rows(), auto={"budgetSeconds": 60})
    assert set(found.leaderboard["candidate"]) == {"all together", "trees"}
    assert trained.parameters["weights"] == {"trees": 1.0}
    assert "auto.budgetSeconds" in trained.warnings[0]
    assert "extra-trees, small-trees, large-trees" in trained.warnings[0]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"parameters": {"num_leaves": 7}}, r"spec\.parameters\.num_leaves is not a candidate"),
        ({"parameters": {"LightGBM": {"num_leavs": 7}}}, "num_leavs"),
        ({"parameters": {"LightGBM": 7}}, r"spec\.parameters\.LightGBM must map names"),
        ({"search": {"trials": 3}}, r"spec\.search needs .*spec\.framework"),
        ({"objective": {"metric": "auc"}}, "auc"),
    ],
)
def test_an_invalid_specification_is_refused_before_data_is_read(tmp_path, spec, message):
    with pytest.raises(ConfigError, match=message):
        framework_for(job(tmp_path / "none.csv", framework="Auto", **spec))
