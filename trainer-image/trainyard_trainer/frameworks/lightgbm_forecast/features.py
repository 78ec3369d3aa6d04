"""Features of the trees: lags, rolling means, the calendar, and covariates.

For training, mlforecast computes lags and windows of all series. For a forecast, they are computed step by step from
the ends of the series with NumPy. So a server needs neither mlforecast nor the data. A test compares both. No feature
uses the step itself or later ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.dataset import Clock
from trainyard_trainer.data.values.frequency import Frequency
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.forecast.columns import Times
from trainyard_trainer.frameworks.forecast.panel import Panel
from trainyard_trainer.frameworks.prophet.public_holidays import is_holiday

Matrix = npt.NDArray[np.float32]

SEASONS_TO_LEARN: Final = 2
"""A lag is used if the typical series has this many times its length."""

_LONGEST_LAG: Final = 1000
"""In steps. Longer lags would only need memory, in training and in the server."""

_HOLIDAY: Final = "holiday:"
"""Prefix of a two-letter country code: whether a step is on a public holiday."""

_DAYS_PER_YEAR: Final = 365.25
_YEARLY_FROM: Final = 1.5
"""In years. Over a shorter span, the day of the year is equivalent to the trend."""


@dataclass(frozen=True)
class Window:
    """The mean of ``count`` values with a distance of ``apart`` steps. The newest is ``lag`` steps back."""

    lag: int
    apart: int
    count: int

    @property
    def reach(self) -> int:
        """The number of steps back to the oldest value."""
        return self.lag + self.apart * (self.count - 1)


@dataclass(frozen=True)
class FeatureSpec:
    """The features in order of their columns: lags, windows, calendar, regressors, lagged covariates, static
    attributes.

    Attributes
    ----------
    base
        The column that is subtracted from the target and from all lags and windows. ``None`` for zero. Trees cannot
        extrapolate a trend, but they can predict the difference from a recent level.
    shortest
        Minimum number of steps of a series: those of its shorter lags, and one training row.
    lagged, lagged_by
        Covariates that are not known in the future, and how many steps back they are used.
    static
        The columns of ``data.static``.
    texts
        For each static column, the texts in order of their codes. Empty for a numeric column.
    """

    lags: tuple[int, ...]
    windows: tuple[Window, ...]
    """Windows, those with smaller lags first, as in mlforecast."""
    calendar: tuple[str, ...]
    regressors: tuple[str, ...]
    shortest: int
    base: int | None = None
    lagged: tuple[str, ...] = ()
    lagged_by: int = 0
    static: tuple[str, ...] = ()
    texts: tuple[tuple[str, ...], ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        means = [f"mean_{one.count}x{one.apart}_lag_{one.lag}" for one in self.windows]
        others = [*self.regressors, *(f"{name}_lag_{self.lagged_by}" for name in self.lagged), *self.static]
        return [*(f"lag_{lag}" for lag in self.lags), *means, *self.calendar, *others]

    @property
    def categories(self) -> list[int]:
        """The positions of categorical columns."""
        first = len(self.names) - len(self.static)
        return [first + position for position, texts in enumerate(self.texts) if texts]

    @property
    def past(self) -> int:
        """The number of columns from the series itself."""
        return len(self.lags) + len(self.windows)

    @property
    def reach(self) -> int:
        """The number of steps before a forecast that are needed."""
        return max([*self.lags, *(one.reach for one in self.windows)])

    @property
    def nearest(self) -> int:
        """The number of steps back to the nearest value that is used."""
        return min([*self.lags, *(one.lag for one in self.windows)])

    def bases(self, past: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the base value of each row of lags and windows; shape (rows,)."""
        if self.base is None:
            return np.zeros(len(past), past.dtype)
        base = past[:, self.base]
        return np.where(np.isnan(base), 0, base).astype(past.dtype)

    def as_json(self) -> dict[str, Any]:
        """Return the fields for ``model.json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read the fields of :meth:`as_json`."""
        lists: dict[str, Any] = {name: tuple(fields[name]) for name in ("lags", "calendar", "regressors")}
        windows = tuple(Window(**one) for one in fields["windows"])
        found = cls(**lists, windows=windows, shortest=fields["shortest"], base=fields["base"])
        if "lagged" not in fields:  # an older model
            return found
        texts = tuple(tuple(one) for one in fields["texts"])
        lagged, static = tuple(fields["lagged"]), tuple(fields["static"])
        return replace(found, lagged=lagged, lagged_by=fields["lagged_by"], static=static, texts=texts)


