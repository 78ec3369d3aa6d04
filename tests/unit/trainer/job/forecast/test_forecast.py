"""Every training of series writes a forecast: the predictions of the saved model, with the times of the user."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.unit.trainer.data.jobs import dataset_of, environment, job
from tests.unit.trainer.job.mean import MeanFramework, pod
from trainyard_api.wire import TrainerConfig, TrainingResult
from trainyard_trainer.artifacts.manifest import sha256_of
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.loading import load
from trainyard_trainer.data.preprocessing import preprocess
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.errors import ConfigError, Interrupted
from trainyard_trainer.frameworks.registry import framework_for
from trainyard_trainer.job.forecast.write_forecast import WrittenForecast, write_forecast
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import JsonLines

HORIZON = 5
LENGTHS = {"bread": 120, "cake": 110, "rolls, plain": 120}
QUICK: dict[str, dict[str, Any]] = {
    "LightGBM": {"parameters": {"num_iterations": 30}},
    "Prophet": {"workers": 2},
    "Torch": {"parameters": {"epochs": 2, "hidden": [8]}},
}


def shop(folder: Path) -> Path:
    random = np.random.default_rng(3)
    frames = []
    for number, (name, length) in enumerate(LENGTHS.items(), 1):
        day = pd.date_range("2026-01-01", periods=length)
        sold = 20 * number + 5 * (day.dayofweek >= 5) + random.normal(0, 1, length)
        frames.append(pd.DataFrame({"day": day, "product": name, "sold": sold}))
    pd.concat(frames).to_csv(folder / "shop.csv", index=False)
    return folder / "shop.csv"


def config_of(folder: Path, framework: str, uid: str, **spec: Any) -> TrainerConfig:
    fields = {"framework": framework, "storage": {"uri": "pvc://models/all"}, **QUICK[framework], **spec}
    fields["forecast"] = {"horizon": HORIZON, "quantiles": [0.9, 0.1], **spec.get("forecast", {})}
    data = {"time": "day", "series": "product"}
    config = job(shop(folder), target="sold", task="Forecast", data=data, **fields)
    return config.model_copy(update={"uid": uid, "model_name": "demand"})


def trained(folder: Path, config: TrainerConfig) -> tuple[TrainingResult, Path]:
    env = pod(folder)
    assert run_job(lambda: config, env, lambda: False, display=JsonLines()) == 0
    result = TrainingResult.model_validate_json(env.termination_log.read_bytes())
    return result, folder / "claims/models/all/demo/demand/runs" / config.uid / "1"


@pytest.mark.parametrize("framework", ["LightGBM", "Prophet", "Torch"])
def test_the_forecast_has_the_steps_after_each_series(tmp_path: Path, framework: str) -> None:
    config = config_of(tmp_path, framework, "run-1")
    result, folder = trained(tmp_path, config)
    table = pq.read_table(folder / "forecast.parquet").to_pandas()
    assert list(table.columns) == [
        *("series", "time", "as_of", "step", "prediction", "quantile:0.1", "quantile:0.9", "model", "version", "run")
    ]
    assert table["series"].tolist() == [name for name in LENGTHS for _ in range(HORIZON)]
    assert table["step"].tolist() == [1, 2, 3, 4, 5] * 3
    for name, length in LENGTHS.items():
        rows = table[table["series"] == name]
        end = pd.Timestamp("2026-01-01") + pd.Timedelta(days=length - 1)
        assert set(rows["as_of"]) == {end}
        assert rows["time"].tolist() == list(pd.date_range(end, periods=HORIZON + 1)[1:])
    assert set(table["model"]) == {"demand"}
    assert set(table["run"]) == {"run-1"}
    assert result.model_version is not None
    assert set(table["version"]) == {result.model_version.version}

    request = table[["time", "series"]].rename(columns={"time": "day", "series": "product"})
    own = framework_for(config)
    predictions = own.predict(own.load(folder), request)
    np.testing.assert_allclose(table[predictions.columns], predictions, rtol=1e-6)
    assert (table["quantile:0.1"] <= table["quantile:0.9"]).all()

    text = (folder / "forecast.csv").read_bytes().decode()
    assert text.splitlines()[1].startswith("bread,2026-05-01,2026-04-30,1,")
    assert "\r" not in text
    read = pd.read_csv(folder / "forecast.csv", parse_dates=["time", "as_of"])
    pd.testing.assert_frame_equal(read, table, check_dtype=False, check_exact=False)

    manifest = json.loads((folder / "manifest.json").read_text())
    listed = {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    for file in ("forecast.parquet", "forecast.csv"):
        assert listed[file] == sha256_of((folder / file).read_bytes())
    assert result.forecast == "pvc://models/all/demo/demand/runs/run-1/1/forecast.parquet"
    page = (folder / "report.html").read_text()
    assert "Forecast of the next 5 steps" in page
    assert "from quantile 0.1 to 0.9" in page


def test_two_jobs_with_equal_data_have_equal_content_digests(tmp_path: Path) -> None:
    digests, tables = [], []
    for uid in ("run-1", "run-2"):
        _, folder = trained(tmp_path, config_of(tmp_path, "LightGBM", uid))
        digests.append(json.loads((folder / "manifest.json").read_text())["contentSha256"])
        tables.append(pd.read_parquet(folder / "forecast.parquet"))
    assert [table.pop("run").unique().tolist() for table in tables] == [["run-1"], ["run-2"]]
    assert [table.pop("version").unique().tolist() for table in tables] == [[1], [2]]
    assert digests[0] == digests[1]
    pd.testing.assert_frame_equal(*tables)


# ---- any framework, here an echo -------------------------------------------------------------------------------------


class Echo(MeanFramework):
    """Predicts its first covariate, or else the position of the row in the table. It records its requests."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[pd.DataFrame] = []
        self.bad: float | None = None

    def predict(self, model: Any, inputs: pd.DataFrame) -> pd.DataFrame:  # noqa: ARG002 - the protocol's
        self.requests.append(inputs)
        beside = [name for name in inputs.columns if "." in name]
        values = inputs[beside[0]].to_numpy() if beside else np.arange(len(inputs), dtype=float)
        return pd.DataFrame({"prediction": values if self.bad is None else np.full(len(inputs), self.bad)})


