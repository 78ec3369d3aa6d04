"""The cutoffs of series: backwards from their ends, step by step, as long as enough rows are left."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import dataset_of, job
from trainyard_api.training import Backtest
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import DataError
from trainyard_trainer.job.backtest.windows import Plan, plan_windows, require_capacity

HORIZON = 4


def planned(folder: Path, series: dict[str, pd.DatetimeIndex], **backtest: int) -> tuple[Plan, Dataset, TrainerConfig]:
    frames = [
        pd.DataFrame({"ds": times, "s": name, "y": 10.0 + np.arange(len(times)) % 7}) for name, times in series.items()
    ]
    pd.concat(frames).to_csv(folder / "t.csv", index=False)
    spec: dict[str, Any] = {"forecast": {"horizon": HORIZON, "frequency": "D"}, "backtest": backtest}
    config = job(folder / "t.csv", task="Forecast", data={"series": "s"}, **spec)
    dataset = dataset_of(config, folder)
    return plan_windows(dataset, config.spec), dataset, config


def days(count: int, end: str = "2026-06-30") -> pd.DatetimeIndex:
    return pd.date_range(end=end, periods=count)


def test_windows_roll_back_from_the_end_of_each_series(tmp_path: Path) -> None:
    plan, dataset, _ = planned(tmp_path, {"a": days(60), "b": days(50, "2026-06-20")}, windows=3, step=2)
    assert [window.age for window in plan.windows] == [2, 1, 0]
    assert plan.warnings == ()
    times = dataset.frame["ds"].to_numpy()
    for window in plan.windows:
        for number, (one, end) in enumerate(zip(window.dataset.series, ("2026-06-30", "2026-06-20"), strict=True)):
            last = pd.Timestamp(end) - pd.Timedelta(days=2 * window.age)
            cutoff = last - pd.Timedelta(days=HORIZON)
            assert pd.Timestamp(window.cutoffs[number]) == cutoff
            assert times[one.split - 1] == cutoff.to_datetime64()
            assert times[one.stop - 1] == last.to_datetime64()
            assert one.start == dataset.series[number].start
        assert window.steps.tolist() == [1, 2, 3, 4] * 2
        assert window.dataset.rows == sum(one.stop - one.start for one in window.dataset.series)


def test_the_default_step_is_the_horizon(tmp_path: Path) -> None:
    plan, *_ = planned(tmp_path, {"a": days(60)}, windows=2)
    assert [str(window.cutoffs[0])[:10] for window in plan.windows] == ["2026-06-22", "2026-06-26"]


def test_the_newest_window_is_the_holdout_of_the_training(tmp_path: Path) -> None:
    plan, dataset, _ = planned(tmp_path, {"a": days(60), "b": days(45)}, windows=2)
    assert plan.windows[-1].dataset.series == dataset.series


def test_gaps_count_as_steps_and_a_cutoff_may_be_in_a_gap(tmp_path: Path) -> None:
    times = days(60)
    closed = times[times.isin(pd.to_datetime(["2026-06-25", "2026-06-26", "2026-06-28"]))]
    plan, *_ = planned(tmp_path, {"a": times.difference(closed)}, windows=1)
    (window,) = plan.windows
    assert str(window.cutoffs[0])[:10] == "2026-06-26", (
        "the cutoff is in the gap after the last row, which is of the 24th"
    )
    assert window.steps.tolist() == [1, 3, 4]


def test_a_short_series_has_fewer_windows_and_a_warning(tmp_path: Path) -> None:
    plan, *_ = planned(tmp_path, {"a": days(60), "b": days(38), "c": days(60)}, windows=4)
    names = [[one.name for one in window.dataset.series] for window in plan.windows]
    assert names == [["a", "c"], ["a", "b", "c"], ["a", "b", "c"], ["a", "b", "c"]]
    (warning,) = plan.warnings
    assert [part in warning for part in ("1 of 3 series", "all 4 windows", "'b': 3")] == [True] * 3


def test_too_many_windows_are_refused(tmp_path: Path) -> None:
    message = r"t\.csv: .* spec\.backtest\.windows 9: .*\b4 steps .* horizon of 4, .* has 8 windows; "
    with pytest.raises(DataError, match=message):
        planned(tmp_path, {"a": days(60), "b": days(40)}, windows=9)


def test_without_a_backtest_every_dataset_is_accepted(tmp_path: Path) -> None:
    _, dataset, config = planned(tmp_path, {"a": days(40)}, windows=1)
    require_capacity(dataset, config.spec.model_copy(update={"backtest": None}))
    more = config.spec.model_copy(update={"backtest": Backtest(windows=50)})
    with pytest.raises(DataError):
        require_capacity(dataset, more)
