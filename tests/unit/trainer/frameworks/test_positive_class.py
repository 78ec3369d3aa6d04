"""Equal data with other names of the classes: the models are equal, and notes and files name the positive class."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.frameworks.registry import framework_for

QUICK = {
    "LightGBM": {"num_iterations": 40},
    "Torch": {"epochs": 25, "learning_rate": 0.01, "hidden": [16], "device": "cpu"},
}
FRAMEWORKS = pytest.mark.parametrize("framework", list(QUICK))


def machines(no="0", yes="1", rows=3000, share=0.06):
    """Return a table of machines. A small share of them fails, and warm ones fail more often."""
    random = np.random.default_rng(3)
    heat, load = random.normal(0, 1, rows), random.normal(0, 1, rows)
    risk = 1.6 * heat + load + random.logistic(0, 0.8, rows)
    fails = risk > np.quantile(risk, 1 - share)
    number = np.arange(rows)
    return pd.DataFrame({"machine": number, "heat": heat, "load": load, "failure": np.where(fails, yes, no)})


def judged(folder, framework, frame, data=None, **spec):
    # Each machine is one group, so the split depends on its number and not on the names of the classes.
    requested = {"group": "machine", "features": ["heat", "load"], **(data or {})}
    config = job(
        write(folder, frame.to_csv(index=False)),
        task="Classification",
        target="failure",
        framework=framework,
        parameters=QUICK[framework],
        data=requested,
        **spec,
    )
    dataset, context = dataset_of(config, folder), context_of(config, folder)
    made = framework_for(config)
    trained = made.train(dataset, context)
    return dataset, trained, made.evaluate(dataset, trained, context), made, context


@FRAMEWORKS
@pytest.mark.parametrize(("no", "yes"), [("nein", "ja"), ("ok", "defekt"), ("legit", "fraud")])
def test_the_names_of_the_classes_do_not_change_the_metrics(tmp_path, framework, no, yes):
    metrics = []
    for name, words in (("numbers", ("0", "1")), ("words", (no, yes))):
        (tmp_path / name).mkdir()
        dataset, _, found, made, context = judged(tmp_path / name, framework, machines(*words))
        metrics.append(found.metrics)
        assert dataset.positive_class == words[1]
    assert metrics[0] == metrics[1]
    assert 0.2 < metrics[1]["recall"] < 1, "the recall of the failures, not of the majority class"
    assert metrics[1]["baseline_average_precision"] < 0.12
    rows = dataset.frame.iloc[dataset.parts.test]
    predictions = made.predict(made.load(context.output / "judged"), rows[["heat", "load"]])
    called = predictions["prediction"] == yes
    assert (called == (predictions[f"probability:{yes}"] >= metrics[1]["threshold"])).all()
    failed = rows["failure"].to_numpy() == 1
    assert (called & failed).sum() / failed.sum() == pytest.approx(metrics[1]["recall"])


def test_the_other_class_can_be_the_positive_one(tmp_path):
    dataset, _, found, _, context = judged(
        tmp_path, "LightGBM", machines("nein", "ja"), {"positiveClass": "nein"}, threshold={"value": 0.5}
    )
    assert (dataset.classes, dataset.positive_class) == (("ja", "nein"), "nein")
    assert found.metrics["recall"] > 0.9
    assert "'nein' from probability 0.5: spec.threshold.value" in found.notes[0]
    assert json.loads((context.output / "model.json").read_text())["threshold_by"] == "spec.threshold.value"


@FRAMEWORKS
def test_a_required_recall_finds_more_failures_than_a_required_precision(tmp_path, framework):
    found = {}
    for name, requested in (("recall", {"minRecall": 0.95}), ("precision", {"minPrecision": 0.6})):
        (tmp_path / name).mkdir()
        _, trained, evaluation, *_ = judged(tmp_path / name, framework, machines(), threshold=requested)
        found[name] = evaluation.metrics
        assert not [text for text in trained.warnings if "threshold" in text]
        assert f"{name} at least" in evaluation.notes[0]
    assert found["recall"]["recall"] > 0.8
    assert found["recall"]["recall"] > found["precision"]["recall"]
    assert found["precision"]["precision"] > found["recall"]["precision"]


@FRAMEWORKS
def test_a_precision_out_of_reach_is_a_warning(tmp_path, framework):
    frame = machines()
    frame["failure"] = frame["failure"].sample(frac=1, random_state=1).to_numpy()  # nothing to learn
    _, trained, _, *_ = judged(tmp_path, framework, frame, threshold={"minPrecision": 1.0})
    assert any("minPrecision 1 is not reached" in text for text in trained.warnings)


@FRAMEWORKS
def test_balanced_classes_are_cut_at_one_half(tmp_path, framework):
    _, _, found, *_ = judged(tmp_path, framework, machines(share=0.45))
    assert found.metrics["threshold"] == 0.5
    assert found.metrics["f1"] == found.metrics["f1@0.5"]
    assert "because the classes are balanced" in found.notes[0]


@FRAMEWORKS
def test_a_threshold_for_three_classes_is_refused(tmp_path, framework):
    frame = machines()
    frame["failure"] = pd.cut(frame["heat"], 3, labels=["cold", "warm", "hot"])
    with pytest.raises(ConfigError, match=r"spec\.threshold .*two classes.* column 'failure' has 3"):
        judged(tmp_path, framework, frame, threshold={"minRecall": 0.9})