def forecast(
    config: TrainerConfig, dataset: Dataset, folder: Path, framework: Echo | None = None, stop: Any = lambda: False
) -> tuple[WrittenForecast, pd.DataFrame]:
    ahead = write_forecast(
        framework or Echo(), None, dataset, config, folder, version=7, progress=lambda *_: None, stop=stop
    )
    return ahead, pd.read_parquet(folder / "forecast.parquet")


def lines(folder: Path) -> Iterator[list[str]]:
    return (line.split(",") for line in (folder / "forecast.csv").read_text().splitlines()[1:])


def written(folder: Path, times: list[str], **spec: Any) -> TrainerConfig:
    values = 5.0 + np.arange(len(times)) % 7
    pd.DataFrame({"ds": times, "y": values}).to_csv(folder / "t.csv", index=False)
    return job(folder / "t.csv", task="Forecast", **spec)


def test_hours_of_a_time_zone_have_its_offset_also_when_clocks_change(tmp_path: Path) -> None:
    hours = pd.date_range("2026-03-20", "2026-03-29T00:00", freq="h", tz="Europe/Paris")
    config = written(
        tmp_path,
        [hour.isoformat() for hour in hours],
        data={"timeZone": "Europe/Paris"},
        forecast={"horizon": 4},
    )
    _, table = forecast(config, dataset_of(config, tmp_path), tmp_path)
    wanted = pd.date_range("2026-03-29T01:00", periods=4, freq="h", tz="Europe/Paris")
    assert table["time"].tolist() == list(wanted)
    assert [line[1] for line in lines(tmp_path)] == [
        *("2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"),
        *("2026-03-29T04:00:00+02:00", "2026-03-29T05:00:00+02:00"),
    ]
    assert {line[2] for line in lines(tmp_path)} == {"2026-03-29T00:00:00+01:00"}


