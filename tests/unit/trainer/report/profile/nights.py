"""Valid data that grows night by night, and corruptions of it. It is generated with seeds, in many shapes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tests.unit.trainer.data.jobs import job
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Dataset, Origin, Table
from trainyard_trainer.data.preprocessing import preprocess
from trainyard_trainer.report.profile.build import Sample, profile_of
from trainyard_trainer.report.profile.changes import DataComparison
from trainyard_trainer.report.profile.compare import compare
from trainyard_trainer.report.profile.model import Profile, parse_profile

Random = np.random.Generator
DIGEST = "sha256:" + "b" * 64


@dataclass(frozen=True)
class Shape:
    """A complete table. Night ``t`` has the rows of the days before ``first + t``, or of a window of them."""

    frame: pd.DataFrame
    day: np.ndarray
    first: int
    task: str
    window: int | None = None

    def night(self, number: int) -> pd.DataFrame:
        end = self.first + number
        seen = self.day < end
        if self.window is not None:
            seen &= self.day >= end - self.window
        return self.frame[seen].reset_index(drop=True)


def config_of(shape: Shape, **data: Any) -> TrainerConfig:
    if shape.task == "Forecast":
        data = {"time": "ds", "series": "name", **data}
    return job(
        "s3://bucket/table.csv",
        task=shape.task,
        data=data,
        **({"forecast": {"horizon": 7}} if "ds" in shape.frame else {}),
    )


def prepared(frame: pd.DataFrame, config: TrainerConfig) -> Dataset:
    return preprocess(Table(frame, Origin("s3://bucket/table.csv", DIGEST, 1)), config)


def profile(frame: pd.DataFrame, config: TrainerConfig) -> tuple[Profile, Sample]:
    """Return the profile as it is read by the training of the next version."""
    sample = Sample.of(prepared(frame, config), config.spec.data.target)
    return parse_profile(profile_of(sample).encode(), "profile.json"), sample


def compared(then: Profile, frame: pd.DataFrame, config: TrainerConfig) -> DataComparison:
    now, sample = profile(frame, config)
    return compare(then, now, sample, 3, config.spec.data)


def warnings_of(found: DataComparison) -> list[str]:
    return [one.message for one in found.changes if one.message and one.severity == "warning"]


# Tables


def _rows(random: Random, days: int, a_day: int) -> tuple[np.ndarray, int]:
    count = random.poisson(a_day, days)
    return np.repeat(np.arange(days), count), int(count.sum())


def steady(random: Random, first: int = 30, nights: int = 30, a_day: int = 40, noise: float = 2.0) -> Shape:
    """Prices of houses: five numbers and two texts."""
    day, n = _rows(random, first + nights, a_day)
    x = random.normal(size=(n, 5)) * [1, 5, 100, 0.01, 1] + [0, 50, 1000, 1, -3]
    town = random.choice(["Ulm", "Bonn", "Kiel", "Jena"], n, p=[0.5, 0.3, 0.15, 0.05])
    kind = random.choice(["old", "new"], n)
    y = 100 + 2 * x[:, 0] + 0.4 * x[:, 1] + 3 * (town == "Ulm") + noise * random.normal(size=n)
    frame = pd.DataFrame(x, columns=list("abcde")).assign(town=town, kind=kind, y=y)
    return Shape(frame, day, first, "Regression")


def small(random: Random) -> Shape:
    return steady(random, first=15, a_day=10)


def tiny(random: Random) -> Shape:
    return steady(random, first=15, a_day=4)


def noisy(random: Random) -> Shape:
    """A target that hardly depends on the features."""
    return steady(random, noise=8.0)


def failures(random: Random, first: int = 30, nights: int = 30, a_day: int = 100) -> Shape:
    """Three of a hundred machines fail."""
    day, n = _rows(random, first + nights, a_day)
    heat, load, age = random.normal(300, 2, n), random.gamma(2, 20, n), random.integers(0, 250, n)
    risk = -5.2 + 1.2 * (heat > 302) + 0.02 * load + 0.006 * age
    y = np.where(random.random(n) < 1 / (1 + np.exp(-risk)), "yes", "no")
    make = random.choice(["L", "M", "H"], n, p=[0.6, 0.3, 0.1])
    return Shape(
        pd.DataFrame({"heat": heat, "load": load, "age": age, "make": make, "y": y}), day, first, "Classification"
    )


def drifting(random: Random) -> Shape:
    """The features move, and their relation to the target changes by a tenth in a month."""
    day, n = _rows(random, 90, 40)
    a, b = random.normal(size=n) + 0.01 * day, random.normal(size=n)
    y = (1 + 0.1 * day / 30) * a + (1 - 0.1 * day / 30) * b + random.normal(size=n)
    return Shape(pd.DataFrame({"a": a, "b": b, "y": y}), day, 60, "Regression")


def heavy(random: Random) -> Shape:
    """Payments: heavy tails, and half of them are 0."""
    day, n = _rows(random, 60, 40)
    a, b = random.lognormal(3, 2, n), random.pareto(1.2, n)
    y = np.where(random.random(n) < 0.5, 0, a * random.lognormal(0, 1, n))
    return Shape(pd.DataFrame({"a": a, "b": b, "y": y}), day, 30, "Regression")


def growing_kinds(random: Random) -> Shape:
    """Five classes, and new text values each night."""
    day, n = _rows(random, 90, 40)
    kind = random.integers(0, 5, n)
    a = kind + random.normal(0, 1.5, n)
    maker = np.array([f"m{value}" for value in random.integers(0, 10 + day // 3)])
    gap = np.where(random.random(n) < 0.2, np.nan, random.normal(size=n))
    frame = pd.DataFrame({"a": a, "maker": maker, "gap": gap, "y": [f"class {value}" for value in kind]})
    return Shape(frame, day, 60, "Classification")


def weather(random: Random) -> Shape:
    """A window of half a year over a year with a summer: the temperature of the rows moves with it."""
    day, n = _rows(random, 400, 15)
    warmth = 10 + 12 * np.sin(2 * np.pi * day / 365) + random.normal(0, 3, n)
    weekday = day % 7
    y = np.maximum(0, 50 + 2 * warmth + 10 * (weekday >= 5) + random.normal(0, 8, n)).round()
    return Shape(pd.DataFrame({"warmth": warmth, "weekday": weekday, "y": y}), day, 200, "Regression", window=180)


def wide(random: Random) -> Shape:
    """Sixty columns without and three with a relation to the target."""
    day, n = _rows(random, 60, 20)
    x = random.normal(size=(n, 63))
    y = np.where(x[:, :3].sum(axis=1) + random.normal(0, 1.5, n) > 0, "yes", "no")
    return Shape(pd.DataFrame(x, columns=[f"c{i}" for i in range(63)]).assign(y=y), day, 30, "Classification")


def leap(random: Random) -> Shape:
    """The second night has twelve times as many rows as the first."""
    shape = failures(random, nights=0, a_day=400)
    rows = np.arange(len(shape.frame))
    day = np.where(rows < 800, 0, np.where(rows < 9_800, 1, 2 + rows // 100_000))
    return replace(shape, day=day, first=1)


def fresh(random: Random) -> Shape:
    """Each night has only new rows."""
    return replace(steady(random, a_day=500), window=1)


def handful(random: Random) -> Shape:
    """Each night has other rows, with a dozen failures among them."""
    return replace(failures(random, a_day=400), window=1)


_TABLES = (steady, small, tiny, noisy, failures, drifting, heavy, growing_kinds, weather, wide, leap, fresh, handful)
TABLES: dict[str, Callable[[Random], Shape]] = {one.__name__: one for one in _TABLES}


# Forecasts


def _panel(values: np.ndarray, freq: str, first: int, window: int | None = None) -> Shape:
    """``values`` have shape (series, steps); NaN where a series has no row. A night brings one step."""
    series, steps = values.shape
    frame = pd.DataFrame(
        {
            "ds": np.tile(pd.date_range("2024-01-01", periods=steps, freq=freq).to_numpy(), series),
            "name": np.repeat([f"s{number:03d}" for number in range(series)], steps),
            "y": values.ravel(),
        }
    )
    present = frame["y"].notna().to_numpy()
    day = np.tile(np.arange(steps), series)
    return Shape(frame[present].reset_index(drop=True), day[present], first, "Forecast", window)


def _sizes(random: Random, series: int) -> np.ndarray:
    return random.lognormal(3, 1, series)[:, None]


def sales(random: Random) -> Shape:
    """A trend and a week."""
    t = np.arange(330)
    week = 1 + 0.4 * np.sin(2 * np.pi * t / 7 + random.random((20, 1)))
    level = _sizes(random, 20) * (1 + 0.002 * t) * week
    return _panel(np.maximum(0, level * (1 + 0.2 * random.normal(size=level.shape))), "D", 300)


def seasons(random: Random) -> Shape:
    """A window of four months over a year: levels change by a factor of three."""
    t = np.arange(420)
    level = _sizes(random, 20) * (1.5 + np.sin(2 * np.pi * (t / 365 + 0.1 * random.random((20, 1)))))
    week = 1 + 0.3 * np.sin(2 * np.pi * t / 7)
    return _panel(np.maximum(0, level * week * (1 + 0.2 * random.normal(size=level.shape))), "D", 390 - 180, 120)


def intermittent(random: Random) -> Shape:
    rate = random.uniform(0.05, 0.5, (40, 1))
    return _panel(random.poisson(rate, (40, 330)).astype(float), "D", 300)


def lumpy(random: Random) -> Shape:
    """Rare demand of very different sizes. Series begin and end."""
    sold = random.random((40, 330)) < 0.15
    y = np.where(sold, random.lognormal(2, 1.2, (40, 330)).round() + 1, 0.0)
    t = np.arange(330)
    begins, ends = random.integers(0, 200, (40, 1)), random.integers(260, 400, (40, 1))
    return _panel(np.where((t >= begins) & (t <= ends), y, np.nan), "D", 300)


def walks(random: Random) -> Shape:
    steps = random.normal(size=(10, 230))
    return _panel(100 + np.cumsum(steps, axis=1), "D", 200)


def monthly(random: Random) -> Shape:
    """Growth by an eighth a year; a night is a month."""
    t = np.arange(84)
    year = 1 + 0.3 * np.sin(2 * np.pi * t / 12 + random.random((15, 1)))
    y = _sizes(random, 15) * 1.01**t * year * (1 + 0.1 * random.normal(size=(15, 84)))
    return _panel(y, "MS", 54)


def hourly(random: Random) -> Shape:
    t = np.arange(24 * 28 + 30)
    day = 2 + np.sin(2 * np.pi * t / 24) + 0.3 * np.sin(2 * np.pi * t / 168)
    y = _sizes(random, 4) * day * (1 + 0.15 * random.normal(size=(4, len(t))))
    return _panel(y, "h", 24 * 28)


def christmas(random: Random) -> Shape:
    """The nights are around the days before Christmas, when sales are four times as high."""
    t = np.arange(720)
    rush = 1 + 3 * np.exp(-(((t % 365) - 350) ** 2) / 60)
    week = 1 + 0.4 * np.sin(2 * np.pi * t / 7)
    level = _sizes(random, 10) * rush * week
    return _panel(np.maximum(0, level * (1 + 0.2 * random.normal(size=level.shape))), "D", 690)


def single(random: Random) -> Shape:
    """One short series, almost noise."""
    t = np.arange(90)
    return _panel((20 + 3 * np.sin(2 * np.pi * t / 7) + random.normal(0, 4, 90))[None, :], "D", 60)


FORECASTS: dict[str, Callable[[Random], Shape]] = {
    one.__name__: one for one in (sales, seasons, intermittent, lumpy, walks, monthly, hourly, single, christmas)
}
SHAPES = TABLES | FORECASTS


def valid_nights(name: str, seed: int, nights: int = 30, *, promoted: bool = True) -> Iterator[list[str]]:
    """Yield the warnings of each night, compared with the night before or with the first one."""
    shape = SHAPES[name](np.random.default_rng([seed, len(name)]))
    config = config_of(shape)
    then, _ = profile(shape.night(0), config)
    for number in range(1, nights + 1):
        now, sample = profile(shape.night(number), config)
        yield warnings_of(compare(then, now, sample, 3, config.spec.data))
        then = now if promoted else then


# Corruptions of a night


def shuffled(frame: pd.DataFrame, random: Random, share: float = 1.0) -> pd.DataFrame:
    """Return labels of other rows, or in a forecast values of other times of any series."""
    rows = np.flatnonzero(random.random(len(frame)) < share)
    y = frame["y"].to_numpy(copy=True)
    y[rows] = y[random.permutation(rows)]
    return frame.assign(y=y)


def scaled(frame: pd.DataFrame, column: str, rows: Any = slice(None), factor: float = 1000) -> pd.DataFrame:
    values = frame[column].to_numpy(dtype=float, copy=True)
    values[rows] *= factor
    return frame.assign(**{column: values})
