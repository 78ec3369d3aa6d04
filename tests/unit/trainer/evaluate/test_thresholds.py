"""Thresholds by request, compared with a search over all thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard_api.threshold import Threshold
from trainyard_trainer.evaluate.thresholds import choose

ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.5001, 0.7, 0.9, 1.0])),
    min_size=2,
    max_size=25,
).filter(lambda rows: len({actual for actual, _ in rows}) == 2)


def cut_of(rows, **fields):
    actual, chance = (np.array(one) for one in zip(*rows, strict=True))
    threshold_spec = Threshold.model_validate(fields) if fields else None
    return choose(threshold_spec, actual.astype(np.intp), chance.astype(float), positive="ja", rarer_share=0.1)


def all_thresholds(rows):
    """Return (threshold, precision, recall, misses, alarms) of each threshold with a positive prediction."""
    found = []
    for cut in sorted({chance for _, chance in rows}):
        predicted = [actual for actual, chance in rows if chance >= cut]
        hits, positives = sum(predicted), sum(actual for actual, _ in rows)
        found.append((cut, hits / len(predicted), hits / positives, positives - hits, len(predicted) - hits))
    return found


def at(rows, cut):
    return next(one for one in all_thresholds(rows) if one[0] == cut.value)


@given(ROWS, st.floats(0.05, 1))
def test_a_requested_recall_is_reached_with_the_best_precision(rows, wanted):
    cut = cut_of(rows, minRecall=wanted)
    _, precision, recall, *_ = at(rows, cut)
    assert recall >= wanted - 1e-9
    assert precision == pytest.approx(max(one[1] for one in all_thresholds(rows) if one[2] >= wanted - 1e-9))
    assert not cut.warning


@given(ROWS, st.floats(0.05, 1))
def test_a_requested_precision_has_the_best_recall_or_a_warning(rows, wanted):
    cut = cut_of(rows, minPrecision=wanted)
    _, precision, recall, *_ = at(rows, cut)
    able = [one for one in all_thresholds(rows) if one[1] >= wanted - 1e-9]
    if able:
        assert precision >= wanted - 1e-9
        assert recall == pytest.approx(max(one[2] for one in able))
        assert not cut.warning
    else:
        assert precision == pytest.approx(max(one[1] for one in all_thresholds(rows)))
        assert f"spec.threshold.minPrecision {wanted:g} is not reached" in cut.warning


@given(ROWS, st.integers(1, 20), st.integers(1, 20))
def test_the_cost_is_the_lowest_of_all_thresholds(rows, miss, alarm):
    cut = cut_of(rows, costOfMiss=miss, costOfAlarm=alarm)
    actual, chance = (np.array(one) for one in zip(*rows, strict=True))
    predicted = chance >= cut.value
    cost = miss * (actual[~predicted] == 1).sum() + alarm * (actual[predicted] == 0).sum()
    silent = miss * actual.sum()
    assert cost == min([silent, *(miss * one[3] + alarm * one[4] for one in all_thresholds(rows))])
    assert bool(cut.warning) == (not predicted.any())


@given(ROWS)
def test_the_best_f1_is_the_best_of_all_thresholds(rows):
    def f1(precision, recall):
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    for cut in (cut_of(rows, optimize="F1"), cut_of(rows)):
        _, precision, recall, *_ = at(rows, cut)
        assert f1(precision, recall) == pytest.approx(max(f1(one[1], one[2]) for one in all_thresholds(rows)))


def test_a_fixed_threshold_is_used_unchanged():
    assert cut_of([(1, 0.2), (0, 0.1)], value=0.35).value == 0.35


@pytest.mark.parametrize(("share", "balanced"), [(0.5, True), (0.4, True), (0.39, False)])
def test_without_a_request_the_threshold_of_balanced_classes_is_one_half(share, balanced):
    actual, chance = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.05, 0.9])
    cut = choose(None, actual, chance, positive="ja", rarer_share=share)
    assert cut.value == (0.5 if balanced else 0.2)
    assert ("balanced" in cut.why) == balanced
    assert choose(Threshold(optimize="F1"), actual, chance, positive="ja", rarer_share=share).value == 0.2


@pytest.mark.parametrize(("label", "words"), [(0, "no row of 'ja'"), (1, "only rows of 'ja'")])
def test_validation_rows_of_one_class_give_one_half_and_a_warning(label, words):
    cut = cut_of([(label, 0.2), (label, 0.9)], minRecall=0.9)
    assert cut.value == 0.5
    assert words in cut.warning
