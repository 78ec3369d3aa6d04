"""Predictions for the rows of a table equal those of the framework, and kept columns keep values and types."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.trainer.job.predict.runs import Trained, predict, train
from trainyard_trainer.frameworks.lightgbm.framework import LightGBMFramework
from trainyard_trainer.job.predict import tables

ROWS = 240


def rows(count: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    size = random.normal(50, 10, count).round(2)
    city = random.choice(["Lagos", "Seoul", "Lima"], count)
    frame = pd.DataFrame({"size": size, "rooms": random.integers(1, 6, count), "city": city})
    frame["price"] = (2 * size + 10 * frame["rooms"] + 30 * (city == "Seoul") + random.normal(0, 1, count)).round(2)
    frame["sold"] = np.where(frame["price"] > frame["price"].median(), "yes", "no")
    return frame


def table(folder: Path, frame: pd.DataFrame, name: str = "new.csv") -> Path:
    if name.endswith(".parquet"):
        frame.to_parquet(folder / name, index=False)
    else:
        frame.to_csv(folder / name, index=False)
    return folder / name


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("regression")
    data = table(folder, rows(ROWS, 1).drop(columns="sold"), "old.csv")
    return train(folder, data, target="price")


@pytest.fixture(scope="module")
def classification(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("classification")
    data = table(folder, rows(ROWS, 1).drop(columns="price"), "old.csv")
    return train(folder, data, target="sold", task="Classification")


FEATURES = ["size", "rooms", "city"]


def expected(trained: Trained, frame: pd.DataFrame) -> pd.DataFrame:
    framework, model = trained.load()
    return framework.predict(model, frame)


def test_a_regression_predicts_as_its_framework(regression: Trained, tmp_path: Path) -> None:
    new = rows(30, 2)[FEATURES]
    found = predict(regression, table(tmp_path, new), uid="plain").table()
    assert found.schema.names == ["prediction", "model", "version", "run", "predicted_at"]
    frame = found.to_pandas()
    np.testing.assert_array_equal(frame["prediction"], expected(regression, new)["prediction"])
    assert set(frame["model"]) == {"demand"}
    assert set(frame["version"]) == {1}
    assert set(frame["run"]) == {"plain"}
    moments = set(frame["predicted_at"])
    assert len(moments) == 1
    assert timedelta(0) <= datetime.now(UTC) - moments.pop() < timedelta(minutes=5)
    assert found.schema.field("predicted_at").type == pa.timestamp("us", "UTC")


def test_a_classification_predicts_labels_and_probabilities(classification: Trained, tmp_path: Path) -> None:
    new = rows(30, 2)[FEATURES]
    frame = predict(classification, table(tmp_path, new), uid="classes").frame()
    outputs = ["prediction", "probability:no", "probability:yes"]
    assert list(frame.columns[:3]) == outputs
    pd.testing.assert_frame_equal(frame[outputs], expected(classification, new)[outputs], check_dtype=False)
    assert set(frame["prediction"]) == {"no", "yes"}


def test_the_best_candidate_of_auto_predicts(tmp_path: Path) -> None:
    data = table(tmp_path, rows(120, 1).drop(columns="sold"), "old.csv")
    trained = train(tmp_path / "pod", data, framework="Auto", target="price", activeDeadlineSeconds=120)
    new = rows(20, 2)[FEATURES]
    frame = predict(trained, table(tmp_path, new)).frame()
    np.testing.assert_array_equal(frame["prediction"], expected(trained, new)["prediction"])


def test_the_target_and_other_columns_have_no_effect(regression: Trained, tmp_path: Path) -> None:
    new = rows(20, 2)
    without = predict(regression, table(tmp_path, new[FEATURES]), uid="without").frame()
    more = new.assign(price="unknown", note="extra")[["note", "price", "city", "rooms", "size"]]
    with_more = predict(regression, table(tmp_path, more, "more.csv"), uid="more").frame()
    assert with_more["prediction"].tolist() == without["prediction"].tolist()
    assert list(with_more.columns) == list(without.columns)


def test_unknown_categories_and_missing_values_count_as_missing(regression: Trained, tmp_path: Path) -> None:
    new = rows(4, 2)[FEATURES]
    new.loc[0, "city"] = "Oslo"
    new.loc[1, "city"] = None
    new.loc[2, "size"] = np.nan
    new.loc[3, ["size", "rooms"]] = np.nan
    frame = predict(regression, table(tmp_path, new), uid="unknown").frame()
    np.testing.assert_array_equal(frame["prediction"], expected(regression, new)["prediction"])
    assert frame["prediction"].notna().all()
    as_missing = new.assign(city=[None, *new["city"][1:]])
    np.testing.assert_array_equal(frame["prediction"], expected(regression, as_missing)["prediction"])


def test_kept_columns_of_a_parquet_file_keep_values_and_types(regression: Trained, tmp_path: Path) -> None:
    new = rows(4, 2)[FEATURES]
    kept = {
        "id": pa.array(["007", "12", None, "0"]),
        "number": pa.array([1, 2**53 + 1, -5, 0], pa.int64()),
        "count": pa.array([1, None, 3, 4], pa.int64()),
        "at": pa.array([datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)], pa.timestamp("us", "UTC")),
        "flag": pa.array([True, None, False, True]),
        "share": pa.array([0.1, None, 2.5, 3.0]),
    }
    source = pa.Table.from_pandas(new, preserve_index=False)
    for name, values in kept.items():
        source = source.append_column(name, values)
    pq.write_table(source, tmp_path / "new.parquet")
    found = predict(regression, tmp_path / "new.parquet", uid="kept", keep=["size", *kept]).table()
    assert found.schema.names[: len(kept) + 1] == ["size", *kept]
    for name, values in kept.items():
        assert found.column(name).to_pylist() == values.to_pylist(), name
    assert found.column("size").to_pylist() == new["size"].tolist()
    types = {name: str(found.schema.field(name).type) for name in kept}
    assert types == {
        "id": "string",
        "number": "int64",
        "count": "int64",
        "at": "timestamp[us, tz=UTC]",
        "flag": "bool",
        "share": "double",
    }


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (["007", "010", "123"], ["007", "010", "123"]),
        (["12e3", "13e3", "1"], ["12e3", "13e3", "1"]),
        (["12345678901234567890", "1", "2"], ["12345678901234567890", "1", "2"]),
        (["7", "-10", "0"], [7, -10, 0]),
        (["7", "", "9"], [7, None, 9]),
        (["0.5", "1e-07", ""], [0.5, 1e-07, None]),
        (["true", "false", ""], [True, False, None]),
        (["a, b", "", "NA"], ["a, b", None, None]),
        (["2026-01-01", "2026-01-02", ""], [datetime(2026, 1, 1), datetime(2026, 1, 2), None]),  # noqa: DTZ001
        (
            ["2026-01-01 03:10:00", "2026-01-02 04:00:00.5", ""],
            [datetime(2026, 1, 1, 3, 10), datetime(2026, 1, 2, 4, 0, 0, 500_000), None],  # noqa: DTZ001
        ),
        (["01.02.2026", "13.02.2026", "x"], ["01.02.2026", "13.02.2026", "x"]),
    ],
)
def test_kept_columns_of_a_csv_file_keep_their_values(
    regression: Trained, tmp_path: Path, written: list[str], kept: list[Any]
) -> None:
    new = rows(3, 2)[FEATURES].assign(id=written)
    found = predict(regression, table(tmp_path, new), uid=f"{tmp_path.name}", keep=["id"]).table().column("id")
    assert found.to_pylist() == kept
    assert {type(value) for value in found.to_pylist()} == {type(value) for value in kept}


def test_a_kept_feature_has_its_own_value_also_with_an_unknown_category(regression: Trained, tmp_path: Path) -> None:
    new = rows(3, 2)[FEATURES].assign(city=["Oslo", "Lima", None])
    frame = predict(regression, table(tmp_path, new), uid="kept-feature", keep=["city", "city", "rooms"]).frame()
    assert list(frame.columns[:3]) == ["city", "rooms", "prediction"]
    assert frame["city"].astype(object).fillna("missing").tolist() == ["Oslo", "Lima", "missing"]
    assert frame["rooms"].tolist() == new["rooms"].tolist()


def test_the_target_can_be_kept(regression: Trained, tmp_path: Path) -> None:
    new = rows(3, 2)
    frame = predict(regression, table(tmp_path, new), uid="kept-target", keep=["price"]).frame()
    assert frame["price"].tolist() == new["price"].tolist()


def test_a_table_without_rows_is_refused(regression: Trained, tmp_path: Path) -> None:
    for name in ("none.parquet", "none.csv"):
        outcome = predict(regression, table(tmp_path, rows(0, 2)[FEATURES], name), uid=name[-3:], keep=["size"])
        assert outcome.code == 65
        assert "no rows" in outcome.message
        assert outcome.written == []


def test_parts_have_the_same_rows_as_one_part(
    classification: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = rows(25, 2)[FEATURES].assign(id=[f"n{number}" for number in range(25)])
    one = predict(classification, table(tmp_path, new), uid="one", keep=["id"]).frame()
    monkeypatch.setattr(tables, "_ROWS", 7)
    parts = predict(classification, table(tmp_path, new), uid="parts", keep=["id"]).frame()
    columns = ["id", "prediction", "probability:no", "probability:yes"]
    pd.testing.assert_frame_equal(parts[columns], one[columns])
    assert parts["id"].tolist() == new["id"].tolist()
    assert parts["predicted_at"].nunique() == 1


def test_predictions_that_are_not_finite_are_missing_with_a_warning(
    regression: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = LightGBMFramework.predict

    def overflow(self: LightGBMFramework, model: Any, inputs: pd.DataFrame) -> pd.DataFrame:
        found = own(self, model, inputs)
        return found.where(inputs["rooms"].to_numpy()[:, None] != 77, np.inf)

    monkeypatch.setattr(LightGBMFramework, "predict", overflow)
    new = rows(5, 2)[FEATURES].assign(rooms=[1, 77, 2, 77, 3])
    outcome = predict(regression, table(tmp_path, new), uid="overflow")
    assert outcome.table().column("prediction").is_null().to_pylist() == [False, True, False, True, False]
    assert "2 predictions are not finite" in outcome.warnings


# ---- values are read as in the training ------------------------------------------------------------------------------


def test_numbers_are_read_as_in_the_training(tmp_path: Path) -> None:
    old = rows(ROWS, 1)[["size", "rooms", "price"]]
    old.to_csv(tmp_path / "old.csv", index=False, sep=";", decimal=",")
    trained = train(tmp_path / "pod", tmp_path / "old.csv", target="price")
    new = rows(12, 2)[["size", "rooms"]]
    new.to_csv(tmp_path / "new.csv", index=False, sep=";", decimal=",")
    frame = predict(trained, tmp_path / "new.csv").frame()
    np.testing.assert_array_equal(frame["prediction"], expected(trained, new)["prediction"])


def test_ambiguous_numbers_are_refused_unless_the_job_says_how_to_read_them(tmp_path: Path) -> None:
    old = rows(ROWS, 1)[["size", "rooms", "price"]]
    old.to_csv(tmp_path / "old.csv", index=False, sep=";", decimal=",")
    trained = train(tmp_path / "pod", tmp_path / "old.csv", target="price")
    (tmp_path / "new.csv").write_text("size;rooms\n51,234;3\n61,123;2\n")
    outcome = predict(trained, tmp_path / "new.csv")
    assert outcome.code == 65
    assert "'size'" in outcome.message
    assert "'51,234' can be 51234 or 51.234" in outcome.message
    assert "data.csv.decimal" in outcome.message
    data = {"uri": f"file://{tmp_path}/new.csv", "csv": {"decimal": ","}}
    frame = predict(trained, data, uid="decimal").frame()
    new = pd.DataFrame({"size": [51.234, 61.123], "rooms": [3, 2]})
    np.testing.assert_array_equal(frame["prediction"], expected(trained, new)["prediction"])


def test_numbers_with_a_unit_are_read_as_in_the_training(tmp_path: Path) -> None:
    old = rows(ROWS, 1)[["size", "rooms", "price"]]
    table(tmp_path, old.assign(size=old["size"].astype(str) + " %"), "old.csv")
    trained = train(tmp_path / "pod", tmp_path / "old.csv", target="price")
    new = rows(12, 2)[["size", "rooms"]]
    frame = predict(trained, table(tmp_path, new.assign(size=new["size"].astype(str) + " %"))).frame()
    np.testing.assert_array_equal(frame["prediction"], expected(trained, new)["prediction"])


def test_a_word_in_a_numeric_feature_counts_as_missing_with_a_warning(regression: Trained, tmp_path: Path) -> None:
    new = rows(30, 2)[FEATURES]
    words = new.assign(size=["broken", "n/a", *new["size"][2:].astype(str)])
    outcome = predict(regression, table(tmp_path, words), uid="words")
    missing = new.assign(size=[np.nan, np.nan, *new["size"][2:]])
    np.testing.assert_array_equal(outcome.frame()["prediction"], expected(regression, missing)["prediction"])
    assert "'size'" in outcome.warnings
    assert "'broken'" in outcome.warnings


def test_a_feature_without_any_number_is_refused(regression: Trained, tmp_path: Path) -> None:
    new = rows(5, 2)[FEATURES].assign(size="large")
    outcome = predict(regression, table(tmp_path, new), uid="no-numbers")
    assert outcome.code == 65
    assert "'size'" in outcome.message
    assert "'large'" in outcome.message
    assert outcome.written == []


def test_booleans_with_missing_values_are_numbers(tmp_path: Path) -> None:
    old = rows(ROWS, 1)[["size", "price"]]
    garden = np.random.default_rng(5).random(ROWS) < 0.5
    old = old.assign(price=old["price"] + 20 * garden, garden=np.where(garden, "true", "false"))
    trained = train(tmp_path / "pod", table(tmp_path, old, "old.csv"), target="price")
    new = pd.DataFrame({"size": [50.0, 50.0, 50.0], "garden": ["true", "false", None]})
    frame = predict(trained, table(tmp_path, new)).frame()
    numbers = new.assign(garden=[1.0, 0.0, np.nan])
    np.testing.assert_array_equal(frame["prediction"], expected(trained, numbers)["prediction"])


# ---- covariates ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weather(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    folder = tmp_path_factory.mktemp("weather")
    hours = pd.date_range("2026-01-01", periods=ROWS, freq="h")
    temp = np.random.default_rng(4).normal(20, 5, ROWS).round(1)
    pd.DataFrame({"at": hours, "temp": temp}).to_csv(folder / "weather.csv", index=False)
    size = np.random.default_rng(6).normal(50, 10, ROWS).round(1)
    old = pd.DataFrame({"hour": hours + pd.Timedelta(minutes=30), "size": size, "price": size + 3 * temp})
    trained = train(
        folder / "pod",
        table(folder, old, "old.csv"),
        target="price",
        data={"time": "hour", "covariates": [covariate(folder / "weather.csv")]},
    )
    return trained, folder / "weather.csv"


def covariate(file: Path, **fields: Any) -> dict[str, Any]:
    return {"name": "weather", "uri": f"file://{file}", "time": "at", "columns": ["temp"], **fields}


def test_a_covariate_is_joined_by_time(weather: tuple[Trained, Path], tmp_path: Path) -> None:
    trained, file = weather
    new = pd.DataFrame(
        {"hour": ["2026-01-02 03:10", "2026-01-01 00:59", "2025-12-31 10:00"], "size": [40.0, 50.0, 60.0]}
    )
    outcome = predict(trained, table(tmp_path, new), uid="joined", keep=["hour"])
    temp = pd.read_csv(file)["temp"]
    joined = new.assign(**{"weather.temp": [temp[27], temp[0], np.nan]})
    np.testing.assert_array_equal(outcome.frame()["prediction"], expected(trained, joined)["prediction"])
    assert "'weather' has no value for 1 of 3 rows" in outcome.warnings


def test_another_covariate_table_replaces_that_of_the_training(weather: tuple[Trained, Path], tmp_path: Path) -> None:
    trained, _ = weather
    pd.DataFrame({"at": ["2027-01-01"], "temp": [31.5]}).to_csv(tmp_path / "later.csv", index=False)
    new = pd.DataFrame({"hour": ["2027-01-01 03:10"], "size": [40.0]})
    data = {"uri": f"file://{table(tmp_path, new)}", "covariates": [covariate(tmp_path / "later.csv")]}
    frame = predict(trained, data, uid="later").frame()
    joined = new.assign(**{"weather.temp": 31.5})
    np.testing.assert_array_equal(frame["prediction"], expected(trained, joined)["prediction"])


def test_an_optional_covariate_that_cannot_be_read_is_missing(weather: tuple[Trained, Path], tmp_path: Path) -> None:
    trained, _ = weather
    new = pd.DataFrame({"hour": ["2026-01-02 03:10"], "size": [40.0]})
    data = {"uri": f"file://{table(tmp_path, new)}", "covariates": [covariate(tmp_path / "absent.csv")]}
    outcome = predict(trained, data, uid="absent")
    joined = new.assign(**{"weather.temp": np.nan})
    np.testing.assert_array_equal(outcome.frame()["prediction"], expected(trained, joined)["prediction"])
    assert "weather" in outcome.warnings
    required = {**data, "covariates": [covariate(tmp_path / "absent.csv", required=True)]}
    assert predict(trained, required, uid="required").code == 69


def test_a_covariate_of_another_name_is_not_that_of_the_training(weather: tuple[Trained, Path], tmp_path: Path) -> None:
    trained, file = weather
    new = pd.DataFrame({"hour": ["2026-01-02 03:10"], "size": [40.0]})
    data = {"uri": f"file://{table(tmp_path, new)}", "covariates": [covariate(file, name="clouds")]}
    outcome = predict(trained, data, uid="clouds")
    assert outcome.code == 65
    assert "weather.temp" in outcome.message


def test_a_covariate_is_joined_by_series(tmp_path: Path) -> None:
    hours = pd.date_range("2026-01-01", periods=ROWS // 2, freq="h")
    random = np.random.default_rng(4)
    cities = [f"00{number % 2 + 7}" for number in range(ROWS)]
    temp = pd.DataFrame({"at": [*hours, *hours], "city": sorted(cities), "temp": random.normal(20, 5, ROWS).round(1)})
    temp.to_csv(tmp_path / "weather.csv", index=False)
    by_city = temp.set_index(["city", "at"])["temp"]
    times = [hours[number // 2] for number in range(ROWS)]
    size = random.normal(50, 10, ROWS).round(1)
    price = size + 3 * by_city.loc[list(zip(cities, times, strict=True))].to_numpy()
    old = pd.DataFrame({"hour": [one + pd.Timedelta(minutes=30) for one in times], "city": cities, "size": size})
    trained = train(
        tmp_path / "pod",
        table(tmp_path, old.assign(price=price), "old.csv"),
        target="price",
        data={"time": "hour", "series": "city", "covariates": [covariate(tmp_path / "weather.csv")]},
    )
    new = old.iloc[40:60].reset_index(drop=True)
    frame = predict(trained, table(tmp_path, new), keep=["city"]).frame()
    joined = new.assign(**{"weather.temp": by_city.loc[list(zip(cities[40:60], times[40:60], strict=True))].to_numpy()})
    np.testing.assert_array_equal(frame["prediction"], expected(trained, joined)["prediction"])
    assert frame["city"].tolist() == new["city"].tolist()


def test_categories_that_look_like_numbers(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    code = random.choice(["A1", "007", "7", "12e3"], ROWS)
    old = pd.DataFrame({"code": code, "price": 10.0 * (code == "007") + 30 * (code == "7") + random.normal(0, 1, ROWS)})
    parameters = {"num_iterations": 50, "min_data_per_group": 5, "cat_smooth": 1}
    trained = train(tmp_path / "pod", table(tmp_path, old, "old.csv"), target="price", parameters=parameters)
    new = pd.DataFrame({"code": ["007", "7", "12000"]})  # all of them could be numbers
    frame = predict(trained, table(tmp_path, new), keep=["code"]).frame()
    np.testing.assert_array_equal(frame["prediction"], expected(trained, new)["prediction"])
    assert frame["prediction"][1] > frame["prediction"][0] + 10
    assert frame["code"].tolist() == ["007", "7", "12000"]


def test_infinite_values_count_as_missing(regression: Trained, tmp_path: Path) -> None:
    new = rows(3, 2)[FEATURES].assign(size=[np.inf, -np.inf, 40.0])
    outcome = predict(regression, table(tmp_path, new, "new.parquet"), uid="infinite")
    missing = new.assign(size=[np.nan, np.nan, 40.0])
    np.testing.assert_array_equal(outcome.frame()["prediction"], expected(regression, missing)["prediction"])
    assert "2 infinite values in 'size'" in outcome.warnings


def test_times_are_not_numbers(regression: Trained, tmp_path: Path) -> None:
    new = rows(3, 2)[FEATURES].assign(size=pd.date_range("2026-01-01", periods=3))
    outcome = predict(regression, table(tmp_path, new, "new.parquet"), uid="times")
    assert outcome.code == 65
    assert "'size'" in outcome.message