def test_days_of_a_time_zone_are_dates(tmp_path: Path) -> None:
    days = pd.date_range("2026-01-01", "2026-03-28", tz="Europe/Paris")
    config = written(
        tmp_path, [day.isoformat() for day in days], data={"timeZone": "Europe/Paris"}, forecast={"horizon": 2}
    )
    _, table = forecast(config, dataset_of(config, tmp_path), tmp_path)
    assert table["time"].tolist() == list(pd.date_range("2026-03-29", periods=2))
    assert [line[1] for line in lines(tmp_path)] == ["2026-03-29", "2026-03-30"]


@pytest.mark.parametrize(
    ("times", "ahead"),
    [
        (pd.date_range("2021-01-31", "2026-01-31", freq="ME"), ["2026-02-28", "2026-03-31"]),
        (pd.date_range("2021-01-01", "2026-01-01", freq="MS"), ["2026-02-01", "2026-03-01"]),
        (pd.date_range("2026-01-01", "2026-05-01", freq="B"), ["2026-05-04", "2026-05-05"]),
        (pd.date_range("2024-01-01", "2026-01-05", freq="W-MON"), ["2026-01-12", "2026-01-19"]),
        (
            pd.date_range("2026-01-01T06:30", periods=60, freq="D"),
            ["2026-03-02T06:30:00", "2026-03-03T06:30:00"],
        ),
        (pd.date_range("2026-01-01", periods=97, freq="15min"), ["2026-01-02T00:15:00", "2026-01-02T00:30:00"]),
    ],
    ids=["month ends", "month begins", "business days", "weeks", "mornings", "quarters of an hour"],
)
def test_times_continue_as_in_the_data(tmp_path: Path, times: pd.DatetimeIndex, ahead: list[str]) -> None:
    config = written(tmp_path, [time.isoformat() for time in times], forecast={"horizon": 2})
    _, table = forecast(config, dataset_of(config, tmp_path), tmp_path)
    assert table["time"].tolist() == [pd.Timestamp(time) for time in ahead]
    assert [line[1] for line in lines(tmp_path)] == ahead


@pytest.mark.parametrize(
    ("alias", "end", "ahead"),
    [
        ("BME", "2026-01-30", ["2026-02-27", "2026-03-31"]),
        ("BMS", "2026-07-01", ["2026-08-03", "2026-09-01"]),
        ("QE", "2026-02-28", ["2026-05-31", "2026-08-31"]),
        ("MS", "2026-01-31", ["2026-02-28", "2026-03-31"]),
        ("MS", "2025-12-15", ["2026-01-15", "2026-02-15"]),
        ("YE", "2024-02-29", ["2025-02-28", "2026-02-28"]),
        ("6ME", "2026-06-30", ["2026-12-31", "2027-06-30"]),
    ],
)
def test_months_have_their_days(alias: str, end: str, ahead: list[str]) -> None:
    found = frequency_of(alias).after(np.array([end], "datetime64[ns]"), 2)
    assert found[0].astype("datetime64[D]").astype(str).tolist() == ahead


def with_rain(folder: Path, until: str, *, keyed: bool = False) -> tuple[TrainerConfig, Dataset]:
    days = pd.date_range("2026-01-01", periods=100)
    sold = pd.DataFrame({"ds": np.tile(days, 2), "shop": np.repeat(["a", "b"], 100), "y": np.arange(200.0) % 9 + 1})
    sold.to_csv(folder / "t.csv", index=False)
    rain = pd.DataFrame({"ds": pd.date_range("2026-01-01", until)})
    rain["mm"] = np.arange(len(rain), dtype=float)
    if keyed:
        rain = pd.concat([rain.assign(shop="a"), rain.assign(shop="b", mm=-rain["mm"]).head(101)])
    rain.to_csv(folder / "rain.csv", index=False)
    covariate = {"name": "rain", "uri": f"file://{folder}/rain.csv", "time": "ds", "columns": ["mm"]}
    config = job(
        folder / "t.csv",
        task="Forecast",
        data={"series": "shop", "covariates": [{**covariate, "knownInFuture": True}]},
        forecast={"horizon": 3},
    )
    table = load(config, environment(folder), lambda *_: None, lambda: False)
    return config, preprocess(table, config)


