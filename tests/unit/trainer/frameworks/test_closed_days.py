"""A shop that is closed on Sundays: no framework forecasts a Sunday, and a request for one is refused."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.errors import DataError
from trainyard_trainer.frameworks.registry import framework_for

DAYS = pd.date_range("2026-01-01", periods=200)


def shop() -> str:
    demand = 10 + 5 * (DAYS.dayofweek == 5) + np.random.default_rng(1).normal(0, 0.3, len(DAYS))
    frame = pd.DataFrame({"ds": DAYS, "y": demand.round(2)})
    return frame[DAYS.dayofweek < 6].to_csv(index=False)


@pytest.mark.parametrize("name", ["LightGBM", "Prophet"])
def test_sundays_are_not_steps(tmp_path, name):
    config = job(write(tmp_path, shop()), task="Forecast", framework=name, forecast={"horizon": 12})
    dataset = dataset_of(config, tmp_path)
    assert dataset.frequency == "B-1111110"
    assert next(one.message for one in dataset.findings if one.code == "Frequency").endswith("no rows on Sunday")
    assert not [one for one in dataset.findings if one.code == "Gaps"]
    framework = framework_for(config)
    context = context_of(config, tmp_path)
    framework.train(dataset, context)
    model = framework.load(context.output)
    ahead = pd.date_range(DAYS[-1] + pd.Timedelta(days=1), periods=14)
    open_days = ahead[ahead.dayofweek < 6][:12]
    predictions = framework.predict(model, pd.DataFrame({"ds": open_days.astype(str)}))
    saturdays = open_days.dayofweek == 5
    assert predictions["prediction"][saturdays].min() > 13
    assert predictions["prediction"][~saturdays].max() < 12
    sunday = ahead[ahead.dayofweek == 6][:1]
    with pytest.raises(DataError, match=r"row 1: '2026-.*' \(Sunday\) is closed: .*forecast\.calendar"):
        framework.predict(model, pd.DataFrame({"ds": sunday.astype(str)}))


def test_each_day_is_a_step_with_the_full_calendar(tmp_path):
    config = job(write(tmp_path, shop()), task="Forecast", forecast={"horizon": 7, "calendar": "Full"})
    dataset = dataset_of(config, tmp_path)
    assert dataset.frequency == "D"
    assert dataset.clock.opening == ""
