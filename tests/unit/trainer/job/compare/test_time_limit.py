"""A champion predicts in parts.

The predictions are the same as without parts, and it can be stopped between two parts.
"""

import numpy as np
import pytest

from tests.unit.trainer.job.compare.nights import FORECAST, TABLE, Nights, machines, ref, sales
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.errors import Interrupted
from trainyard_trainer.job.compare import rows
from trainyard_trainer.job.compare.champion import PredictionError
from trainyard_trainer.job.compare.time_limit import LEAST_SECONDS, TimeLimit


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def limit(clock, seconds=10.0, stop=lambda: False):
    return TimeLimit(seconds, "hold out fewer rows", stop, clock)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 1000])
def test_the_parts_cover_everything_in_order(clock, count):
    found = [number for part in limit(clock).parts(count, 3) for number in range(part.start, part.stop)]
    assert found == list(range(count))


def test_only_quick_parts_grow(clock):
    sizes = []
    for part in limit(clock, seconds=100).parts(60, 4):
        clock.now += 0.1 if part.stop <= 28 else 2
        sizes.append(part.stop - part.start)
    assert sizes == [4, 8, 16, 32]

    slow = []
    for part in limit(clock, seconds=100).parts(60, 20):
        clock.now += 2
        slow.append(part.stop - part.start)
    assert slow == [20, 20, 20]


def test_a_slow_champion_reports_its_progress(clock):
    parts = limit(clock).parts(100, 10)
    for _ in range(2):
        next(parts)
        clock.now += 6
    with pytest.raises(PredictionError, match=r"20% when its 10 s were over; hold out fewer rows") as caught:
        next(parts)
    assert caught.value.reason == "ChampionTooSlow"


def test_a_slow_last_part_is_accepted(clock):
    for _ in limit(clock).parts(10, 10):
        clock.now += 100


def test_only_the_time_of_predictions_counts(clock):
    one = limit(clock)
    for _ in one.parts(1, 1):
        clock.now += 9
    clock.now += 1000  # a window of a backtest is fitted
    for _ in one.parts(1, 1):
        clock.now += 9
    with pytest.raises(PredictionError):
        list(one.parts(1, 1))


def test_a_stop_request_interrupts(clock):
    with pytest.raises(Interrupted, match="the next attempt continues"):
        list(limit(clock, stop=lambda: True).parts(1, 1))


@pytest.mark.parametrize(
    ("deadline", "elapsed", "seconds"),
    [
        (None, 5, LEAST_SECONDS),
        (None, 3600, 3600),
        (100, 20, 40),
        (100, 200, 0),
        (100_000, 5, LEAST_SECONDS),
        (100_000, 3600, 3600),
    ],
)
def test_the_limit_is_the_training_time_and_half_of_the_remaining_time(deadline, elapsed, seconds):
    spec = TrainingJobSpec.model_validate(
        {
            "framework": "LightGBM",
            "task": "Regression",
            "data": {"uri": "s3://data/a.csv", "target": "y"},
            "activeDeadlineSeconds": deadline,
        }
    )
    found = TimeLimit.of(spec, elapsed, lambda: False)
    assert found.seconds == seconds
    advice = "spec.activeDeadlineSeconds" if deadline == 100 else "fewer rows"
    found.seconds = 0
    with pytest.raises(PredictionError, match=advice):
        list(found.parts(1, 1))


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    return Nights(tmp_path_factory.mktemp("nights"))


@pytest.mark.parametrize(
    ("spec", "then", "now"),
    [
        pytest.param(TABLE, machines(900), machines(1800), id="table"),
        pytest.param(FORECAST, sales(300, items=12), sales(301, items=12), id="LightGBM"),
        pytest.param({**FORECAST, "framework": "Prophet"}, sales(120), sales(121), id="Prophet"),
        pytest.param(
            {**FORECAST, "framework": "Torch", "parameters": {"epochs": 2}}, sales(300), sales(301), id="Torch"
        ),
    ],
)
def test_predictions_in_parts_equal_predictions_at_once(nights, monkeypatch, spec, then, now):
    champion = ref(nights.train(then, **spec))
    whole = nights.train(now, champion=champion, **spec).comparison
    for name in ("_FIRST_SERIES", "_FIRST_ROWS"):
        monkeypatch.setattr(rows, name, 1)
    parts = nights.train(now, champion=champion, **spec).comparison
    assert whole.reason == parts.reason == "Compared"
    found = [[float(each.champion) for each in one.metrics] for one in (whole, parts)]
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_a_slow_champion_fails_the_comparison_not_the_training(nights, monkeypatch):
    champion = ref(nights.train(machines(900), **TABLE))
    monkeypatch.setattr(TimeLimit, "of", lambda _, __, stop: TimeLimit(0, "hold out fewer rows", stop))
    result = nights.train(machines(1800), champion=champion, **TABLE)
    assert result.outcome == "Succeeded"
    assert result.comparison.reason == "ChampionTooSlow"
    assert "cannot predict the held-out rows: it had predicted 0% when its 0 s were over" in result.comparison.message
