"""Forecasts after the newest observation of each series equal those of the framework with the same observations."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.unit.trainer.data.jobs import dataset_of, job
from tests.unit.trainer.job.mean import pod
from tests.unit.trainer.job.predict.runs import Trained, predict, train
from trainyard_trainer.frameworks.base import ForecastFramework
from trainyard_trainer.frameworks.lightgbm_forecast.framework import LightGBMForecastFramework
from trainyard_trainer.job.forecast import requests
from trainyard_trainer.job.forecast.files import ForecastRows

HORIZON = 5
NAMES = ["bread", "cake"]
OUTPUTS = ["prediction", "quantile:0.1", "quantile:0.9"]
COLUMNS = ["series", "time", "as_of", "step", *OUTPUTS, "model", "version", "run"]
SPEC: dict[str, Any] = {
    "target": "sold",
    "task": "Forecast",
    "data": {"time": "day", "series": "product"},
    "forecast": {"horizon": HORIZON, "quantiles": [0.1, 0.9]},
}


def sales(start: str, days: int, names: list[str] = NAMES, form: str = "%Y-%m-%d") -> pd.DataFrame:
    day = pd.date_range(start, periods=days)
    frames = []
    for number, name in enumerate(names, 1):
        random = np.random.default_rng(number + day[0].dayofyear)
        sold = 20 * number + 5 * (day.dayofweek >= 5) + random.normal(0, 1, days)
        frames.append(pd.DataFrame({"day": day.strftime(form), "product": name, "sold": sold.round(3)}))
    return pd.concat(frames, ignore_index=True)


def table(folder: Path, frame: pd.DataFrame, name: str = "new.csv") -> Path:
    frame.to_csv(folder / name, index=False)
    return folder / name


@pytest.fixture(scope="module", params=["LightGBM", "StatsForecast"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp(request.param)
    return train(folder, table(folder, sales("2026-01-01", 120), "old.csv"), framework=request.param, **SPEC)


@pytest.fixture(scope="module")
def lightgbm(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("lightgbm")
    return train(folder, table(folder, sales("2026-01-01", 120), "old.csv"), **SPEC)


def expected(trained: Trained, data: Path, rows: pd.DataFrame, **spec: Any) -> pd.DataFrame:
    """Return the forecasts of the framework after its model was refreshed with the data as a training reads it."""
    framework, model = trained.load()
    config = job(data, framework=trained.framework, **{**SPEC, **spec})
    refreshed = cast("ForecastFramework", framework).refreshed(model, dataset_of(config, pod(trained.pod).work_dir))
    asked = rows[["time", "series"]].rename(columns={"time": "day", "series": "product"})
    found = framework.predict(refreshed.model, asked)
    for folder in (trained.pod / "work").iterdir():
        folder.rmdir()
    return found


def test_forecasts_start_after_the_newest_observations(trained: Trained, tmp_path: Path) -> None:
    data = table(tmp_path, sales("2026-01-01", 150))
    outcome = predict(trained, data, uid="new")
    frame = outcome.frame()
    assert list(frame.columns) == COLUMNS
    assert frame["series"].tolist() == [name for name in NAMES for _ in range(HORIZON)]
    assert frame["step"].tolist() == [1, 2, 3, 4, 5] * 2
    end = pd.Timestamp("2026-05-30")
    assert set(frame["as_of"]) == {end}
    assert frame["time"].tolist() == [*pd.date_range(end, periods=HORIZON + 1)[1:]] * 2
    np.testing.assert_allclose(frame[OUTPUTS], expected(trained, data, frame)[OUTPUTS], rtol=1e-9)
    assert (frame["quantile:0.1"] <= frame["quantile:0.9"]).all()
    assert set(frame["run"]) == {"new"}
    assert outcome.written[0].parent.name == "as_of_date=2026-05-30"
    found = outcome.result.predictions
    assert found is not None
    assert (found.rows, found.series, found.left_out, found.as_of) == (10, 2, 0, "2026-05-30T00:00:00Z")


def test_a_shorter_horizon_has_the_first_steps(trained: Trained, tmp_path: Path) -> None:
    data = table(tmp_path, sales("2026-01-01", 130))
    full = predict(trained, data, uid="full").frame()
    short = predict(trained, data, uid="short", horizon=2).frame()
    first = full[full["step"] <= 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(short.drop(columns="run"), first.drop(columns="run"))


def test_a_longer_horizon_is_refused(lightgbm: Trained, tmp_path: Path) -> None:
    outcome = predict(lightgbm, table(tmp_path, sales("2026-01-01", 130)), uid="long", horizon=6)
    assert outcome.code == 64
    assert "spec.horizon 6" in outcome.message
    assert "5 steps" in outcome.message
    assert outcome.written == []


def test_a_new_series_does_not_fail_the_others(trained: Trained, tmp_path: Path) -> None:
    old, new = sales("2026-01-01", 130), sales("2026-03-01", 71, ["rolls"])
    outcome = predict(trained, table(tmp_path, pd.concat([old, new])), uid="rolls")
    frame, found = outcome.frame(), outcome.result.predictions
    assert found is not None
    if trained.framework == "LightGBM":  # the trees forecast each series
        assert list(frame["series"].unique()) == [*NAMES, "rolls"]
        assert (found.series, found.left_out) == (3, 0)
    else:
        assert list(frame["series"].unique()) == NAMES
        assert (found.series, found.left_out) == (2, 1)
        assert "1 series" in outcome.warnings
        assert "'rolls'" in outcome.warnings


def test_only_unknown_series_are_refused_unless_one_model_forecasts_all(trained: Trained, tmp_path: Path) -> None:
    outcome = predict(trained, table(tmp_path, sales("2026-01-01", 130, ["rolls"])), uid="unknown")
    if trained.framework == "LightGBM":  # its trees forecast each series
        assert outcome.code == 0
        return
    assert outcome.code == 65
    assert "'rolls'" in outcome.message
    assert outcome.written == []


def test_a_series_with_values_that_cannot_be_read_is_left_out(trained: Trained, tmp_path: Path) -> None:
    frame = sales("2026-01-01", 130).astype({"sold": object})
    frame.loc[7, "sold"] = "broken"
    outcome = predict(trained, table(tmp_path, frame), uid="broken")
    assert set(outcome.frame()["series"]) == {"cake"}
    found = outcome.result.predictions
    assert found is not None
    assert (found.series, found.left_out) == (1, 1)
    assert "'bread'" in outcome.warnings
    assert "'broken'" in outcome.warnings


def test_a_series_of_zeros_is_left_out(trained: Trained, tmp_path: Path) -> None:
    frame = sales("2026-04-01", 30)
    frame.loc[frame["product"] == "cake", "sold"] = 0.0
    outcome = predict(trained, table(tmp_path, frame), uid="zeros")
    assert set(outcome.frame()["series"]) == {"bread"}
    assert "'cake': all 30 values are zero" in outcome.warnings


def test_series_of_few_rows_are_forecast(trained: Trained, tmp_path: Path) -> None:
    few = predict(trained, table(tmp_path, sales("2026-05-01", 3)), uid="few").frame()
    assert few["time"].tolist() == [*pd.date_range("2026-05-04", periods=HORIZON)] * 2
    assert few["prediction"].notna().all()


def test_day_first_dates_of_few_rows_are_read_as_in_the_training(tmp_path: Path) -> None:
    old = table(tmp_path, sales("2026-01-01", 120, form="%d.%m.%Y"), "old.csv")
    trained = train(tmp_path / "pod", old, **SPEC)
    new = table(tmp_path, sales("2026-05-01", 12, form="%d.%m.%Y"))  # 01.05. to 12.05. can also be months
    frame = predict(trained, new).frame()
    assert set(frame["as_of"]) == {pd.Timestamp("2026-05-12")}
    assert frame["time"].tolist()[:2] == [pd.Timestamp("2026-05-13"), pd.Timestamp("2026-05-14")]


def test_day_first_dates_with_slashes_are_read_as_in_the_training(tmp_path: Path) -> None:
    old = table(tmp_path, sales("2026-01-01", 120, form="%d/%m/%Y"), "old.csv")
    trained = train(tmp_path / "pod", old, **SPEC)
    new = table(tmp_path, sales("2026-05-01", 12, form="%d/%m/%Y"))
    assert set(predict(trained, new).frame()["as_of"]) == {pd.Timestamp("2026-05-12")}


def test_times_in_another_form_than_in_the_training(tmp_path: Path) -> None:
    old = table(tmp_path, sales("2026-01-01", 120, form="%d.%m.%Y"), "old.csv")
    trained = train(tmp_path / "pod", old, **SPEC)
    frame = sales("2026-01-01", 130)
    frame.assign(day=pd.to_datetime(frame["day"])).to_parquet(tmp_path / "new.parquet")
    for uid, data in (("text", table(tmp_path, frame)), ("parquet", tmp_path / "new.parquet")):
        assert set(predict(trained, data, uid=uid).frame()["as_of"]) == {pd.Timestamp("2026-05-10")}


def test_times_of_a_zone(tmp_path: Path) -> None:
    hours = pd.date_range("2026-03-01", periods=24 * 27, freq="h", tz="Europe/Paris")
    sold = 20 + hours.hour + np.random.default_rng(1).normal(0, 1, len(hours))
    frame = pd.DataFrame({"day": hours.strftime("%Y-%m-%dT%H:%M:%S%z"), "sold": sold})
    spec = {**SPEC, "data": {"time": "day", "timeZone": "Europe/Paris"}, "forecast": {"horizon": 4}}
    trained = train(tmp_path / "pod", table(tmp_path, frame[:600], "old.csv"), **spec)
    outcome = predict(trained, table(tmp_path, frame))
    found = outcome.frame()
    assert outcome.table().schema.field("time").type.tz == "Europe/Paris"
    assert found["as_of"].iloc[0] == hours[-1]
    assert found["time"].tolist() == [hours[-1] + pd.Timedelta(hours=step) for step in (1, 2, 3, 4)]
    result = outcome.result.predictions
    assert result is not None
    assert result.as_of == hours[-1].tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ") == "2026-03-27T22:00:00Z"
    assert outcome.written[0].parent.name == "as_of_date=2026-03-27T220000Z"


def test_one_series_without_a_name(tmp_path: Path) -> None:
    spec = {**SPEC, "data": {"time": "day"}}
    frame = sales("2026-01-01", 140, ["bread"]).drop(columns="product")
    trained = train(tmp_path / "pod", table(tmp_path, frame[:120], "old.csv"), **spec)
    found = predict(trained, table(tmp_path, frame)).frame()
    assert found["step"].tolist() == [1, 2, 3, 4, 5]
    assert found["series"].nunique() == 1
    assert set(found["as_of"]) == {pd.Timestamp("2026-05-20")}


def test_a_covariate_that_is_known_in_the_future(tmp_path: Path) -> None:
    days = pd.date_range("2026-01-01", periods=160)
    price = np.random.default_rng(9).normal(10, 2, len(days)).round(2)
    prices = pd.DataFrame({"at": days.strftime("%Y-%m-%d"), "price": price})
    frame = sales("2026-01-01", 140, ["bread"]).assign(sold=lambda one: one["sold"] - 3 * price[:140])
    covariate = {
        "name": "prices",
        "uri": f"file://{table(tmp_path, prices, 'prices.csv')}",
        "time": "at",
        "columns": ["price"],
        "knownInFuture": True,
    }
    spec = {**SPEC, "data": {"time": "day", "series": "product", "covariates": [covariate]}}
    trained = train(tmp_path / "pod", table(tmp_path, frame[:120], "old.csv"), **spec)
    new = table(tmp_path, frame)
    found = predict(trained, new, uid="known").frame()
    assert set(found["as_of"]) == {pd.Timestamp("2026-05-20")}
    dear = prices.assign(price=np.where(days > pd.Timestamp("2026-05-20"), 16, price))
    other = {**covariate, "uri": f"file://{table(tmp_path, dear, 'dear.csv')}"}
    less = predict(trained, {"uri": f"file://{new}", "covariates": [other]}, uid="dear").frame()
    assert less["prediction"].mean() < found["prediction"].mean() - 5
    short = {**covariate, "uri": f"file://{table(tmp_path, prices[:140], 'short.csv')}"}
    ends = predict(trained, {"uri": f"file://{new}", "covariates": [short]}, uid="short")
    assert ends.code == 0, ends.message
    assert "'prices'" in ends.warnings
    absent = {**covariate, "uri": f"file://{tmp_path}/absent.csv"}
    without = predict(trained, {"uri": f"file://{new}", "covariates": [absent]}, uid="absent")
    assert without.code == 65
    assert "prices" in without.message


def test_observations_that_end_before_the_training(trained: Trained, tmp_path: Path) -> None:
    data = table(tmp_path, sales("2026-01-01", 100))
    outcome = predict(trained, data, uid="earlier")
    frame = outcome.frame()
    assert set(frame["as_of"]) == {pd.Timestamp("2026-04-10")}
    np.testing.assert_allclose(frame[OUTPUTS], expected(trained, data, frame)[OUTPUTS], rtol=1e-9)
    assert "before the end of their training" in outcome.warnings


@pytest.mark.parametrize(("frequency", "count"), [("h", 60), ("W", 30)])
def test_another_frequency_is_refused(trained: Trained, tmp_path: Path, frequency: str, count: int) -> None:
    frame = sales("2026-01-01", count)
    times = pd.date_range("2026-01-01", periods=count, freq=frequency).strftime("%Y-%m-%d %H:%M")
    frame["day"] = [*times, *times]
    outcome = predict(trained, table(tmp_path, frame), uid=f"every-{frequency}")
    assert outcome.code == 65, outcome.warnings
    assert "frequency D" in outcome.message
    assert outcome.written == []


def test_gaps_are_allowed(trained: Trained, tmp_path: Path) -> None:
    frame = sales("2026-01-01", 130)
    kept = np.random.default_rng(8).random(len(frame)) < 0.7
    kept[[129, 259]] = True
    outcome = predict(trained, table(tmp_path, frame[kept]), uid="gaps")
    assert set(outcome.frame()["as_of"]) == {pd.Timestamp("2026-05-10")}


def test_a_missing_target_is_refused(lightgbm: Trained, tmp_path: Path) -> None:
    data = table(tmp_path, sales("2026-01-01", 130).rename(columns={"sold": "Sold"}))
    outcome = predict(lightgbm, data, uid="target")
    assert outcome.code == 65
    assert "'sold' (nearest: 'Sold')" in outcome.message


def test_a_forecast_keeps_no_columns(lightgbm: Trained, tmp_path: Path) -> None:
    outcome = predict(lightgbm, table(tmp_path, sales("2026-01-01", 130)), uid="keep", keep=["product"])
    assert outcome.code == 64
    assert "spec.data.keep" in outcome.message


def test_series_end_at_different_times(trained: Trained, tmp_path: Path) -> None:
    data = table(tmp_path, sales("2026-01-01", 130).drop(index=[128, 129]))
    outcome = predict(trained, data, uid="ends")
    frame = outcome.frame()
    ends = frame.groupby("series")["as_of"].first()
    assert ends.to_dict() == {"bread": pd.Timestamp("2026-05-08"), "cake": pd.Timestamp("2026-05-10")}
    assert frame["time"].iloc[0] == pd.Timestamp("2026-05-09")
    assert outcome.written[0].parent.name == "as_of_date=2026-05-10"
    np.testing.assert_allclose(frame[OUTPUTS], expected(trained, data, frame)[OUTPUTS], rtol=1e-9)


def test_series_with_numbers_as_names(tmp_path: Path) -> None:
    old = sales("2026-01-01", 120, ["007", "A"])
    trained = train(tmp_path / "pod", table(tmp_path, old, "old.csv"), framework="StatsForecast", **SPEC)
    frame = predict(trained, table(tmp_path, sales("2026-01-01", 130, ["007"]))).frame()
    assert set(frame["series"]) == {"007"}


def test_features_of_the_data_and_of_a_series(tmp_path: Path) -> None:
    frame = sales("2026-01-01", 140)
    promotion = np.random.default_rng(3).random(len(frame)) < 0.3
    frame = frame.assign(sold=frame["sold"] + 10 * promotion, promotion=promotion.astype(int), kind="food")
    frame.loc[frame["product"] == "cake", "kind"] = "sweets"
    spec = {**SPEC, "data": {**SPEC["data"], "features": ["promotion"], "static": ["kind"]}}
    first = frame.groupby("product").head(125).astype({"sold": object})
    first.loc[first.groupby("product").cumcount() >= 120, "sold"] = None  # as the promotions are known ahead
    trained = train(tmp_path / "pod", table(tmp_path, first, "old.csv"), **spec)
    ahead = frame.astype({"sold": object})
    rows = ahead.groupby("product").cumcount() >= 135
    ahead.loc[rows, "sold"] = None
    with_promotion = predict(trained, table(tmp_path, ahead.assign(promotion=np.where(rows, 1, promotion))), uid="yes")
    without = predict(trained, table(tmp_path, ahead.assign(promotion=np.where(rows, 0, promotion))), uid="no")
    assert set(with_promotion.frame()["as_of"]) == {pd.Timestamp("2026-05-15")}
    difference = with_promotion.frame()["prediction"] - without.frame()["prediction"]
    assert difference.mean() > 2


def with_visitors(future: int) -> pd.DataFrame:
    """Return observations that follow the visitors of the same day, and rows with visitors after the last of them."""
    frame = sales("2026-01-01", 140)
    visitors = np.random.default_rng(5).integers(0, 20, len(frame))
    frame = frame.assign(sold=frame["sold"] + 3.0 * visitors, visitors=visitors).astype({"sold": object})
    frame.loc[frame.groupby("product").cumcount() >= 140 - future, "sold"] = None
    return frame


@pytest.mark.parametrize("framework", ["LightGBM", "StatsForecast", "Prophet"])
def test_future_values_that_the_training_lacked_are_not_used(tmp_path: Path, framework: str) -> None:
    spec = {**SPEC, "data": {**SPEC["data"], "features": ["visitors"]}, "framework": framework}
    frame = with_visitors(HORIZON)
    observed = frame[frame["sold"].notna()]
    first = observed.groupby("product").head(130)
    trained = train(tmp_path / "pod", table(tmp_path, first, "old.csv"), **spec)
    expected = predict(trained, table(tmp_path, observed, "observed.csv"), uid="observed").frame()
    found = predict(trained, table(tmp_path, frame), uid="future").frame()
    pd.testing.assert_frame_equal(found.drop(columns="run"), expected.drop(columns="run"))


@pytest.mark.parametrize("framework", ["LightGBM", "Prophet"])
def test_future_values_that_the_training_had_are_needed(tmp_path: Path, framework: str) -> None:
    spec = {**SPEC, "data": {**SPEC["data"], "features": ["visitors"]}, "framework": framework}
    trained = train(tmp_path / "pod", table(tmp_path, with_visitors(HORIZON), "old.csv"), **spec)
    found = predict(trained, table(tmp_path, with_visitors(0)), uid="without")
    assert found.code == 65
    assert "future values of 'visitors'" in found.message


def test_duplicate_rows_and_rows_without_values_are_reported(lightgbm: Trained, tmp_path: Path) -> None:
    frame = sales("2026-01-01", 130)
    frame.loc[5, "sold"] = np.nan
    outcome = predict(lightgbm, table(tmp_path, frame), uid="gap")
    assert set(outcome.frame()["series"]) == set(NAMES)
    assert "1 rows without a value in 'sold'" in outcome.warnings


def test_a_table_without_rows_is_refused(lightgbm: Trained, tmp_path: Path) -> None:
    outcome = predict(lightgbm, table(tmp_path, sales("2026-01-01", 1)[:0]), uid="none")
    assert outcome.code == 65
    assert "no rows" in outcome.message


def test_parts_have_the_same_rows_as_one_part(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = table(tmp_path, sales("2026-01-01", 130))
    one = predict(trained, data, uid="one-part").frame()
    monkeypatch.setattr(requests, "_SERIES", 1)
    parts = predict(trained, data, uid="two-parts").frame()
    pd.testing.assert_frame_equal(parts.drop(columns="run"), one.drop(columns="run"))


def test_a_stop_between_two_series_leaves_nothing_and_the_next_attempt_writes_once(
    lightgbm: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = table(tmp_path, sales("2026-01-01", 130))
    monkeypatch.setattr(requests, "_SERIES", 1)
    parts: list[int] = []
    own = ForecastRows.table

    def count(self: ForecastRows, frame: pd.DataFrame) -> pa.Table:
        parts.append(len(frame))
        return own(self, frame)

    with monkeypatch.context() as patched:
        patched.setattr(ForecastRows, "table", count)
        stopped = predict(lightgbm, data, uid="stopped", stop=lambda: bool(parts))
    assert parts == [HORIZON]
    assert stopped.code == 75
    assert stopped.written == []
    assert not (stopped.output / "_runs/stopped.json").exists()
    again = predict(lightgbm, data, uid="stopped")
    assert len(again.frame()) == 2 * HORIZON
    assert predict(lightgbm, data, uid="stopped").frame().equals(again.frame())


def test_forecasts_that_are_not_finite_are_missing_with_a_warning(
    lightgbm: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = LightGBMForecastFramework.predict

    def overflow(self: LightGBMForecastFramework, model: Any, inputs: pd.DataFrame) -> pd.DataFrame:
        found = own(self, model, inputs)
        if pd.Timestamp(inputs["day"].iloc[0]) > pd.Timestamp("2026-05-10"):  # after those of the golden rows
            found.loc[[0, 3], "prediction"] = [np.inf, np.nan]
        return found

    monkeypatch.setattr(LightGBMForecastFramework, "predict", overflow)
    outcome = predict(lightgbm, table(tmp_path, sales("2026-01-01", 130)), uid="overflow")
    missing = outcome.table().column("prediction").is_null().to_pylist()
    assert [row for row, is_missing in enumerate(missing) if is_missing] == [0, 3]
    assert "2 values of the forecast are not finite" in outcome.warnings
