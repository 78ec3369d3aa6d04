"""Preprocessing: types and roles of columns, findings, and the rows and columns that are left out."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import dataset_of, job, write
from trainyard_trainer.errors import DataError

RANDOM = np.random.default_rng(3)


def rows(count=60):
    return pd.DataFrame(
        {
            "x": RANDOM.random(count),
            "shop": np.where(np.arange(count) % 3 == 0, "north", "south"),
            "id": [f"row {i}" for i in range(count)],
            "same": 1,
            "y": RANDOM.random(count).round(3),
        }
    )


def daily(days=120, names=("a", "b"), start="2026-01-01"):
    parts = [
        pd.DataFrame({"ds": pd.date_range(start, periods=days), "item": name, "y": 5 + np.arange(days) % 7 + number})
        for number, name in enumerate(names)
    ]
    return pd.concat(parts, ignore_index=True)


def prepare(folder, frame, **spec):
    return dataset_of(job(write(folder, frame.to_csv(index=False)), **spec), folder)


def forecast(folder, frame, **data):
    return prepare(folder, frame, task="Forecast", data={"series": "item", **data})


def codes(dataset):
    return {finding.code for finding in dataset.findings}


def test_columns_get_their_types(tmp_path):
    dataset = prepare(tmp_path, rows())
    assert dataset.features == ("x", "shop")
    assert dataset.categories == {"shop": ("north", "south")}
    assert {"ConstantColumn", "IdentifierColumn", "Split"} <= codes(dataset)
    assert dataset.parts is not None
    assert len(dataset.parts.test) == 12


def test_chosen_features_and_exclusions(tmp_path):
    assert prepare(tmp_path, rows(), data={"features": ["x"]}).features == ("x",)
    assert prepare(tmp_path, rows(), data={"exclude": ["x"]}).features == ("shop",)


def test_missing_targets_are_left_out_and_counted(tmp_path):
    frame = rows()
    frame.loc[[3, 9], "y"] = np.nan
    dataset = prepare(tmp_path, frame)
    assert dataset.rows == 58
    assert [finding.count for finding in dataset.findings if finding.code == "MissingTarget"] == [2]
    assert dataset.frame["y"].notna().all()


def test_a_number_column_with_one_text_value_stays_a_number(tmp_path):
    frame = rows().astype({"x": object})
    frame.loc[5, "x"] = "broken"
    dataset = prepare(tmp_path, frame)
    assert np.isnan(dataset.frame["x"].iloc[5])
    assert "TextInNumbers" in codes(dataset)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["10", "9", "0"], ("0", "9", "10")),
        ([1.0, 0.0, np.nan], ("0", "1")),
        ([True, False, True], ("True", "False")),  # the rarer class is the positive one, which is second
        (["b", "a", None], ("a", "b")),
    ],
)
def test_classes_are_ordered_by_number_or_name(tmp_path, values, classes):
    frame = rows().assign(y=pd.Series(values * 20))
    path = tmp_path / "table.parquet"
    frame.to_parquet(path)
    assert dataset_of(job(path, task="Classification"), tmp_path).classes == classes


@pytest.mark.parametrize(
    ("change", "task", "words"),
    [
        (
            lambda f: f.head(5),
            "Regression",
            "5 usable rows, but training needs at least 30 (data.validation.minPoints)",
        ),
        (lambda f: f.assign(y=[*f["y"][:-1], "many"]), "Regression", "row 60: 'many' is not a number"),
        (lambda f: f.assign(y=0), "Regression", "every value of column 'y' (data.target) is 0"),
        (lambda f: f.assign(y=np.nan), "Regression", "column 'y' (data.target) has no numbers"),
        (lambda f: f.assign(y=f["y"] * 1e200), "Regression", "column 'y' (data.target), data row 1: "),
        (lambda f: f.assign(y="yes"), "Classification", "column 'y' (data.target) has only the class 'yes'"),
        (lambda f: f.assign(y=range(len(f))), "Classification", "column 'y' (data.target) has 60 classes"),
        (lambda f: f.assign(y=None), "Classification", "column 'y' (data.target) has no values"),
        (lambda f: f[["same", "y"]], "Regression", "the target 'y': column 'same' has only one value"),
        (lambda f: f[["id", "y"]], "Regression", "text column 'id' has 60 distinct values"),
        (lambda f: f[["y"]], "Regression", "the table has no other column"),
    ],
)
def test_bad_tables_are_explained(tmp_path, change, task, words):
    with pytest.raises(DataError) as caught:
        prepare(tmp_path, change(rows()), task=task)
    assert str(caught.value).startswith(f"file://{tmp_path / 'table.csv'}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("values", "strategy", "words"),
    [
        (["a", "b", "a"], "Group", "2 different values of column 'key') leaves no rows to judge"),
        (["a", "b", None], "Group", "column 'key' (data.group), data row 3: the value is missing, as in 20 rows"),
        (["2026-01-01", "2026-01-02", "2026-01-02"], "Time", "column 'key' (data.time) has 2"),
        (["2026-01-01", "soon", "2026-01-02"], "Time", "column 'key' (data.time), data row 2: 'soon' is not a time"),
    ],
)
def test_an_impossible_split_names_its_column(tmp_path, values, strategy, words):
    frame = rows().assign(key=values * 20)
    with pytest.raises(DataError) as caught:
        prepare(tmp_path, frame, data={"group" if strategy == "Group" else "time": "key"}, split={"strategy": strategy})
    assert str(caught.value).startswith(f"file://{tmp_path / 'table.csv'}: ")
    assert words in str(caught.value)


def test_a_decimal_comma_in_the_target_names_the_option(tmp_path):
    frame = rows().astype({"y": object})
    frame.loc[7, "y"] = "1,5"
    with pytest.raises(DataError, match=r"row 8: '1,5' is not a number.*data\.csv\.decimal"):
        prepare(tmp_path, frame)


def test_the_holdout_digest_only_depends_on_the_held_out_rows(tmp_path):
    frame = rows()
    dataset = prepare(tmp_path, frame, task="Classification", target="shop")
    shuffled = prepare(tmp_path, frame.sample(frac=1, random_state=1), task="Classification", target="shop")
    assert dataset.holdout_digest == shuffled.holdout_digest
    trained_on = np.sort(np.concatenate([dataset.parts.train, dataset.parts.validation]))
    fewer = prepare(tmp_path, frame.drop(index=trained_on[:5]), task="Classification", target="shop")
    assert dataset.holdout_digest == fewer.holdout_digest
    other = prepare(tmp_path, frame.drop(index=dataset.parts.test[:1]), task="Classification", target="shop")
    assert dataset.holdout_digest != other.holdout_digest


def test_the_holdout_digest_depends_on_data_and_seed(tmp_path):
    frame = rows()
    first, second = prepare(tmp_path, frame), prepare(tmp_path, frame)
    assert first.holdout_digest == second.holdout_digest
    assert first.holdout_digest != prepare(tmp_path, frame, split={"seed": 7}).holdout_digest


def test_series_are_sorted_slices(tmp_path):
    dataset = forecast(tmp_path, daily().sample(frac=1, random_state=1))
    assert [series.name for series in dataset.series] == ["a", "b"]
    assert dataset.frequency == "D"
    assert all(series.holdout == 7 for series in dataset.series)
    for series in dataset.series:
        assert dataset.frame["ds"].iloc[series.start : series.stop].is_monotonic_increasing
    assert dataset.series[0].stop == dataset.series[1].start == 120


def test_short_series_have_a_holdout_below_the_horizon(tmp_path):
    dataset = prepare(tmp_path, daily(40), task="Forecast", data={"series": "item"}, forecast={"horizon": 28})
    assert {series.holdout for series in dataset.series} == {8}
    assert "ShortHoldout" in codes(dataset)


def test_failed_series_are_left_out_and_counted(tmp_path):
    frame = daily(names=("a", "b", "c", "d", "e", "f"))
    frame.loc[frame["item"] == "c", "y"] = 0
    dataset = forecast(tmp_path, frame)
    assert (dataset.series_total, len(dataset.series)) == (6, 5)
    assert [(one.code, one.series) for one in dataset.findings if one.severity == "error"] == [("AllZero", "c")]
    assert len(dataset.frame) == 600


def test_weaknesses_are_findings(tmp_path):
    frame = daily(60, names=("a",))
    frame = frame.drop(index=[10, 11]).assign(y=lambda f: np.where(f.index < 50, f["y"], np.nan))
    frame = pd.concat([frame, frame.head(1)])
    assert {"FewPoints", "Gaps", "MissingTarget", "RepeatedRows"} <= codes(forecast(tmp_path, frame))


@pytest.mark.parametrize(
    ("change", "data", "words"),
    [
        (lambda f: f.assign(y=0), {}, "2 of 2 series cannot be used for training (AllZero 2)"),
        (
            lambda f: f.assign(y=0),
            {},
            "first: series 'a' of column 'item' (data.series), column 'y' (data.target): all",
        ),
        (lambda f: f[f["item"] == "a"].assign(y=0), {}, "series 'a' of column 'item' (data.series), column 'y'"),
        (lambda f: f[f["item"] == "a"].assign(y=0), {"series": None}, "column 'y' (data.target): all 120 values are"),
        (lambda f: f.assign(ds="2026-01-01"), {}, "two different times in column 'ds' (data.time)"),
        (lambda f: f[f["item"] == "a"].head(5), {"series": None}, "5 points, at least 30 are needed"),
        (lambda f: f, {"series": None}, "more than once with different values (first: 2026-01-01T00:00:00)"),
        (lambda f: f.assign(y=np.where(np.arange(240) % 20 == 0, 3, 0)), {}, "TooManyZeros 2"),
        (lambda f: f, {"validation": {"minSeries": 3}}, "2 of 2 series can be used for training, but at least 3"),
        (lambda f: f.assign(ds=["x", *f["ds"].astype(str)[1:]]), {}, "row 1: 'x' is not a time"),
        (lambda f: f.assign(y=["x", *f["y"][1:]]), {}, "row 1: 'x' is not a number"),
        (lambda f: f.assign(y=np.nan), {}, "no row has both a time in column 'ds' (data.time) and a number"),
    ],
)
def test_bad_series_are_explained(tmp_path, change, data, words):
    with pytest.raises(DataError) as caught:
        forecast(tmp_path, change(daily()), **data)
    assert str(caught.value).startswith(f"file://{tmp_path / 'table.csv'}: ")
    assert words in str(caught.value)


def test_other_names_of_labels_do_not_move_rows(tmp_path):
    frame = rows(200)
    words = prepare(tmp_path, frame, task="Classification", target="shop")
    numbers = frame.assign(
        shop=frame["shop"].map({name: n for n, name in enumerate(sorted(set(frame["shop"].dropna())))})
    )
    renamed = prepare(tmp_path, numbers, task="Classification", target="shop")
    assert words.parts.test.tolist() == renamed.parts.test.tolist()
    assert words.holdout_digest != renamed.holdout_digest, "the digest includes the labels"
