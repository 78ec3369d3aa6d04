"""Classes: the positive one of two, on request or because it is rarer, and the finding about it."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import dataset_of, job, write
from trainyard_trainer.data.tables.labels import labels_of, note_weak_classes, positive_second
from trainyard_trainer.errors import DataError


def ordered(values, requested=None):
    findings = []
    labels = positive_second(labels_of(pd.Series(values)), requested, "y", findings)
    return labels, findings


@pytest.mark.parametrize(
    ("values", "requested", "classes", "codes"),
    [
        (["ja", "nein", "nein"], None, ("nein", "ja"), [1, 0, 0]),
        ([1, 0, 0], None, ("0", "1"), [1, 0, 0]),
        ([1, 0, 1], None, ("1", "0"), [0, 1, 0]),
        ([1, 0, 1], "1", ("0", "1"), [1, 0, 1]),
        (["ja", "nein", "nein", None], "nein", ("ja", "nein"), [0, 1, 1, -1]),
        (["b", "a"], None, ("a", "b"), [1, 0]),
        ([None, "a", "b", "a"], None, ("a", "b"), [-1, 0, 1, 0]),
        ([True, False, False], None, ("False", "True"), [1, 0, 0]),
    ],
    ids=["rarer text", "rarer number", "0 is rarer", "requested number", "requested text", "tie", "missing", "boolean"],
)
def test_the_positive_class_is_second(values, requested, classes, codes):
    labels, _ = ordered(values, requested)
    assert labels.classes == classes
    assert labels.codes.tolist() == codes


def test_three_classes_keep_their_order_and_have_no_positive_one():
    labels, findings = ordered(["c", "a", "b", "b"])
    assert labels.classes == ("a", "b", "c")
    assert findings == []


def test_the_positive_class_is_reported_with_its_share_and_reason():
    assert "'ja' (the rarer of two classes, 25.00% of" in ordered(["ja"] + ["nein"] * 3)[1][0].message
    assert "(data.positiveClass, 75.00% of" in ordered(["ja"] + ["nein"] * 3, "nein")[1][0].message
    assert "'nein' (the second of two equally frequent classes, 50.00%" in ordered(["ja", "nein"])[1][0].message
    assert ordered(["ja", "nein"])[1][0].severity == "info"


@pytest.mark.parametrize(
    ("values", "requested", "words"),
    [
        (["ja", "nein"], "neim", "has no class 'neim' (data.positiveClass); did you mean 'nein'?; it has 'ja', 'nein'"),
        ([0, 1], "yes", "has no class 'yes' (data.positiveClass); it has '0', '1'"),
        (["a", "b", "c"], "a", "has 3 classes, but data.positiveClass is for two"),
    ],
)
def test_a_missing_class_is_refused(values, requested, words):
    with pytest.raises(DataError) as caught:
        ordered(values, requested)
    assert words in str(caught.value)


def test_imbalance_below_5_percent_is_a_warning():
    for share, expected in ((4, ["ImbalancedClasses"]), (5, [])):
        findings = []
        note_weak_classes(labels_of(pd.Series(["x"] * share * 10 + ["y"] * (100 - share) * 10)), "y", findings)
        assert [finding.code for finding in findings] == expected
    findings = []
    note_weak_classes(labels_of(pd.Series(["x"] * 40 + ["y"] * 960)), "state", findings)
    assert "class 'x' of 'state' is 4.00% of the rows" in findings[0].message
    assert findings[0].severity == "warning"


def test_a_dataset_has_its_positive_class(tmp_path):
    table = pd.DataFrame({"x": np.arange(60.0), "y": ["ja", "nein", "nein"] * 20})
    path = write(tmp_path, table.to_csv(index=False))
    dataset = dataset_of(job(path, task="Classification"), tmp_path)
    assert (dataset.classes, dataset.positive_class) == (("nein", "ja"), "ja")
    assert dataset.frame["y"].tolist() == [1.0, 0, 0] * 20
    assert any(finding.code == "PositiveClass" for finding in dataset.findings)
    requested = dataset_of(job(path, task="Classification", data={"positiveClass": "nein"}), tmp_path)
    assert requested.positive_class == "nein"