def test_known_covariates_are_part_of_the_request(tmp_path: Path) -> None:
    config, dataset = with_rain(tmp_path, "2026-04-30")
    framework = Echo()
    _, table = forecast(config, dataset, tmp_path, framework)
    assert table["prediction"].tolist() == [100.0, 101.0, 102.0] * 2
    assert list(framework.requests[0].columns) == ["ds", "shop", "rain.mm"]
    assert "CovariateEndsEarly" not in {finding.code for finding in dataset.findings}


def test_missing_future_covariates_are_reported(tmp_path: Path) -> None:
    config, dataset = with_rain(tmp_path, "2026-04-11")
    framework = Echo()
    forecast(config, dataset, tmp_path, framework)
    np.testing.assert_array_equal(framework.requests[0]["rain.mm"], [100.0, np.nan, np.nan] * 2)
    (finding,) = (one for one in dataset.findings if one.code == "CovariateEndsEarly")
    assert finding.severity == "warning"
    assert finding.message.startswith("covariate 'rain' has no value for 4 of 6 steps")
    assert "2026-04-13" in finding.message


def test_each_series_has_its_own_covariates(tmp_path: Path) -> None:
    config, dataset = with_rain(tmp_path, "2026-04-30", keyed=True)
    framework = Echo()
    forecast(config, dataset, tmp_path, framework)
    np.testing.assert_array_equal(framework.requests[0]["rain.mm"], [100, 101, 102, -100, np.nan, np.nan])
    np.testing.assert_array_equal(dataset.frame["rain.mm"].to_numpy()[[0, 99, 100, 199]], [0, 99, 0, -99])


def test_values_that_are_not_finite_are_empty_and_reported(tmp_path: Path) -> None:
    config = written(tmp_path, [f"2026-01-{day:02}" for day in range(1, 32)], forecast={"horizon": 2})
    framework = Echo()
    framework.bad = np.inf
    ahead, table = forecast(config, dataset_of(config, tmp_path), tmp_path, framework)
    assert table["prediction"].isna().all()
    assert ahead.warnings == ("2 values of the forecast are not finite: they are empty in forecast.parquet",)


def test_many_series_are_predicted_in_parts_and_in_order(tmp_path: Path) -> None:
    count = 250
    days = pd.date_range("2026-01-01", periods=30)
    table = pd.DataFrame({"ds": np.tile(days, count), "s": np.repeat(np.arange(1000, 1000 + count), 30), "y": 1.0})
    table["y"] += np.arange(len(table)) % 5
    table.to_csv(tmp_path / "t.csv", index=False)
    config = job(tmp_path / "t.csv", task="Forecast", data={"series": "s"}, forecast={"horizon": 2})
    framework = Echo()
    ahead, found = forecast(config, dataset_of(config, tmp_path), tmp_path, framework)
    assert [len(request) for request in framework.requests] == [200, 200, 100]
    assert found["series"].tolist() == [str(name) for name in range(1000, 1000 + count) for _ in range(2)]
    assert ahead.plotted["series"].nunique() == 6


def test_a_stop_interrupts_the_forecast(tmp_path: Path) -> None:
    config = written(tmp_path, [f"2026-01-{day:02}" for day in range(1, 32)])
    with pytest.raises(Interrupted, match="stopped while the forecast was written"):
        forecast(config, dataset_of(config, tmp_path), tmp_path, stop=lambda: True)


def test_a_horizon_beyond_the_range_of_times_is_refused(tmp_path: Path) -> None:
    weeks, years = (
        [time.isoformat() for time in pd.date_range("1990-01-01", periods=40, freq=step)] for step in ("W-MON", "YS")
    )
    config = written(tmp_path, weeks, forecast={"horizon": 10_000})
    assert dataset_of(config, tmp_path).rows == 40, "192 years are well within"
    config = written(tmp_path, years, forecast={"horizon": 10_000})
    with pytest.raises(ConfigError, match=r"spec\.forecast\.horizon 10000: .* steps of YS.*shorter horizon"):
        dataset_of(config, tmp_path)
