"""The validation report: findings by code and count, and the series that are left out."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.test_preprocess import codes, daily, forecast, prepare, rows
from trainyard_trainer.data.dataset import Finding
from trainyard_trainer.data.tables.leaks import suspects
from trainyard_trainer.errors import DataError
from trainyard_trainer.report.findings import by_code, limited, validation_document

ENOUGH = {"validation": {"maxFailedRatio": 0.5}}
RANDOM = np.random.default_rng(5)


def spoiled(column, value):
    frame = daily(names=("a", "b", "c")).astype({"ds": str, "y": object})
    frame.loc[[130, 140], column] = value
    return frame


@pytest.mark.parametrize(
    ("column", "value", "code", "words"),
    [
        ("ds", "soon", "UnparsableTimes", "data row 131: 'soon' is not a time"),
        ("y", "many", "UnparsableTarget", "data row 131: 'many' is not a number"),
    ],
)
def test_a_series_that_cannot_be_read_is_left_out_and_listed(tmp_path, column, value, code, words):
    dataset = forecast(tmp_path, spoiled(column, value), **ENOUGH)
    assert [one.name for one in dataset.series] == ["a", "c"]
    assert [(one.code, one.series, one.count) for one in dataset.findings if one.severity == "error"] == [
        (code, "b", 2)
    ]
    document = validation_document(dataset)
    assert document["seriesLeftOut"] == {"b": code}
    assert {"code": code, "severity": "error", "findings": 1, "count": 2} in document["codes"]
    with pytest.raises(DataError, match=f"1 of 3 series .*{code} 1.*series 'b' .*{words}"):
        forecast(tmp_path, spoiled(column, value))


def test_without_other_series_the_job_fails_with_the_row(tmp_path):
    frame = daily(names=("a",)).astype({"ds": str})
    frame.loc[7, "ds"] = "soon"
    with pytest.raises(DataError, match=r"data row 8: 'soon' is not a time.*data\.timeFormat"):
        forecast(tmp_path, frame, **ENOUGH)


def with_values(change):
    frame = daily(names=("a",), days=200)
    frame["y"] = change(frame["y"].astype(float))
    return frame


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        (lambda y: y.where(np.arange(200) % 5 == 0, 0), "ManyZeros", "warning"),
        (lambda y: y.where(np.arange(200) != 9, -3), "NegativeValues", "warning"),
        (lambda y: y - 8, "NegativeValues", "info"),
        (lambda y: y.where(np.arange(200) < 150, 0), "DiscontinuedSeries", "warning"),
        (lambda y: y * 0 + 4, "ConstantSeries", "warning"),
    ],
)
def test_odd_values_are_findings(tmp_path, change, code, severity):
    dataset = forecast(tmp_path, with_values(change))
    assert (code, severity) in [(one.code, one.severity) for one in dataset.findings]


def test_repeated_runs_of_zeros_are_not_discontinued(tmp_path):
    frame = with_values(lambda y: y.where(np.arange(200) % 60 < 40, 0))
    assert "DiscontinuedSeries" not in codes(forecast(tmp_path, frame))


def test_a_series_that_ended_long_ago_is_reported(tmp_path):
    frame = pd.concat([daily(days=100, names=("old",)), daily(days=160, names=("new",))])
    found = [one for one in forecast(tmp_path, frame).findings if one.code == "DiscontinuedSeries"]
    assert [(one.series, one.count) for one in found] == [("old", 60)]


def test_weak_tables_are_findings(tmp_path):
    frame = pd.concat([rows(40), rows(40)]).reset_index(drop=True)
    frame.loc[:4, "x"] = np.nan
    frame = pd.concat([frame, frame.tail(3)])
    dataset = prepare(tmp_path, frame, data={"exclude": ["id", "same"]})
    counts = {one.code: one.count for one in dataset.findings}
    assert (counts["FewPoints"], counts["RepeatedRows"], counts["MissingValues"]) == (83, 3, 5)


TARGETS = {
    0: RANDOM.normal(size=500),
    2: (RANDOM.random(500) < 0.1).astype(float),
    3: RANDOM.integers(0, 3, 500).astype(float),
}


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_a_feature_derived_from_the_target_is_suspected(classes):
    target = TARGETS[classes]
    columns = {
        "noise": pd.Series(RANDOM.normal(size=500)),
        "honest": pd.Series(target + RANDOM.normal(scale=0.5, size=500)),
        "derived": pd.Series(np.exp(target + RANDOM.normal(scale=1e-4, size=500))),
        "gaps": pd.Series(np.where(RANDOM.random(500) < 0.3, np.nan, 3 - 2 * target)),
        "flat": pd.Series(np.ones(500)),
        "empty": pd.Series(np.full(500, np.nan)),
    }
    if classes:
        columns["label"] = pd.Series(pd.Categorical(target.astype(int).astype(str)))
        columns["shop"] = pd.Series(pd.Categorical(RANDOM.integers(0, 5, 500).astype(str)))
    names = [one.message.split("'")[1] for one in suspects(columns, target, classes)]
    assert names == ["derived", "gaps", *(["label"] if classes else [])]


def test_a_leak_is_a_warning_of_the_table(tmp_path):
    frame = rows(200)
    dataset = prepare(tmp_path, frame.assign(z=frame["y"] * 2 + 1))
    found = [one for one in dataset.findings if one.code == "LeakSuspected"]
    assert [one.severity for one in found] == ["warning"]
    assert "'z'" in found[0].message
    assert "data.exclude" in found[0].message


def test_findings_are_counted_by_code_and_limited():
    findings = [Finding("Gaps", "info", "gap", "s", 2)] * 30 + [Finding("AllZero", "error", "zero", "z", 9)]
    assert [(one.code, one.findings, one.count) for one in by_code(findings)] == [("AllZero", 1, 9), ("Gaps", 30, 60)]
    shown = limited(findings)
    assert len(shown) == 22
    assert shown[-1].message == "10 more findings of code Gaps: see validation.json"
