"""The interval of a difference contains the true one as often as its confidence says, and respects groups of rows."""

import numpy as np
import pytest

from trainyard_trainer.evaluate.bootstrap import MOST_UNITS, Resamples
from trainyard_trainer.evaluate.statistics import of_numbers

NIGHTS = 200


def interval(actual, mine, theirs, units=None, confidence=0.95, seed=42):
    resamples = Resamples(np.arange(len(actual)) if units is None else units, seed)
    rows, zeros = resamples.rows, np.zeros(len(actual))
    left, right = (of_numbers("mae", actual[rows], predicted[rows], zeros[rows]) for predicted in (mine, theirs))
    known = np.abs(mine - actual).mean() - np.abs(theirs - actual).mean()
    return resamples.difference(left, right, known, confidence)


def models(random, rows, worse):
    actual = random.normal(size=rows)
    shared = random.normal(size=rows)
    return actual, actual + shared + 0.3 * random.normal(size=rows) + worse, actual + shared


def test_false_alarms_match_the_confidence():
    """Two models whose errors differ only by chance: about 95 of 100 intervals contain 0."""
    held = 0
    for seed in range(NIGHTS):
        random = np.random.default_rng(seed)
        actual, shared = random.normal(size=300), random.normal(size=300)
        mine, theirs = (actual + shared + 0.3 * random.normal(size=300) for _ in range(2))
        found = interval(actual, mine, theirs)
        held += found.low <= 0 <= found.high
    assert 0.90 * NIGHTS <= held <= 0.99 * NIGHTS


def test_dependent_rows_have_a_wider_interval():
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(30), 20)
    actual, offset = random.normal(size=600), random.normal(size=30)[groups]
    mine, theirs = actual + offset, actual + 0.5
    single, grouped = interval(actual, mine, theirs), interval(actual, mine, theirs, groups)
    assert grouped.high - grouped.low > 3 * (single.high - single.low)


def test_few_units_have_no_interval_and_a_higher_confidence_a_wider_one():
    random = np.random.default_rng(1)
    actual, mine, theirs = models(random, 200, 0.0)
    assert interval(actual, mine, theirs, np.zeros(200, dtype=np.intp)) is None
    usual, sure = interval(actual, mine, theirs), interval(actual, mine, theirs, confidence=0.999)
    assert sure.low < usual.low < usual.high < sure.high


def test_many_rows_are_sampled_without_a_change_of_the_interval():
    random = np.random.default_rng(1)
    actual, mine, theirs = models(random, 4 * MOST_UNITS, 0.0)
    found = interval(actual, mine, theirs)
    errors = np.abs(mine - actual) - np.abs(theirs - actual)
    exact = 2 * 1.96 * errors.std() / np.sqrt(len(errors))
    assert found.high - found.low == pytest.approx(exact, rel=0.2)


def test_the_same_seed_gives_the_same_interval():
    actual, mine, theirs = models(np.random.default_rng(1), 200, 0.1)
    assert interval(actual, mine, theirs) == interval(actual, mine, theirs)
    assert interval(actual, mine, theirs) != interval(actual, mine, theirs, seed=1)
