"""A backtest has the forecasts of a training at each cutoff, for every framework, also if interrupted or sharded."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job
from tests.unit.trainer.job.mean import pod
from trainyard_api.metric_goals import goal_of
from trainyard_api.wire import TrainerConfig, TrainingResult
from trainyard_trainer.artifacts.checkpoints import Checkpoints
from trainyard_trainer.errors import ConfigError, DataError, Interrupted
from trainyard_trainer.evaluate.backtest import AGE, score
from trainyard_trainer.evaluate.names import check_metrics
from trainyard_trainer.frameworks.base import Evaluation, Framework, Trained
from trainyard_trainer.frameworks.registry import framework_for
from trainyard_trainer.job.backtest.run import run_backtest
from trainyard_trainer.job.dispatch import run
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import JsonLines

HORIZON, STEP, LENGTH = 5, 3, 120
NAMES = ("bread", "cake", "rolls")
QUICK: dict[str, dict[str, Any]] = {
    "LightGBM": {"parameters": {"num_iterations": 20}},
    "Prophet": {},
    "Torch": {"parameters": {"epochs": 2, "hidden": [8]}},
}


def shop(folder: Path, until: int = LENGTH, *, spoiled_from: int = LENGTH) -> Path:
    """Write the first days of a shop. From one day on, its values have another distribution."""
    random = np.random.default_rng(3)
    frames = []
    for number, name in enumerate(NAMES, 1):
        day = pd.date_range("2026-01-01", periods=LENGTH)
        sold = 20 * number + 5 * (day.dayofweek >= 5) + random.normal(0, 1, LENGTH)
        sold[spoiled_from:] += 1000
        frames.append(pd.DataFrame({"day": day, "product": name, "sold": sold}).head(until))
    folder.mkdir(exist_ok=True)
    pd.concat(frames).to_csv(folder / "shop.csv", index=False)
    return folder / "shop.csv"


def config_of(file: Path, framework: str, windows: int = 2, **spec: Any) -> TrainerConfig:
    fields = {
        "framework": framework,
        "storage": {"uri": "pvc://models/all"},
        "forecast": {"horizon": HORIZON, "quantiles": [0.1, 0.9]},
        "backtest": {"windows": windows, "step": STEP},
        "workers": 1,
        **QUICK[framework],
        **spec,
    }
    data = {"time": "day", "series": "product"}
    config = job(file, target="sold", task="Forecast", data=data, **fields)
    return config.model_copy(update={"uid": "run-1", "model_name": "demand"})


def rows_of(config: TrainerConfig, folder: Path) -> pd.DataFrame:
    context = context_of(config, folder)
    return run_backtest(framework_for(config), dataset_of(config, folder), context).rows


def direct_holdout(config: TrainerConfig, folder: Path) -> pd.DataFrame:
    """Return the holdout of a training that calls the framework directly."""
    framework, dataset, context = framework_for(config), dataset_of(config, folder), context_of(config, folder)
    context.output.mkdir(exist_ok=True)
    found = framework.evaluate(dataset, framework.train(dataset, context), context).holdout
    assert found is not None
    return found


@pytest.mark.parametrize("framework", list(QUICK))
def test_each_window_equals_a_training_on_data_that_ends_there(tmp_path: Path, framework: str) -> None:
    rows = rows_of(config_of(shop(tmp_path), framework), tmp_path)
    assert rows["step"].tolist() == [1, 2, 3, 4, 5] * len(NAMES) * 2
    for age, end in ((1, LENGTH - STEP), (0, LENGTH)):
        folder = tmp_path / str(age)
        expected = direct_holdout(config_of(shop(folder, until=end), framework), folder)
        found = rows[rows[AGE] == age].reset_index(drop=True)
        assert set(found["cutoff"]) == {pd.Timestamp("2026-01-01") + pd.Timedelta(days=end - HORIZON - 1)}
        same = ["series", "time", "actual", "predicted", "baseline", "quantile:0.1", "quantile:0.9"]
        pd.testing.assert_frame_equal(found[same], expected[same].reset_index(drop=True), rtol=1e-5)


def test_rows_after_a_cutoff_do_not_change_its_forecasts(tmp_path: Path) -> None:
    forecasts = []
    for name, spoiled in (("one", LENGTH), ("two", LENGTH - STEP - HORIZON)):
        rows = rows_of(config_of(shop(tmp_path / name, spoiled_from=spoiled), "LightGBM"), tmp_path / name)
        forecasts.append(rows[rows[AGE] == 1].reset_index(drop=True))
    assert (forecasts[0]["actual"] != forecasts[1]["actual"]).all()
    reported = ["predicted", "baseline", "quantile:0.1", "quantile:0.9"]
    pd.testing.assert_frame_equal(forecasts[0][reported], forecasts[1][reported])


def test_scores_over_all_rows_by_step_by_series_and_by_cutoff() -> None:
    rows = pd.DataFrame(
        {
            "series": ["a", "a", "b", "b", "a", "a"],
            "cutoff": pd.to_datetime(["2026-01-01"] * 4 + ["2026-01-03"] * 2),
            "time": pd.date_range("2026-01-02", periods=6),
            "step": [1, 2, 1, 2, 1, 2],
            AGE: [1, 1, 1, 1, 0, 0],
            "actual": [10.0, 10, 20, 20, 30, 30],
            "predicted": [11.0, 12, 24, 24, 30, 30],
            "baseline": [12.0, 12, 22, 22, 30, 31],
            "quantile:0.1": [9.0, 11, 19, 19, 29, 29],
            "quantile:0.9": [12.0, 13, 25, 25, 31, 31],
            "scale": [1.0, 1, 2, 2, 4, 4],
            "square_scale": [1.0, 1, 4, 4, 16, 16],
        }
    )
    found = score(rows)
    assert found.metrics["backtest_mae"] == pytest.approx(11 / 6)
    assert found.metrics["backtest_skill"] == pytest.approx(1 - 11 / 9)
    assert found.metrics["backtest_mase"] == pytest.approx((1.5 + 2 + 0) / 3), "the mean over series and windows"
    assert found.metrics["backtest_coverage"] == pytest.approx(5 / 6)
    assert found.metrics["backtest_series_below_baseline"] == 1
    assert not any("baseline_" in name.removesuffix("_baseline") for name in found.metrics)
    assert found.by_step.to_dict("list") == {
        "step": [1, 2],
        "rows": [3, 3],
        "mae": [pytest.approx(5 / 3), pytest.approx(2)],
        "baseline": [pytest.approx(4 / 3), pytest.approx(5 / 3)],
        "skill": [pytest.approx(-0.25), pytest.approx(-0.2)],
    }
    assert found.by_series["series"].tolist() == ["a", "b"]
    assert found.by_series["mae"].tolist() == [0.75, 4.0]
    assert found.by_series["bias"].tolist() == [0.75, 4.0]
    assert found.by_series["skill"].tolist() == [pytest.approx(1 - 3 / 5), pytest.approx(-1)]
    assert found.by_window["cutoff"].tolist() == list(pd.to_datetime(["2026-01-01", "2026-01-03"]))
    assert found.by_window["series"].tolist() == [2, 1]
    assert found.by_window["mae"].tolist() == [2.75, 0.0]
    assert found.by_window["baseline"].tolist() == [2.0, 0.5]


# ---- interrupted, shared, refused ------------------------------------------------------------------------------------


class MemoryCheckpoints(Checkpoints):
    """Checkpoints in memory."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        return self.bodies.get(name)

    def put(self, name: str, body: bytes) -> None:
        self.bodies[name] = body

    def names(self) -> list[str]:
        return sorted(self.bodies)


