"""The features of LightGBM forecasts: equal to those of mlforecast, and without values of later steps."""

import lightgbm
import numpy as np
import pandas as pd
import pytest
from mlforecast import MLForecast
from mlforecast.lag_transforms import RollingMean, SeasonalRollingMean

from trainyard_trainer.data.dataset import Clock
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.frameworks.forecast.ends import times_after
from trainyard_trainer.frameworks.forecast.panel import Panel
from trainyard_trainer.frameworks.lightgbm_forecast.features import (
    FeatureSpec,
    Window,
    bases_of,
    far_features,
    near_features,
    next_features,
    past_features,
)
from trainyard_trainer.frameworks.lightgbm_forecast.model import Trees
from trainyard_trainer.frameworks.lightgbm_forecast.state import State


def panel_of(values_of_series):
    begins = np.cumsum([0, *map(len, values_of_series)])
    steps = np.arange(begins[-1])
    return Panel(tuple(map(str, range(len(values_of_series)))), begins, steps, np.concatenate(values_of_series))


@pytest.mark.parametrize("alias", ["D", "h", "MS", "W-MON", "B"])
@pytest.mark.parametrize("far", [False, True])
def test_features_of_one_step_are_those_of_mlforecast(alias, far):
    frequency = frequency_of(alias)
    random = np.random.default_rng(1)
    series = [random.random(size) for size in (260, 140, 20)]
    series[0][40:44] = np.nan
    panel = panel_of(series)
    feature_spec = near_features(frequency, [260, 240, 200], span_days=900, regressors=())
    feature_spec = far_features(feature_spec, frequency.season, 9, [260, 240, 200]) if far else feature_spec
    together = past_features(panel, frequency.season, feature_spec, threads=1)
    values = panel.filled(frequency.season)
    for begin, end in zip(panel.begins, panel.begins[1:], strict=False):
        for step in range(begin + 1, end):
            history = np.full((1, feature_spec.reach), np.nan)
            before = values[begin:step][-feature_spec.reach :]
            history[0, feature_spec.reach - len(before) :] = before
            np.testing.assert_allclose(next_features(history, feature_spec)[0], together[step], rtol=1e-5)


def test_no_feature_uses_its_own_or_a_later_step():
    values = np.random.default_rng(2).random(200)
    feature_spec = near_features(frequency_of("D"), [200], span_days=200, regressors=())
    before = past_features(panel_of([values]), 7, feature_spec, threads=1)
    for step in (60, 120, 199):
        changed = values.copy()
        changed[step:] = 1e6
        after = past_features(panel_of([changed]), 7, feature_spec, threads=1)
        np.testing.assert_array_equal(before[: step + 1], after[: step + 1])


def test_a_far_spec_only_uses_lags_from_the_horizon_on():
    near = near_features(frequency_of("D"), [400], span_days=400, regressors=())
    far = far_features(near, 7, 28, [400])
    assert min(*far.lags, *(one.lag for one in far.windows)) == 28
    assert far.shortest > 28
    assert far_features(near, 7, 28, [50]) is None
    assert [near.names[one.base] for one in bases_of(near, 7)] == ["mean_7x1_lag_1", "lag_7"]
    assert [far.names[one.base] for one in bases_of(far, 7)] == ["mean_7x1_lag_28", "lag_28"]


def test_a_recursive_forecast_equals_that_of_mlforecast():
    random = np.random.default_rng(3)
    values = [10 + np.sin(np.arange(size)) + random.random(size) for size in (120, 90)]
    panel = panel_of(values)
    feature_spec = FeatureSpec((1, 2, 7), (Window(1, 1, 7), Window(7, 7, 2)), (), (), shortest=8)
    table = pd.DataFrame({"unique_id": panel.numbers(), "ds": panel.steps, "y": panel.values})
    reference = MLForecast(
        models=[lightgbm.LGBMRegressor(n_estimators=20, verbosity=-1, n_jobs=1)],
        freq=1,
        lags=[1, 2, 7],
        lag_transforms={1: [RollingMean(7, min_samples=1)], 7: [SeasonalRollingMean(7, 2, min_samples=1)]},
    ).fit(table, static_features=[])
    expected = reference.predict(10)["LGBMRegressor"].to_numpy().reshape(2, 10)
    ends = np.array([119, 89]).astype("datetime64[D]").astype("datetime64[ns]")
    history = np.full((2, 30), np.nan)
    history[0], history[1] = values[0][-30:], values[1][-30:]
    state = State(
        ("0", "1"),
        ends,
        history,
        np.ones(2),
        np.full(2, -np.inf),
        np.array([True, True]),
        np.empty((2, 0)),
        np.empty((2, 0, 0)),
    )
    trees = Trees(reference.models_["LGBMRegressor"].booster_, feature_spec, frequency_of("D"), Clock())
    np.testing.assert_allclose(trees.forecast(state, 10, None), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("alias", "end", "expected"),
    [
        ("D", "2026-02-27", ["2026-02-28", "2026-03-01"]),
        ("B", "2026-01-02T06:00", ["2026-01-05T06:00", "2026-01-06T06:00"]),
        ("QS", "2026-10-01", ["2027-01-01", "2027-04-01"]),
        ("15min", "2026-01-01T23:45", ["2026-01-02T00:00", "2026-01-02T00:15"]),
    ],
)
def test_the_times_of_the_steps_ahead(alias, end, expected):
    frequency = frequency_of(alias)
    found = times_after(np.array([end], "datetime64[ns]"), 2, frequency)
    assert found[0].tolist() == np.array(expected, "datetime64[ns]").tolist()
    together = np.concatenate([np.array([end], "datetime64[ns]"), found[0]])
    assert np.diff(frequency.ordinals(together)).tolist() == [1, 1]
