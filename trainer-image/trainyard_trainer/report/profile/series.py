"""The profile of all series of a forecast. Pure functions.

Shuffled values have the same distribution but no autocorrelation. It is computed from ranks within each series, so it
does not depend on outliers or on the unit.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.dataset import Series
from trainyard_trainer.data.values.frequency import Frequency
from trainyard_trainer.report.profile.bins import LABEL, Floats
from trainyard_trainer.report.profile.columns import quantiles_of, short
from trainyard_trainer.report.profile.model import Measured, SeriesProfile
from trainyard_trainer.report.profile.relation import ranks

_PAIRS: Final = 8
"""Minimum number of pairs for the autocorrelation of a series."""

_SEASONS_BEFORE: Final = 2
"""Minimum number of earlier seasons for the range of their levels."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Panel:
    """The rows of series, sorted by series and time.

    Attributes
    ----------
    names
        Names of the series, in the order of their numbers.
    number
        Series number of each row; shape (rows,).
    step
        Step number of each row; 0 is the first step of its series.
    values
        Finite numbers.
    """

    names: tuple[str, ...]
    number: Integers
    step: Integers
    values: Floats
    season: int

    @property
    def sizes(self) -> Integers:
        """Number of rows of each series."""
        return np.bincount(self.number, minlength=len(self.names))


def panel_of(frame: pd.DataFrame, series: tuple[Series, ...], frequency: Frequency) -> Panel:
    """Return the rows of some series of a dataset's frame."""
    positions = np.concatenate([np.arange(one.start, one.stop) for one in series])
    number = np.repeat(np.arange(len(series)), [one.stop - one.start for one in series])
    ordinals = frequency.ordinals(frame["ds"].to_numpy()[positions])
    first = ordinals[np.searchsorted(number, np.arange(len(series)))]
    names = tuple(one.name for one in series)
    return Panel(names, number, ordinals - first[number], frame["y"].to_numpy()[positions], frequency.season)


def series_profile(panel: Panel, total: int) -> SeriesProfile:
    """Return the profile of the series of a panel. ``total`` also counts series outside of the panel."""
    sizes = panel.sizes
    spans = np.zeros(len(sizes), dtype=np.int64)
    np.maximum.at(spans, panel.number, panel.step + 1)
    means = np.bincount(panel.number, weights=np.abs(panel.values)) / sizes
    newest, jump, jumped = _levels(panel)
    return SeriesProfile(
        series=total,
        season=panel.season,
        rows=quantiles_of(sizes.astype(np.float64)),
        log_means=quantiles_of(np.log(means[means > 0])),
        zeros=short(float((panel.values == 0).mean())),
        missing_steps=short(max(0.0, 1 - float(sizes.sum()) / float(spans.sum()))),
        lag_one=autocorrelation(panel, 1),
        seasonal=autocorrelation(panel, panel.season) if panel.season > 1 else None,
        between=_between(panel),
        newest_season=quantiles_of(newest),
        jump=short(jump),
        jump_series=jumped[:LABEL],
    )


def autocorrelation(panel: Panel, lag: int) -> Measured | None:
    r"""Return the rank autocorrelation at a lag. It is the mean over the series, weighted by their numbers of pairs.

    .. math:: r = \sum_s n_s r_s / \sum_s n_s, \quad
       \mathrm{error}^2 = \sum_s n_s^2 (1 - r_s^2)^2 / n_s / (\sum_s n_s)^2

    ``r_s`` is Pearson's correlation of the ranks of a series with those ``lag`` steps later, over the ``n_s`` pairs for
    which both steps have a row. Return ``None`` if no series has enough pairs.
    """
    width = int(panel.step.max()) + lag + 1
    keys = panel.number * width + panel.step
    later = np.searchsorted(keys, keys + lag)
    paired = later < len(keys)
    paired[paired] = keys[later[paired]] == (keys + lag)[paired]
    number, later = panel.number[paired], later[paired]
    if len(number) == 0:
        return None
    ranked = _ranks(panel)
    found, counts = _correlations(ranked[paired], ranked[later], number, len(panel.names))
    usable = counts >= _PAIRS
    if not usable.any():
        return None
    found, counts = found[usable], counts[usable]
    total = counts.sum()
    error = np.sqrt((counts * (1 - found**2) ** 2).sum()) / total
    return Measured(value=short(float((counts * found).sum() / total)), error=short(float(error)))