class CountingFramework:
    """A framework that counts its trainings, and can fail."""

    def __init__(self, whole: Framework, error: Exception | None = None) -> None:
        self._whole, self._error, self.ends = whole, error, []  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> Any:
        if name == "whole":
            raise AttributeError(name)
        return getattr(self._whole, name)

    def train(self, dataset: Any, context: Any) -> Trained:
        if self._error is not None:
            raise self._error
        self.ends.append(dataset.series[0].stop)
        return self._whole.train(dataset, context)

    def evaluate(self, dataset: Any, trained: Trained, context: Any) -> Evaluation:
        return self._whole.evaluate(dataset, trained, context)


def test_a_stop_between_two_windows_keeps_the_finished_ones(tmp_path: Path) -> None:
    config = config_of(shop(tmp_path), "LightGBM", windows=3)
    dataset, framework, kept = (
        dataset_of(config, tmp_path),
        CountingFramework(framework_for(config)),
        MemoryCheckpoints(),
    )
    whole = run_backtest(framework_for(config), dataset, context_of(config, tmp_path))
    stopped = context_of(config, tmp_path, stop=lambda: len(framework.ends) >= 2)
    # LightGBM checks for a stop, but not before its first round of the third window.
    with pytest.raises(Interrupted):
        run_backtest(framework, dataset, replace(stopped, checkpoints=kept))
    assert len(framework.ends) == 2
    finished = [name for name in kept.names() if name.endswith(".parquet")]
    again = run_backtest(framework, dataset, replace(context_of(config, tmp_path), checkpoints=kept))
    assert len(framework.ends) == 2 + 3 - len(finished)
    pd.testing.assert_frame_equal(again.rows, whole.rows)
    assert again.scores.metrics == whole.scores.metrics


