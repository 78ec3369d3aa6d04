"""A statistic of weighted rows equals the published metric of the rows, each repeated as often as its weight."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard_trainer.evaluate import statistics
from trainyard_trainer.evaluate.forecasts import SCALE, SQUARE_SCALE, judge_rows
from trainyard_trainer.evaluate.metrics import binary_scores, multiclass_scores, point_scores

ROWS = 60
SEEDS = st.integers(0, 10_000)
NUMBERS = ("mae", "rmse", "bias", "wape", "mape", "r2")
CLASSES = ("auc", "average_precision", "log_loss", "accuracy", "precision", "recall", "f1", "f1@0.5", "recall@0.5")
MANY = ("auc", "log_loss", "accuracy", "precision", "recall", "f1")
SERIES = ("mae", "rmse", "mase", "weighted_mae", "weighted_mase", "skill", "wape")


def weights_of(random):
    counts = np.bincount(random.integers(0, ROWS, ROWS), minlength=ROWS)
    return counts[None, :].astype(float), np.repeat(np.arange(ROWS), counts)


def rounded(random):
    return random.random(ROWS).round(1)  # with ties


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS)
def test_numbers(seed):
    random = np.random.default_rng(seed)
    actual, predicted = random.normal(size=ROWS).round(1), random.normal(size=ROWS)
    weights, rows = weights_of(random)
    expected = point_scores(actual[rows], predicted[rows]).metrics
    for name in NUMBERS:
        found = statistics.of_numbers(name, actual, predicted, np.zeros(ROWS))
        assert found(weights)[0] == pytest.approx(expected[name]), name


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS)
def test_two_classes(seed):
    random = np.random.default_rng(seed)
    probability = rounded(random)
    actual = (random.random(ROWS) < probability).astype(np.intp)
    weights, rows = weights_of(random)
    expected = binary_scores(actual[rows], probability[rows], 0.3).metrics
    for name in CLASSES:
        found = statistics.of_classes(name, actual, probability, 0.3)(weights)[0]
        assert found == pytest.approx(expected.get(name, np.nan), nan_ok=True), name


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS)
def test_three_classes(seed):
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(3), ROWS)
    actual = np.array([random.choice(3, p=row) for row in probabilities], dtype=np.intp)
    weights, rows = weights_of(random)
    expected = multiclass_scores(actual[rows], probabilities[rows]).metrics
    if len(set(actual[rows])) < 3:
        return
    for name in MANY:
        found = statistics.of_many_classes(name, actual, probabilities)(weights)[0]
        assert found == pytest.approx(expected[name]), name


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS)
def test_whole_series(seed):
    random = np.random.default_rng(seed)
    codes = np.repeat(np.arange(6), 10)
    frame = pd.DataFrame(
        {
            "series": codes.astype(str),
            "time": np.tile(np.arange(10), 6),
            "actual": random.normal(size=ROWS) * (1 + codes),
            "predicted": random.normal(size=ROWS),
            "baseline": random.normal(size=ROWS),
            SCALE: np.array([1.0, 2, 3, np.nan, 5, 6])[codes],
            SQUARE_SCALE: np.ones(ROWS),
        }
    )
    drawn = random.integers(0, 6, 6)
    counts = np.bincount(drawn, minlength=6)
    again = pd.concat([frame[codes == code].assign(series=f"{number}") for number, code in enumerate(drawn)])
    expected = judge_rows(again.reset_index(drop=True)).metrics
    rows = statistics.SeriesRows(
        *(frame[name].to_numpy(float) for name in ("actual", "predicted", "baseline")),
        count=np.full(ROWS, 10.0),
        volume=np.bincount(codes, np.abs(frame["actual"]))[codes],
        scale=frame[SCALE].to_numpy(),
    )
    for name in SERIES:
        found = statistics.of_series(name, rows)(counts[codes][None, :].astype(float))[0]
        assert found == pytest.approx(expected.get(name, np.nan), nan_ok=True), name


def test_other_metrics_have_no_statistic():
    zeros = np.zeros(3)
    assert statistics.of_numbers("series_below_baseline", zeros, zeros, zeros) is None
    assert statistics.of_classes("mcc", zeros.astype(np.intp), zeros, 0.5) is None
