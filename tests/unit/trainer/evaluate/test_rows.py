"""Evaluation of tables: metrics against scikit-learn, the baseline, and the confusion matrix."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn
from sklearn import metrics as sk

from trainyard_trainer.evaluate.metrics import binary_scores, confusion, multiclass_scores, prior_scores
from trainyard_trainer.evaluate.rows import judge_classes, judge_numbers

CLASSES = ["ok", "worn", "broken"]


@st.composite
def judged(draw, classes):
    rows = draw(st.integers(1, 30))
    actual = draw(hn.arrays(np.intp, rows, elements=st.integers(0, classes - 1)))
    raw = draw(hn.arrays(np.float64, (rows, classes), elements=st.floats(0.01, 1)))
    return actual, raw / raw.sum(axis=1, keepdims=True)


@settings(deadline=None, max_examples=40)
@given(judged(3))
def test_means_over_classes_agree_with_scikit_learn(pair):
    actual, probabilities = pair
    found = multiclass_scores(actual, probabilities).metrics
    predicted = probabilities.argmax(axis=1)
    labels = np.unique(actual)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        actual, predicted, labels=labels, average="macro", zero_division=0
    )
    expected = {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "accuracy": sk.accuracy_score(actual, predicted),
        "log_loss": sk.log_loss(actual, probabilities, labels=[0, 1, 2]),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert confusion(actual, predicted, 3).tolist() == sk.confusion_matrix(actual, predicted, labels=[0, 1, 2]).tolist()


@settings(deadline=None, max_examples=40)
@given(judged(2), st.floats(0, 1))
def test_two_classes_agree_with_scikit_learn(pair, threshold):
    actual, probabilities = pair
    chance = probabilities[:, 1]
    found = binary_scores(actual, chance, threshold).metrics
    assert all(math.isfinite(value) for value in found.values())
    predicted = chance >= threshold
    assert found["precision"] == pytest.approx(sk.precision_score(actual, predicted, zero_division=0))
    assert found["recall"] == pytest.approx(sk.recall_score(actual, predicted, zero_division=0))
    assert found["f1"] == pytest.approx(sk.f1_score(actual, predicted, zero_division=0))
    assert found["brier"] == pytest.approx(sk.brier_score_loss(actual, chance, pos_label=1))
    if len(set(actual.tolist())) == 2:
        assert found["auc"] == pytest.approx(sk.roc_auc_score(actual, chance))
        assert found["average_precision"] == pytest.approx(sk.average_precision_score(actual, chance))
    else:
        assert "auc" not in found


@settings(deadline=None, max_examples=40)
@given(judged(2), judged(3))
def test_the_baseline_is_evaluated_like_a_model(two, three):
    actual, probabilities = two[0], np.tile([0.7, 0.3], (len(two[0]), 1))
    scores = binary_scores(actual, probabilities[:, 1], 0.5).metrics
    assert prior_scores(actual, probabilities[0]) == pytest.approx(
        {name: value for name, value in scores.items() if name != "threshold"}
    )
    actual, probabilities = three[0], np.tile([0.2, 0.5, 0.3], (len(three[0]), 1))
    assert prior_scores(actual, probabilities[0]) == pytest.approx(multiclass_scores(actual, probabilities).metrics)


def test_the_baseline_of_classes_is_their_shares():
    actual = np.array([0, 1, 2, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])
    found = judge_classes(actual, probabilities, np.array([0, 1, 1, 2]), CLASSES, None)
    assert found.metrics["accuracy"] == 0.75
    assert found.metrics["baseline_accuracy"] == 0.5
    assert found.metrics["skill"] == pytest.approx(1 - found.metrics["log_loss"] / found.metrics["baseline_log_loss"])
    cells = found.table[found.table["metric"].str.startswith("confusion:")].set_index("metric")["value"].to_dict()
    assert cells == {"confusion:ok:ok": 1, "confusion:worn:worn": 2, "confusion:broken:worn": 1}
    assert not any(name.startswith("confusion") for name in found.metrics)
    assert list(found.holdout.columns) == ["actual", "probability:ok", "probability:worn", "probability:broken"]


def test_two_classes_are_predicted_at_the_threshold():
    probabilities = np.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    found = judge_classes(np.array([0, 1, 1]), probabilities, np.array([0, 1]), ["no", "yes"], 0.35)
    assert (found.metrics["accuracy"], found.metrics["threshold"]) == (1, 0.35)
    assert found.metrics["accuracy@0.5"] == pytest.approx(2 / 3)
    without = judge_classes(np.array([0, 1, 1]), probabilities, np.array([0, 1]), ["no", "yes"], None)
    assert (without.metrics["accuracy"], without.metrics["threshold"]) == (pytest.approx(2 / 3), 0.5)


def test_the_baseline_of_numbers_is_mean_or_median():
    actual, known = np.array([1.0, 2, 9]), np.array([0.0, 0, 30])
    found = judge_numbers(actual, np.array([1.0, 3, 8]), known)
    assert found.metrics["bias"] == 0
    assert found.metrics["baseline_mae"] == 4  # of the median, 0
    assert found.metrics["baseline_rmse"] == pytest.approx(np.sqrt(86 / 3))
    assert found.metrics["baseline_bias"] == -4
    assert found.metrics["baseline_r2"] == pytest.approx(sk.r2_score(actual, [0, 0, 0]))  # that of the mean is lower
    assert found.holdout["baseline"].tolist() == [0, 0, 0]


def test_a_perfect_baseline_has_no_skill_but_a_note():
    found = judge_numbers(np.ones(3), np.array([1.0, 1, 2]), np.ones(5))
    assert "skill" not in found.metrics
    assert "skill is undefined" in found.notes[-1]