def test_an_error_names_its_window(tmp_path: Path) -> None:
    config = config_of(shop(tmp_path), "LightGBM", windows=3)
    framework = CountingFramework(framework_for(config), DataError("every series is too short for lags"))
    message = r"backtest, window 1 of 3: every series is too short for lags; .*spec\.backtest\.windows"
    with pytest.raises(DataError, match=message):
        run_backtest(framework, dataset_of(config, tmp_path), context_of(config, tmp_path))


def pods(folder: Path, config: TrainerConfig, index: str = "") -> tuple[int, TrainingResult]:
    env = replace(pod(folder), completion_index=index)
    code = run_job(lambda: config, env, lambda: False, display=JsonLines(), work=run)
    return code, TrainingResult.model_validate_json(env.termination_log.read_bytes())


def test_a_training_publishes_the_metrics_beside_those_of_the_holdout(tmp_path: Path) -> None:
    gates = [{"metric": "backtest_mase", "op": "<", "value": 100}]
    config = config_of(shop(tmp_path), "LightGBM", gates=gates)
    code, result = pods(tmp_path, config)
    assert (code, result.made) == (0, "Version")
    names = [metric.name for metric in result.metrics or ()]
    assert names[:2] == ["mase", "backtest_mase"], "metrics of gates are kept longer than others"
    assert {"mase", "backtest_mae", "backtest_coverage", "baseline_mae"} <= set(names)
    folder = tmp_path / "claims/models/all/demo/demand/runs/run-1/1"
    table = pd.read_parquet(folder / "backtest.parquet")
    assert list(table.columns) == [
        *("series", "cutoff", "time", "step", "actual", "prediction", "quantile:0.1", "quantile:0.9"),
        *("baseline", "champion"),
    ]
    assert len(table) == 2 * len(NAMES) * HORIZON
    error = float((table["actual"] - table["prediction"]).abs().mean())
    assert {metric.name: metric.value for metric in result.metrics or ()}["backtest_mae"] == f"{error:.6g}"
    page = (folder / "report.html").read_text()
    assert "Backtest: 2 cutoffs, 3 steps apart" in page
    assert "Error by step ahead: " not in page
    assert 'aria-label="Mean absolute error by cutoff: ' in page
    assert "backtest_" not in page.split('<section id="metrics">')[1].split("</section>", maxsplit=1)[0]


def test_mode_backtest_creates_no_version_and_the_next_attempt_finds_it(tmp_path: Path) -> None:
    config = config_of(shop(tmp_path), "LightGBM", mode="Backtest", gates=[{"metric": "mae", "op": "<", "value": 1}])
    code, result = pods(tmp_path, config)
    assert (code, result.made, result.model_version) == (0, "Backtest", None)
    assert result.artifact is not None
    assert result.artifact.uri == "pvc://models/all/demo/demand/backtests/run-1/1"
    assert (result.message or "").startswith("a backtest of 2 windows and 30 rows: backtest_mae ")
    (warning,) = result.warnings or ()
    assert warning.startswith("spec.gates had no effect")
    model = tmp_path / "claims/models/all/demo/demand"
    assert {folder.name for folder in model.iterdir()} - {"logs"} == {"backtests"}
    files = {file.name for file in (model / "backtests/run-1/1").iterdir()}
    assert files == {"backtest.parquet", "backtest.html", "validation.json", "manifest.json", "started.json"}
    assert "Backtest: 2 cutoffs" in (model / "backtests/run-1/1/backtest.html").read_text()
    again = pods(tmp_path, config.model_copy(update={"attempt": 2}))
    assert again == (0, result)


