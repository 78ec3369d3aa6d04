"""Torch on tables: networks learn, are compared with a baseline, and predict from their files without Torch."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.errors import ConfigError, DataError, Interrupted
from trainyard_trainer.frameworks.golden import max_difference
from trainyard_trainer.frameworks.registry import framework_for
from trainyard_trainer.frameworks.torch import parameters as torch_parameters
from trainyard_trainer.frameworks.torch.model import TabularModel
from trainyard_trainer.job.onnx.export import export
from trainyard_trainer.search.space import defaults_of, parse

QUICK = {"epochs": 40, "hidden": [16], "learning_rate": 0.02, "patience": 40}


def table(rows=300):
    random = np.random.default_rng(5)
    x, shop = random.random(rows), random.choice(["north", "south", "east"], rows)
    y = 1000 + 300 * x + 100 * (shop == "north") + 5 * random.standard_normal(rows)
    third = pd.cut(y, 3, labels=["low", "middle", "high"])
    x[::11] = np.nan
    shop = np.where(np.arange(rows) % 13 == 0, None, shop)
    return pd.DataFrame({"x [m]": x, "shop": shop, "y": y, "third": third, "big": np.where(y > 1180, "yes", "no")})


def prepared(folder, *, task="Regression", target="y", parameters=QUICK, **spec):
    others = [name for name in ("y", "third", "big") if name != target]
    path = write(folder, table().to_csv(index=False))
    data = {"exclude": others, **spec.pop("data", {})}
    config = job(path, framework="Torch", task=task, target=target, data=data, parameters=parameters, **spec)
    return framework_for(config), dataset_of(config, folder), context_of(config, folder)


@pytest.mark.parametrize(
    ("task", "target", "expected"),
    [
        ("Regression", "y", {"mae", "rmse", "r2", "skill", "baseline_mae"}),
        ("Classification", "big", {"auc", "average_precision", "f1", "threshold", "log_loss", "skill"}),
        ("Classification", "third", {"auc", "f1", "accuracy", "precision", "recall", "skill"}),
    ],
)
def test_a_saved_network_predicts_like_the_trained_one(tmp_path, task, target, expected):
    framework, dataset, context = prepared(tmp_path, task=task, target=target)
    trained = framework.train(dataset, context)
    found = framework.evaluate(dataset, trained, context)

    assert expected <= set(found.metrics)
    assert found.metrics["skill"] > 0.1
    assert (trained.formats, trained.device) == (("safetensors", "onnx"), "cpu")
    assert {str(file.relative_to(context.output)) for file in context.output.rglob("*") if file.is_file()} == set(
        trained.files
    )
    assert len(found.golden.inputs) == 20
    assert len(found.holdout) == len(dataset.parts.test)
    predictions = framework.predict(framework.load(context.output), found.golden.inputs)
    assert max_difference(found.golden.outputs, predictions) < 1e-5
    with safe_open(context.output / "model.safetensors", "numpy") as weights:
        assert sum(weights.get_tensor(name).size for name in weights.keys()) > 50  # noqa: SIM118 - no mapping


def test_no_file_is_a_pickle_and_the_description_is_plain_json(tmp_path):
    framework, dataset, context = prepared(tmp_path, task="Classification", target="big")
    framework.train(dataset, context)
    fields = json.loads((context.output / "model.json").read_text())
    assert fields["classes"] == ["no", "yes"]
    assert fields["categories"] == {"shop": ["east", "north", "south"]}
    assert fields["scales"]["x [m]"]["gaps"] is True
    assert 0 < fields["threshold"] < 1
    for file in (path for path in context.output.rglob("*") if path.is_file()):
        assert file.suffix in {".onnx", ".json", ".safetensors"}
        assert not file.read_bytes().startswith((b"\x80", b"PK")), f"{file.name} looks like a pickle or an archive"


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path):
    bodies = []
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        (tmp_path / name).mkdir()
        framework, dataset, context = prepared(tmp_path / name, parameters=QUICK | {"epochs": 3}, split={"seed": seed})
        framework.train(dataset, context)
        bodies.append([(context.output / file).read_bytes() for file in ("model.safetensors", "model.onnx")])
    assert bodies[0] == bodies[1]
    assert bodies[0] != bodies[2]


def test_unseen_values_count_as_missing_and_wrong_input_is_named(tmp_path):
    framework, dataset, context = prepared(tmp_path, parameters=QUICK | {"epochs": 2})
    framework.train(dataset, context)
    model = framework.load(context.output)
    inputs = pd.DataFrame({"shop": ["moon", None, "north"], "x [m]": ["0.5", 0.5, None]})
    predictions = framework.predict(model, inputs)["prediction"]
    assert predictions[0] == predictions[1]
    assert predictions.notna().all()
    far = pd.DataFrame({"shop": ["north"] * 2, "x [m]": [1e6, 1e9]})
    assert framework.predict(model, far)["prediction"].nunique() == 1, "values far beyond the training data are clipped"
    with pytest.raises(DataError, match="lacks the feature 'shop'"):
        framework.predict(model, pd.DataFrame({"x [m]": [1]}))
    with pytest.raises(DataError, match="must hold numbers"):
        framework.predict(model, pd.DataFrame({"shop": ["north"], "x [m]": ["wide"]}))


@pytest.mark.parametrize("left_out", ["shop", "x [m]"])
def test_tables_with_only_numbers_or_only_texts(tmp_path, left_out):
    exclude = ["third", "big", left_out]
    framework, dataset, context = prepared(tmp_path, data={"exclude": exclude}, parameters=QUICK | {"epochs": 2})
    trained = framework.train(dataset, context)
    golden = framework.evaluate(dataset, trained, context).golden
    assert max_difference(golden.outputs, framework.predict(framework.load(context.output), golden.inputs)) < 1e-5


def test_the_exported_network_predicts_the_same(tmp_path):
    framework, dataset, context = prepared(tmp_path, task="Classification", target="third")
    trained = framework.train(dataset, context)
    golden = framework.evaluate(dataset, trained, context).golden
    made = export(framework, framework.load(context.output), golden, tmp_path)
    assert made.warning is None
    assert made.max_difference < 1e-4


def test_a_saved_network_needs_no_torch(tmp_path):
    framework, dataset, context = prepared(tmp_path, parameters=QUICK | {"epochs": 2})
    trained = framework.train(dataset, context)
    framework.evaluate(dataset, trained, context).golden.inputs.to_parquet(tmp_path / "rows.parquet")
    code = (
        "import sys, pathlib, pandas\n"
        "sys.modules['torch'] = sys.modules['safetensors'] = None\n"
        "from trainyard_trainer.frameworks.torch.framework import TorchFramework\n"
        "from trainyard_trainer.stopping import end_process\n"
        "model = TorchFramework().load(pathlib.Path(sys.argv[1]))\n"
        "print(len(TorchFramework().predict(model, pandas.read_parquet(sys.argv[2]))))\n"
        "end_process(0)\n"
    )
    command = [sys.executable, "-c", code, str(context.output), str(tmp_path / "rows.parquet")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "20"


def test_a_search_reports_the_metric_of_the_validation_part_after_each_epoch(tmp_path):
    framework, dataset, context = prepared(tmp_path, task="Classification", target="big")
    tunable = framework.tunable(dataset, context)
    reported = []
    score = tunable.score(QUICK | {"epochs": 5}, lambda step, value: reported.append((step, value)))
    assert [step for step, _ in reported] == [1, 2, 3, 4, 5]
    assert score == pytest.approx(max(value for _, value in reported), abs=0.05), "auc of the best epoch"
    assert set(tunable.space()) <= set(trained_parameters(framework, dataset, context))


def trained_parameters(framework, dataset, context):
    few = dataclasses.replace(context, parameters=QUICK | {"epochs": 1})
    trained = framework.train(dataset, few)
    assert isinstance(trained.model, TabularModel)
    assert "all 1 epochs" in trained.warnings[0]
    return trained.parameters


def test_a_stop_ends_the_training(tmp_path):
    framework, dataset, context = prepared(tmp_path)
    with pytest.raises(Interrupted):
        framework.train(dataset, dataclasses.replace(context, stop=lambda: True))


@pytest.mark.parametrize("task", ["Regression", "Forecast"])
def test_the_defaults_of_a_search_are_those_without_a_search(task):
    parameters = {"Regression": torch_parameters.tabular, "Forecast": torch_parameters.forecast}[task]({})
    found = defaults_of(parse(torch_parameters.space(task)))
    assert found == {name: parameters.model_dump(mode="json")[name] for name in found}
    assert set(found) == {"hidden", "dropout", "learning_rate", "weight_decay"}


class MemoryCheckpoints(dict):
    """Checkpoints in memory."""

    def put(self, name, body):
        self[name] = body

    def names(self):
        return sorted(self)


@pytest.mark.parametrize(("steps", "left", "first"), [(30, "torch/epoch", "judged"), (85, "torch/final", "final")])
def test_an_interrupted_job_gives_the_files_of_an_uninterrupted_one(tmp_path, steps, left, first):
    parameters = QUICK | {"epochs": 6}
    framework, dataset, context = prepared(tmp_path, parameters=parameters)
    framework.train(dataset, context)
    uninterrupted = files_in(context.output)
    asked, checkpoints = iter(range(1000)), MemoryCheckpoints()
    stopped = dataclasses.replace(context, checkpoints=checkpoints, stop=lambda: next(asked) > steps)
    with pytest.raises(Interrupted, match="epoch"):
        framework.train(dataset, stopped)
    assert checkpoints.names() == [left]
    seen = []
    resumed = dataclasses.replace(
        context, checkpoints=checkpoints, output=tmp_path / "resumed", progress=lambda *each: seen.append(each[1])
    )
    framework.train(dataset, resumed)
    assert f"{first} model: epoch 1" not in seen, "finished work is not repeated"
    assert files_in(resumed.output) == uninterrupted


def files_in(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def check(**spec):
    return framework_for(job("s3://bucket/t.csv", framework="Torch", **spec))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"parameters": {"hiden": [3]}},
            "spec.parameters.hiden is not a parameter of Torch with task Regression; did you",
        ),
        ({"parameters": {"zzzz": 1}}, "known: hidden, dropout"),
        ({"parameters": {"input_size": 9}}, "not a parameter of Torch with task Regression"),
        ({"parameters": {"seed": 9}}, "spec.split.seed"),
        ({"parameters": {"hidden": [0]}}, "spec.parameters.hidden[0]"),
        ({"parameters": {"hidden": "wide"}}, "spec.parameters.hidden"),
        ({"parameters": {"dropout": 1}}, "spec.parameters.dropout"),
        ({"parameters": {"learning_rate": 0}}, "spec.parameters.learning_rate"),
        ({"parameters": {"epochs": 2.5}}, "spec.parameters.epochs"),
        ({"parameters": {"device": "tpu"}}, "spec.parameters.device"),
        ({"search": {"space": {"hiden": {"choices": [[3]]}}}}, "spec.search.space.hiden"),
        ({"objective": {"metric": "maee"}}, "maee"),
        ({"task": "Forecast", "parameters": {"input_size": "long"}}, "spec.parameters.input_size"),
        ({"task": "Forecast", "split": {"strategy": "Random"}}, "spec.split.strategy Random"),
        ({"task": "Forecast", "forecast": {"horizon": 3, "holidaysCountry": "ZZ"}}, "has no known holidays"),
    ],
)
def test_wrong_specifications_are_named_before_data_is_read(spec, words):
    with pytest.raises(ConfigError) as caught:
        check(**spec)
    assert words in str(caught.value)


def test_one_hidden_layer_may_be_a_number(tmp_path):
    assert check(parameters={"hidden": 8}).name == "Torch"


def test_without_torch_the_message_names_the_image():
    code = (
        "import sys\nsys.modules['torch'] = None\nfrom tests.unit.trainer.frameworks.test_torch import check\ncheck()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Unsupported: this image has no Torch" in ended.stderr
    assert "spec.image" in ended.stderr
    assert "trainer.imageByFramework.Torch" in ended.stderr