def near_features(
    frequency: Frequency,
    lengths: Sequence[int],
    *,
    span_days: float,
    regressors: tuple[str, ...],
    holidays_country: str | None = None,
) -> FeatureSpec:
    """Choose lags and windows by the frequency and the length of the series.

    Parameters
    ----------
    lengths
        Number of training steps of each series.
    span_days
        Days from the first row of all series to the last.
    """
    typical = int(np.median(lengths))
    seasons = [season for season in frequency.seasons if SEASONS_TO_LEARN * season < min(typical, 2 * _LONGEST_LAG)]
    main = seasons[0] if seasons else 1
    near = range(1, min(main if main <= _SHORT_SEASON else 3, max(1, typical // 4)) + 1)
    lags = sorted({*near, *seasons, *(2 * season for season in seasons if 3 * season < typical)})
    windows = [Window(1, 1, count) for count in (main, 4 * main) if 1 < count < typical // 2]
    windows += [
        Window(season, season, count)
        for season in seasons
        if (count := min(4, typical // (2 * season))) > 1 and season * count <= _LONGEST_LAG
    ]
    names = _calendar_of(frequency, span_days / _DAYS_PER_YEAR, holidays_country)
    return FeatureSpec(tuple(lags), tuple(windows), names, regressors, shortest=max(near[-1], main) + 1)


def far_features(near: FeatureSpec, season: int, horizon: int, lengths: Sequence[int]) -> FeatureSpec | None:
    """Return features that only use values at least one horizon back, so that no forecast uses another one.

    Lags are moved back by whole seasons. Return ``None`` if they are too long for the typical series.
    """

    def moved(lag: int, step: int) -> int:
        return lag + max(0, -((lag - horizon) // step)) * step

    lags = tuple(sorted({horizon, *(moved(lag, season) for lag in near.lags)}))
    windows = tuple(
        Window(max(one.lag, horizon) if one.apart == 1 else moved(one.lag, one.apart), one.apart, one.count)
        for one in near.windows
    )
    shortest = max(near.shortest, horizon + 1)
    in_order = sorted(dict.fromkeys(windows), key=lambda one: one.lag)
    far = replace(near, lags=lags, windows=tuple(in_order), shortest=shortest)
    fits = horizon > 1 and SEASONS_TO_LEARN * max(lags) < int(np.median(lengths)) and far.reach <= 2 * _LONGEST_LAG
    return far if fits else None


def bases_of(feature_spec: FeatureSpec, season: int) -> Iterator[FeatureSpec]:
    """Yield the features relative to the recent level, then relative to the nearest value at the same position of a
    season.

    The level is the mean of the last season. Without a season, it is the last value.
    """
    yield replace(
        feature_spec, base=len(feature_spec.lags) if feature_spec.windows and feature_spec.windows[0].apart == 1 else 0
    )
    whole = [number for number, lag in enumerate(feature_spec.lags) if season > 1 and lag % season == 0]
    if whole:
        yield replace(feature_spec, base=whole[0])


_SHORT_SEASON: Final = 12
"""Up to this length, each step of a season is a separate lag."""


def _calendar_of(frequency: Frequency, years: float, holidays_country: str | None) -> tuple[str, ...]:
    long = years >= _YEARLY_FROM
    if frequency.months:
        return ("month",) if frequency.months < 12 and long else ()
    names = []
    if frequency.per_year > 366:
        names.append("minute_of_day")
    if frequency.per_year > 60:
        names += ["day_of_week", "day_of_month"]
        names += [_HOLIDAY + holidays_country] if holidays_country is not None else []
    return (*names, "day_of_year") if long else tuple(names)


def calendar(times: Times, names: Sequence[str], clock: Clock) -> Matrix:
    """Return calendar features of times of any shape. The features are the last axis.

    Times in UTC are first converted to the wall clock of their zone, because human activity follows that.
    """
    index = pd.DatetimeIndex(times.ravel())
    if clock.zone is not None and not clock.wall:
        index = index.tz_localize("UTC").tz_convert(clock.zone)
    columns: dict[str, Any] = {
        "minute_of_day": 60 * index.hour + index.minute,
        "day_of_week": index.dayofweek,
        "day_of_month": index.day,
        "day_of_year": index.dayofyear,
        "month": index.month,
    }
    found = [
        is_holiday(index, name.removeprefix(_HOLIDAY))
        if name.startswith(_HOLIDAY)
        else columns[name].to_numpy(np.float32)
        for name in names
    ]
    table = np.column_stack(found) if found else np.empty((len(index), 0), np.float32)
    return table.reshape(*times.shape, len(names))


def past_features(panel: Panel, season: int, feature_spec: FeatureSpec, threads: int) -> Matrix:
    """Return lags and windows of every step of a panel; shape (steps, lags and windows).

    NaN before the start of a series.
    """
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean, SeasonalRollingMean

    windows: dict[int, list[Any]] = {}
    for one in feature_spec.windows:
        mean = (
            RollingMean(one.count, min_samples=1)
            if one.apart == 1
            else SeasonalRollingMean(one.apart, one.count, min_samples=1)
        )
        windows.setdefault(one.lag, []).append(mean)
    numbers = panel.numbers()
    table = pd.DataFrame({"unique_id": numbers, "ds": np.arange(len(numbers)), "y": panel.filled(season)}, copy=False)
    maker = MLForecast(models=[], freq=1, lags=list(feature_spec.lags), lag_transforms=windows, num_threads=threads)
    made: Any = maker.preprocess(table, static_features=[], dropna=False, validate_data=False)
    return np.asarray(made.iloc[:, 3:].to_numpy(np.float32))


def next_features(history: Floats, feature_spec: FeatureSpec) -> Floats:
    """Return lags and windows of the step after a history of shape (series, ``feature_spec.reach``).

    The history is NaN before the start of a series. A window is the mean of its known values.
    """
    lags = [history[:, -lag] for lag in feature_spec.lags]
    windows = []
    for one in feature_spec.windows:
        back = history[:, [-(one.lag + one.apart * number) for number in range(one.count)]]
        known = ~np.isnan(back)
        total = np.where(known, back, 0.0).sum(axis=1)
        count = known.sum(axis=1)
        windows.append(np.divide(total, count, out=np.full(len(back), np.nan), where=count > 0))
    return np.column_stack([*lags, *windows])