def test_shards_share_every_window(tmp_path: Path) -> None:
    tables = []
    for name, shards in (("alone", 1), ("shared", 2)):
        folder = tmp_path / name
        folder.mkdir()
        config = config_of(shop(tmp_path), "Prophet", shards=shards)
        results = [pods(folder, config, str(index)) for index in range(shards)]
        assert [result.made for _, result in results] == ["Shard"] * (shards - 1) + ["Version"]
        (file,) = (folder / "claims/models/all/demo/demand/runs/run-1").glob("*/backtest.parquet")
        tables.append(file.read_bytes())
    assert tables[0] == tables[1]


def test_a_shard_trains_its_series_of_each_window(tmp_path: Path) -> None:
    config = config_of(shop(tmp_path), "Prophet", shards=2)
    assert pods(tmp_path, config, "0")[1].made == "Shard"
    left = [file.name for file in (tmp_path / "claims/models/all/demo/demand/runs/run-1/checkpoints").glob("*/*")]
    assert any(name.startswith("backtest%2F3%2F1.parquet%2Fprophet-") for name in left)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"gates": [{"metric": "backtest_maee", "op": "<", "value": 1}]},
            r"spec\.gates\[0\]\.metric maee is not a metric of task Forecast; did you mean mae\?",
        ),
        (
            {"gates": [{"metric": "backtest_bias", "compareTo": "Champion"}]},
            r"compares backtest_bias with the champion, but neither a larger nor a smaller value",
        ),
        (
            {"backtest": None, "gates": [{"metric": "backtest_mae", "op": "<", "value": 1}]},
            r"spec\.gates\[0\]\.metric backtest_mae needs the section spec\.backtest",
        ),
        ({"objective": {"metric": "backtest_mae"}}, r"spec\.objective\.metric backtest_mae is not a metric"),
    ],
)
def test_invalid_metrics_are_refused(tmp_path: Path, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_metrics(config_of(tmp_path / "shop.csv", "Prophet", **spec).spec)


def test_backtest_metrics_have_the_same_goals() -> None:
    assert (goal_of("backtest_mae"), goal_of("backtest_skill"), goal_of("backtest_bias")) == (
        *("Minimize", "Maximize"),
        None,
    )


def test_too_many_windows_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    code, result = pods(tmp_path, config_of(shop(tmp_path), "LightGBM", windows=90))
    assert (code, result.reason) == (65, "BadData")
    assert "no series is long enough for spec.backtest.windows 90" in (result.message or "")


# ---- one training for all windows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", ["LightGBM", "Prophet", "Torch"])
def test_without_refit_the_oldest_model_predicts_every_window(tmp_path: Path, framework: str) -> None:
    config = config_of(shop(tmp_path), framework, windows=3, backtest={"windows": 3, "step": STEP, "refit": False})
    rows = rows_of(config, tmp_path)
    assert sorted(rows[AGE].unique()) == [0, 1, 2]
    assert len(rows) == 3 * HORIZON * len(NAMES)
    assert not [name for name in rows.columns if name.startswith("quantile:")]
    assert rows["champion"].isna().all()
    oldest = rows[rows[AGE] == 2].reset_index(drop=True)
    anew = rows_of(config_of(shop(tmp_path), framework, windows=3), tmp_path)
    same = anew[anew[AGE] == 2].reset_index(drop=True)
    pd.testing.assert_series_equal(oldest["predicted"], same["predicted"], rtol=1e-6)
    pd.testing.assert_series_equal(oldest["baseline"], same["baseline"])


def test_without_refit_later_rows_are_unknown(tmp_path: Path) -> None:
    spec = {"windows": 2, "backtest": {"windows": 2, "step": HORIZON, "refit": False}}
    honest = rows_of(config_of(shop(tmp_path / "a"), "LightGBM", **spec), tmp_path / "a")
    spoiled = rows_of(
        config_of(shop(tmp_path / "b", spoiled_from=LENGTH - HORIZON), "LightGBM", **spec), tmp_path / "b"
    )
    assert honest["predicted"].tolist() == spoiled["predicted"].tolist()
