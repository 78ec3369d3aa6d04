"""Our metrics agree with scikit-learn and utilsforecast. Metrics that are not finite are left out."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn
from sklearn import metrics as sk

from trainyard_trainer.evaluate.baselines import class_prior, constant_regressors, seasonal_naive
from trainyard_trainer.evaluate.metrics import best_threshold, binary_scores, multiclass_scores, point_scores, skill

NUMBERS = hn.arrays(np.float64, st.integers(2, 40), elements=st.floats(-1e6, 1e6, allow_subnormal=False))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_point_metrics_agree_with_scikit_learn(data):
    actual = data.draw(NUMBERS)
    predicted = data.draw(hn.arrays(np.float64, len(actual), elements=st.floats(-1e6, 1e6)))
    found = point_scores(actual, predicted).metrics
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(actual, predicted))
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(actual, predicted))
    if np.ptp(actual) > 1:
        assert found["r2"] == pytest.approx(sk.r2_score(actual, predicted))
    if (np.abs(actual) > 1e-3).all():
        assert found["mape"] == pytest.approx(sk.mean_absolute_percentage_error(actual, predicted))
    assert all(math.isfinite(value) for value in found.values())


def test_point_metrics_agree_with_utilsforecast():
    with warnings.catch_warnings():  # its source has an invalid escape, for which Python warns when it compiles it
        warnings.simplefilter("ignore")
        from utilsforecast import losses
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"unique_id": "a", "y": random.random(50) + 1, "m": random.random(50) + 1})
    found = point_scores(frame["y"].to_numpy(), frame["m"].to_numpy()).metrics
    for name, loss in {"mae": losses.mae, "rmse": losses.rmse, "mape": losses.mape, "wape": losses.nd}.items():
        assert found[name] == pytest.approx(loss(frame, models=["m"])["m"].item())


def test_zeros_are_left_out_of_mape_and_reported():
    scores = point_scores(np.array([0.0, 2.0, 4.0]), np.array([1.0, 1.0, 4.0]))
    assert scores.metrics["mape"] == pytest.approx(0.25)
    assert "66.7%" in scores.notes[0]


def test_undefined_metrics_are_left_out():
    scores = point_scores(np.zeros(3), np.ones(3))
    assert set(scores.metrics) == {"mae", "rmse", "smape", "bias"}
    assert len(scores.notes) == 2


def test_binary_metrics_agree_with_scikit_learn():
    random = np.random.default_rng(1)
    actual = random.integers(0, 2, 300)
    probability = np.clip(0.3 * actual + 0.7 * random.random(300), 0, 1)
    threshold = best_threshold(actual, probability)
    found = binary_scores(actual, probability, threshold).metrics
    predicted = probability >= threshold
    assert found["auc"] == pytest.approx(sk.roc_auc_score(actual, probability))
    assert found["f1"] == pytest.approx(sk.f1_score(actual, predicted))
    assert found["precision"] == pytest.approx(sk.precision_score(actual, predicted))
    assert found["recall"] == pytest.approx(sk.recall_score(actual, predicted))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(actual, predicted))
    assert found["f1@0.5"] == pytest.approx(sk.f1_score(actual, probability >= 0.5))
    assert found["f1"] == pytest.approx(max(sk.f1_score(actual, probability >= cut) for cut in probability))


def test_a_holdout_of_one_class_has_no_auc():
    scores = binary_scores(np.zeros(5, dtype=np.intp), np.linspace(0, 1, 5), 0.5)
    assert "auc" not in scores.metrics
    assert "auc" in scores.notes[0]
    assert best_threshold(np.zeros(5, dtype=np.intp), np.linspace(0, 1, 5)) == 0.5


def test_multiclass_metrics_agree_with_scikit_learn():
    random = np.random.default_rng(2)
    actual = random.integers(0, 3, 200)
    raw = random.random((200, 3)) + np.eye(3)[actual]
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    found = multiclass_scores(actual, probabilities).metrics
    assert found["auc"] == pytest.approx(sk.roc_auc_score(actual, probabilities, multi_class="ovr"))
    assert found["f1"] == pytest.approx(sk.f1_score(actual, probabilities.argmax(1), average="macro"))
    assert found["log_loss"] == pytest.approx(sk.log_loss(actual, probabilities))


def test_a_class_that_the_holdout_lacks_is_left_out():
    scores = multiclass_scores(np.array([0, 1, 0, 1]), np.tile([0.4, 0.3, 0.3], (4, 1)))
    assert scores.metrics["auc"] == pytest.approx(0.5)
    assert "1 classes" in scores.notes[0]


def test_skill():
    assert skill(1, 2) == 0.5
    assert skill(3, 2) == -0.5
    assert skill(0, 0) == 0
    assert skill(1, 0) is None


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 12), st.integers(1, 40), st.integers(1, 30))
def test_seasonal_naive_repeats_the_last_season(season, known, wanted):
    values = np.random.default_rng(known).random(known)
    found = seasonal_naive(np.arange(known), values, np.arange(known, known + wanted), season)
    for step in range(wanted):
        at = known + step
        while at >= known:
            at -= season
        assert found[step] == (values[at] if at >= 0 else values[-1])


def test_seasonal_naive_handles_gaps():
    known, values = np.array([0, 1, 2, 3, 4, 6]), np.array([10.0, 11, 12, 13, 14, 16])
    assert seasonal_naive(known, values, np.array([7, 8, 9]), 3).tolist() == [14.0, 12.0, 16.0]


def test_metrics_of_constants_and_priors():
    forecasts = constant_regressors(np.array([1.0, 2, 9]), 2)
    assert forecasts["mean"].tolist() == [4, 4]
    assert forecasts["median"].tolist() == [2, 2]
    assert class_prior(np.array([0, 0, 1]), 3).tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6])
