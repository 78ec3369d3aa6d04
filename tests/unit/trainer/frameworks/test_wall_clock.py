"""Hours of a zone: the daily pattern follows the wall clock before and after a clock change."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.data.dataset import Clock
from trainyard_trainer.data.values.frequency import frequency_by, frequency_of
from trainyard_trainer.errors import DataError
from trainyard_trainer.frameworks.forecast.ends import times_after
from trainyard_trainer.frameworks.registry import framework_for

ZONE = "Europe/Berlin"
BY_HOUR = np.array([2.0, 1, 1, 1, 2, 5, 12, 30, 44, 38, 35, 33, 40, 36, 31, 30, 34, 42, 48, 39, 25, 14, 8, 4])
AUTUMN = ("2025-09-20", "2025-10-28T12:00")  # 26 October has 25 hours
SPRING = ("2025-02-20", "2025-03-31T12:00")  # 30 March has 23 hours


def hours(begin, end):
    """Return instants in UTC, and their wall-clock times."""
    instants = pd.date_range(begin, end, freq="h", tz="UTC")
    return instants, instants.tz_convert(ZONE)


def config_of(folder, span, framework, *, horizon=48, **spec):
    instants, wall = hours(*span)
    frame = pd.DataFrame({"ds": instants.strftime("%Y-%m-%dT%H:%M:%SZ"), "y": BY_HOUR[wall.hour]})
    data = {"timeZone": ZONE, **spec.pop("data", {})}
    return job(
        write(folder, frame.to_csv(index=False)),
        task="Forecast",
        framework=framework,
        data=data,
        forecast={"horizon": horizon},
        **spec,
    )


def run(folder, config):
    framework, dataset = framework_for(config), dataset_of(config, folder)
    context = context_of(config, folder)
    trained = framework.train(dataset, context)
    return framework, dataset, context, framework.evaluate(dataset, trained, context)


FRAMEWORKS = [
    pytest.param("StatsForecast", {"models": ["SeasonalNaive"]}, id="StatsForecast"),
    pytest.param("LightGBM", {"num_iterations": 60}, id="LightGBM"),
    pytest.param(
        "Auto", {"StatsForecast": {"models": ["SeasonalNaive"]}, "LightGBM": {"num_iterations": 60}}, id="Auto"
    ),
]


@pytest.mark.parametrize(("framework", "parameters"), FRAMEWORKS)
@pytest.mark.parametrize("span", [AUTUMN, SPRING], ids=["autumn", "spring"])
def test_a_day_is_forecast_by_the_wall_clock_across_the_change(tmp_path, span, framework, parameters):
    auto = {"auto": {"candidates": ["StatsForecast", "LightGBM"]}} if framework == "Auto" else {}
    config = config_of(tmp_path, span, framework, parameters=parameters, **auto)
    made, dataset, context, found = run(tmp_path, config)
    assert found.metrics["mae"] < 0.2, "in UTC, the hours after the change would be shifted by one: 2.75 and 4.29"
    assert found.metrics["baseline_mae"] == pytest.approx(0, abs=0.3)
    judged = made.load(context.output / JUDGED)
    np.testing.assert_allclose(
        made.forecast_holdouts(judged, dataset), found.holdout["predicted"], rtol=1e-6, atol=1e-6
    )
    loaded = made.predict(made.load(context.output), found.golden.inputs)
    pd.testing.assert_frame_equal(loaded, found.golden.outputs)


@pytest.mark.parametrize("span", [AUTUMN, SPRING], ids=["autumn", "spring"])
def test_prophet_uses_the_wall_clock(tmp_path, span):
    made, dataset, context, found = run(tmp_path, config_of(tmp_path, span, "Prophet"))
    assert found.metrics["mae"] < 2.5, "a few Fourier terms cannot fit every hour"
    judged = made.load(context.output / JUDGED)
    np.testing.assert_allclose(made.forecast_holdouts(judged, dataset), found.holdout["predicted"], rtol=1e-6)
    loaded = made.predict(made.load(context.output), found.golden.inputs)
    pd.testing.assert_frame_equal(loaded, found.golden.outputs)


def test_the_calendar_of_a_network_is_that_of_the_wall_clock(tmp_path):
    config = config_of(tmp_path, AUTUMN, "Torch", parameters={"epochs": 1})
    made, _, context, _ = run(tmp_path, config)
    description = made.load(context.output).description
    assert description.zone == ZONE
    eight = np.array(["2025-10-25T06:00", "2025-10-26T07:00"], dtype="datetime64[ns]")  # 08:00 on both days
    time_of_day = description.calendar.features(eight)[:, -4:]
    np.testing.assert_array_equal(time_of_day[0], time_of_day[1])


@pytest.mark.parametrize(("framework", "parameters"), FRAMEWORKS[:2])
@pytest.mark.parametrize(
    "end", ["2025-10-25T20:00", "2025-10-26T00:00", "2025-10-26T01:00", "2025-03-29T20:00", "2025-03-30T00:00"]
)
def test_every_instant_after_the_end_is_forecast(tmp_path, framework, parameters, end):
    """The horizon contains the clock change, or begins in the repeated hour."""
    begin = pd.Timestamp(end) - pd.Timedelta(days=40)
    made, _, context, _ = run(tmp_path, config_of(tmp_path, (begin, end), framework, parameters=parameters))
    asked, wall = hours(pd.Timestamp(end) + pd.Timedelta(hours=1), pd.Timestamp(end) + pd.Timedelta(hours=48))
    predicted = made.predict(made.load(context.output), pd.DataFrame({"ds": asked.strftime("%Y-%m-%dT%H:%M:%SZ")}))
    np.testing.assert_allclose(predicted["prediction"], BY_HOUR[wall.hour], atol=0.5)


def test_steps_and_times_are_inverse_except_at_the_clock_change():
    frequency = frequency_by("h", Clock(ZONE))
    end = np.array(["2025-03-29T12:00"], dtype="datetime64[ns]")
    times = times_after(end, 48, frequency)[0]
    steps = frequency.ordinals(np.concatenate([end, times]))
    steps = steps[1:] - steps[0]
    skipped = 13  # 02:00 on 30 March does not exist, so the number of its step is skipped
    assert np.flatnonzero(steps != np.arange(1, 49)).tolist() == [skipped - 1]
    assert frequency.steps_per_change == 1
    assert frequency_by("15min", Clock(ZONE)).steps_per_change == 4


@pytest.mark.parametrize(
    ("alias", "clock"), [("h", Clock()), ("D", Clock(ZONE, wall=True)), ("MS", Clock(ZONE)), ("D", Clock(ZONE))]
)
def test_only_steps_shorter_than_a_day_are_counted_by_the_wall_clock(alias, clock):
    assert frequency_by(alias, clock) == frequency_of(alias)


def shop(begin, end):
    """Return the instants at which a shop is open: Monday to Saturday from nine to six, by its wall clock."""
    instants, wall = hours(begin, end)
    is_open = (wall.dayofweek < 6) & (wall.hour >= 9) & (wall.hour < 18)
    return instants[is_open], wall[is_open]


@pytest.mark.parametrize("asked", ["Auto", "h-1111110-0900-1800"])
@pytest.mark.parametrize("framework", ["StatsForecast", "LightGBM", "Torch"])
@pytest.mark.parametrize("span", [("2025-08-04", "2025-10-29"), ("2025-01-06", "2025-04-02")], ids=["autumn", "spring"])
def test_opening_hours_are_those_of_the_wall_clock(tmp_path, span, framework, asked):
    instants, wall = shop(*span)
    frame = pd.DataFrame({"ds": instants.strftime("%Y-%m-%dT%H:%M:%SZ"), "y": BY_HOUR[wall.hour]})
    parameters = {"StatsForecast": {"models": ["SeasonalNaive"]}, "LightGBM": {"num_iterations": 60}}.get(framework, {})
    config = job(
        write(tmp_path, frame.to_csv(index=False)),
        task="Forecast",
        framework=framework,
        data={"timeZone": ZONE},
        forecast={"horizon": 54, "frequency": asked},
        parameters=parameters,
    )
    made, dataset, context, found = run(tmp_path, config)
    assert dataset.frequency == f"h-1111110-0900-1800@{ZONE}"
    assert found.metrics["mae"] < (4 if framework == "Torch" else 0.3)
    later = [one for one in shop(span[1], pd.Timestamp(span[1]) + pd.Timedelta(days=3))[0] if one > instants[-1]]
    ahead = times_ahead(dataset, 9)
    assert list(pd.DatetimeIndex(ahead)) == [one.tz_localize(None) for one in later[:9]]
    model = made.load(context.output)
    predicted = made.predict(model, pd.DataFrame({"ds": [one.isoformat() for one in later[:9]]}))["prediction"]
    expected = BY_HOUR[pd.DatetimeIndex(later[:9]).tz_convert(ZONE).hour]
    np.testing.assert_allclose(predicted, expected, atol=12 if framework == "Torch" else 1)
    closed = pd.DataFrame({"ds": [later[0].tz_convert(ZONE).replace(hour=18).isoformat()]})
    with pytest.raises(DataError, match=r"is closed: .*Sunday.* 09:00 to 18:00"):
        made.predict(model, closed)


def times_ahead(dataset, steps):
    """Return the times of the steps after the end of the data."""
    frequency = frequency_of(dataset.frequency)
    return frequency.after(dataset.frame["ds"].to_numpy("datetime64[ns]")[-1:], steps)[0]