def _ranks(panel: Panel) -> Floats:
    ranked = pd.Series(panel.values).groupby(panel.number).rank(method="average").to_numpy(dtype=np.float64)
    return ranked / (panel.sizes[panel.number] + 1) - 0.5


def _correlations(one: Floats, other: Floats, number: Integers, series: int) -> tuple[Floats, Floats]:
    """Return Pearson's correlation of each series (0 if a side is constant), and its number of pairs."""
    counts = np.bincount(number, minlength=series).astype(np.float64)

    def mean(values: Floats) -> Floats:
        return np.bincount(number, weights=values, minlength=series) / np.maximum(counts, 1)

    one, other = one - mean(one)[number], other - mean(other)[number]
    spread = np.sqrt(mean(one**2) * mean(other**2))
    flat = spread <= 1e-12
    return np.where(flat, 0.0, mean(one * other) / np.where(flat, 1, spread)), counts


def _between(panel: Panel) -> Measured | None:
    r"""Return how much the series differ: the correlation of the rank of a value with the mean of its series.

    .. math:: r^2 = \max(0, \eta^2 - (1 - \eta^2) (S - 1) / (n - S))

    where :math:`\eta^2` is the share of the variance of ``n`` ranks that is between ``S`` series, minus the part
    explained by chance (Kelley, 1935, PNAS 21, 554-559). Return ``None`` for a single series.
    """
    series, rows = len(panel.names), len(panel.values)
    if series < 2 or rows <= series:
        return None
    ranked = ranks(panel.values)[:, 0]
    means = np.bincount(panel.number, weights=ranked) / panel.sizes
    total = float(((ranked - ranked.mean()) ** 2).sum())
    if total <= 0:
        return Measured(value=0, error=0)
    part = float((panel.sizes * (means - ranked.mean()) ** 2).sum()) / total
    squared = max(0.0, part - (1 - part) * (series - 1) / (rows - series))
    return Measured(value=short(np.sqrt(squared)), error=short((1 - squared) / np.sqrt(rows)))


def _levels(panel: Panel) -> tuple[Floats, float, str]:
    """Return the level of each newest season divided by that of the season before, the largest jump, and its series."""
    last = np.zeros(len(panel.names), dtype=np.int64)
    np.maximum.at(last, panel.number, panel.step)
    ago = (last[panel.number] - panel.step) // panel.season
    width = int(ago.max()) + 1
    keys, index, counts = np.unique(panel.number * width + ago, return_inverse=True, return_counts=True)
    levels = np.bincount(index, weights=np.abs(panel.values)) / counts
    whole = (counts >= panel.season / 2) & (levels > 0)
    number, ago, levels = keys[whole] // width, keys[whole] % width, levels[whole]

    newest, before = np.full(len(last), np.nan), np.full(len(last), np.nan)
    newest[number[ago == 0]] = levels[ago == 0]
    before[number[ago == 1]] = levels[ago == 1]
    highest, lowest = np.zeros(len(last)), np.full(len(last), np.inf)
    past = ago > 0
    np.maximum.at(highest, number[past], levels[past])
    np.minimum.at(lowest, number[past], levels[past])
    seasons = np.bincount(number[past], minlength=len(last))
    with np.errstate(over="ignore"):
        ratios = np.minimum(newest / before, np.finfo(np.float64).max)
    known = ~np.isnan(newest) & (seasons >= _SEASONS_BEFORE)
    if not known.any():
        return ratios[~np.isnan(ratios)], 1.0, ""
    outside = np.ones(len(last))
    with np.errstate(over="ignore"):
        outside[known] = np.maximum(newest[known] / highest[known], lowest[known] / newest[known])
    jumped = int(outside.argmax())
    return ratios[~np.isnan(ratios)], float(np.clip(outside[jumped], 1, np.finfo(np.float64).max)), panel.names[jumped]
