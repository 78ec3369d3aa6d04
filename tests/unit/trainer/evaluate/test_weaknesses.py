"""Warnings about an evaluation: each cause with its numbers, and no warning without a cause."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from trainyard_trainer.evaluate.judgement import Judgement
from trainyard_trainer.evaluate.rows import judge_classes
from trainyard_trainer.evaluate.weaknesses import weaknesses

SOUND = Judgement(
    {"auc": 0.9, "skill": 0.2}, pd.DataFrame({"series": [], "metric": [], "value": []}), pd.DataFrame(), ()
)


def classes(positives, rows, **changes):
    actual = np.zeros(rows)
    actual[:positives] = 1
    return dataclasses.replace(SOUND, holdout=pd.DataFrame({"actual": actual}), **changes)


def warnings_of(found, positive="ja", wanted=("auc", "f1"), objective="auc"):
    return weaknesses(found, positive, wanted, objective)


@pytest.mark.parametrize(
    ("positives", "words"),
    [
        (0, "the holdout of 100 rows has no row of 'ja'"),
        (100, "the holdout of 100 rows has only rows of 'ja'"),
        (
            1,
            (
                "the holdout has 1 rows of 'ja': metrics of so few rows depend mostly on chance, "
                "a single row changes recall by 100%"
            ),
        ),
        (19, "the holdout has 19 rows of 'ja'"),
        (20, None),
    ],
)
def test_few_positives_are_reported_with_their_number(positives, words):
    reported = warnings_of(classes(positives, 100))
    assert [words in one for one in reported] == ([True] if words else [])
    assert warnings_of(classes(positives, 100), positive=None) == [], "not of three classes"


def test_a_replaced_objective_is_reported_with_the_reason():
    found = classes(50, 100, notes=("auc is undefined: the holdout has only one class",))
    (reported,) = warnings_of(found, objective="f1")
    assert reported.startswith("auc has no value")
    assert "(auc is undefined: the holdout has only one class), so f1" in reported


def test_a_model_worse_than_its_baseline_is_reported():
    (reported,) = warnings_of(classes(50, 100, metrics={"skill": -0.31}, baseline="class shares"))
    assert "worse than its baseline (class shares): skill -0.31" in reported
    assert warnings_of(classes(50, 100, metrics={"skill": 0.0})) == []


@pytest.mark.parametrize(("below", "reported"), [(2, False), (3, True)])
def test_most_series_below_the_baseline_are_reported(below, reported):
    table = pd.DataFrame({"series": ["a", "b", "c", "d", None], "metric": "skill", "value": 0.1})
    found = Judgement({"series_below_baseline": float(below)}, table, pd.DataFrame(), (), "drift")
    warnings = weaknesses(found, None, ("mase", "mae"), "mase")
    assert warnings == [] or f"{below} of 4 series have a worse forecast than the baseline (drift)" in warnings[0]
    assert bool(warnings) == reported


def test_a_holdout_of_one_class_is_ranked_by_f1_with_a_warning():
    chance = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]])
    found = judge_classes(np.zeros(3, dtype=np.intp), chance, np.array([0, 1, 0]), ["nein", "ja"], 0.5)
    assert "auc" not in found.metrics
    assert found.metrics["f1"] == 0
    assert found.metrics["brier"] == pytest.approx((0.01 + 0.36 + 0.04) / 3)
    warnings = weaknesses(found, "ja", ("auc", "f1"), "f1")
    assert [text.split(":")[0] for text in warnings[:2]] == [
        "the holdout of 3 rows has no row of 'ja'",
        "auc has no value on the holdout (auc is undefined",
    ]
