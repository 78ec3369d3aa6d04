"""Our curves and areas are equal to those of scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn
from sklearn import metrics as sk

from trainyard_trainer.evaluate.curves import Cuts, area_under_roc, average_precision, precision_recall, roc


@st.composite
def judged(draw):
    """Return rows of both classes. Few digits make equal probabilities, many digits make none."""
    rows = draw(st.integers(2, 60))
    positive = draw(hn.arrays(np.bool_, rows).filter(lambda kind: kind.any() and not kind.all()))
    digits = draw(st.integers(0, 12))
    return positive, draw(hn.arrays(np.float64, rows, elements=st.floats(0, 1))).round(digits)


@settings(deadline=None, max_examples=150)
@given(judged())
def test_curves_agree_with_scikit_learn(pair):
    positive, probability = pair
    cuts = Cuts.of(positive, probability)

    assert area_under_roc(cuts) == sk.roc_auc_score(positive, probability)
    assert average_precision(cuts) == sk.average_precision_score(positive, probability)
    across, up, _ = sk.roc_curve(positive, probability)
    assert [part.tolist() for part in roc(cuts)] == [across.tolist(), up.tolist()]
    for mine, corners in ((cuts, False), (cuts.corners(), True)):
        precision, recall, cut = sk.precision_recall_curve(positive, probability, drop_intermediate=corners)
        assert [part.tolist() for part in precision_recall(mine)] == [precision.tolist(), recall.tolist()]
        assert mine.probability[::-1].tolist() == cut.tolist()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_probabilities_that_cannot_be_sorted_are_refused(value):
    with pytest.raises(ValueError, match="not finite"):
        Cuts.of(np.array([True, False]), np.array([0.5, value]))
