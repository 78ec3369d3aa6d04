"""Differences of two profiles: one number per measure, each with its formula and source. Pure functions."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np

from trainyard_trainer.report.profile.model import ColumnProfile, Measured, SeriesProfile

SHIFTED, MOVED = 0.25, 0.1
"""Limits of the PSI for a major and a moderate change, as usual (Siddiqi, 2006, Credit Risk Scorecards, ch. 8)."""

_CHANCE: Final = 0.001
"""Probability that the largest PSI of a comparison exceeds 0 if both samples are from one population."""

_LARGEST: Final = 700.0
"""The exponential function of a larger number is not finite."""

_DRIFT: Final = 0.05
"""A relation can lose this share of its strength between versions without a warning."""


def stability_index(then: Sequence[int], now: Sequence[int], columns: int = 1, independence: float = 1) -> float:
    r"""Return the population stability index (PSI) minus the part that is explained by chance, at least 0.

    .. math:: \mathrm{PSI} = \sum_b (q_b - p_b) \ln (q_b / p_b)

    ``p`` and ``q`` are the shares of the old and new rows in bin ``b``, with half a row added to each bin, so that the
    logarithm of an empty bin exists (Siddiqi, 2006). For two samples of one population, with ``n`` and ``m`` rows, the
    PSI is distributed as :math:`\chi^2_{B-1} (1/n + 1/m)` (Yurdakul and Naranjo, 2020, Journal of Risk Model Validation
    14(4)). The subtracted part is the quantile that the largest PSI of all columns exceeds once in 1,000 comparisons.
    Otherwise small tables would always seem to be shifted.

    Parameters
    ----------
    columns
        Number of compared columns (Bonferroni).
    independence
        Share of independent rows. Rows of a time series are correlated.
    """
    p, q = np.asarray(then, dtype=np.float64), np.asarray(now, dtype=np.float64)
    used = (p + q) > 0
    n, m = float(p.sum()), float(q.sum())
    if used.sum() < 2 or n == 0 or m == 0:
        return 0.0
    p, q = p[used] + 0.5, q[used] + 0.5
    p, q = p / p.sum(), q / q.sum()
    index = float(((q - p) * np.log(q / p)).sum())
    chance = chi_square_quantile(1 - _CHANCE / max(1, columns), len(p) - 1) * (1 / n + 1 / m) / independence
    return max(0.0, index - chance)


def chi_square_quantile(level: float, degrees: int) -> float:
    r"""Return a high quantile of the chi-square distribution, at most an eighth too large.

    .. math:: k \left(1 - \frac{2}{9k} + z \sqrt{\frac{2}{9k}}\right)^3

    with ``z`` the quantile of the standard normal distribution (Wilson and Hilferty, 1931, PNAS 17, 684-688).
    """
    part = 2 / (9 * degrees)
    return float(degrees * (1 - part + NormalDist().inv_cdf(level) * math.sqrt(part)) ** 3)


def independence_of(series: SeriesProfile | None) -> float:
    r"""Return the share of independent rows of series, :math:`(1 - r)/(1 + r)` with its lag-1 correlation.

    This holds for an autoregression of first order (Bayley and Hammersley, 1946, JRSS Supplement 8(2), 184-197).
    """
    r = 0.0 if series is None or series.lag_one is None else min(0.99, max(0.0, series.lag_one.value))
    return (1 - r) / (1 + r)


def loss_of(then: Measured | None, now: Measured | None, common: float = 0) -> float:
    r"""Return how much a correlation has decreased, in units of sampling error and slow drift, at least 0.

    .. math:: (r_t - r_n) / \sqrt{e_t^2 + e_n^2 - 2 c\, e_t e_n + (0.05\, r_t)^2}

    with the old and new correlations and their standard errors. Without the last term, any drift would be significant
    in large data. With it, a lost relation has at most 20. ``now=None`` is a correlation of 0.

    Parameters
    ----------
    common
        The correlation of both errors: :math:`c = k / \sqrt{n m}` for samples of ``n`` and ``m`` rows with ``k`` common
        rows. Data that has grown by a day has almost the same error as before.
    """
    if then is None or then.value <= 0:
        return 0.0
    after = now or Measured(value=0, error=0)
    sampling = then.error**2 + after.error**2 - 2 * min(1.0, common) * then.error * after.error
    return max(0.0, (then.value - after.value) / math.sqrt(sampling + (_DRIFT * then.value) ** 2))


def kept_share(found: int, sketched: int) -> float:
    """Return a lower bound of the share of old rows that exist in the new data, from the number of found sketch hashes.

    It is the lower end of the 95 % interval (Wilson, 1927, JASA 22, 209-212), because common rows make a comparison
    more sensitive.
    """
    if sketched == 0:
        return 0.0
    z, share = 1.645, found / sketched
    spread = z * math.sqrt(share * (1 - share) / sketched + (z / (2 * sketched)) ** 2)
    return max(0.0, (share + z**2 / (2 * sketched) - spread) / (1 + z**2 / sketched))


def missing_increase(then: ColumnProfile, now: ColumnProfile | None) -> float:
    """Return the increase of the share of missing values, at least 0.

    For a column that does not exist any more, the new share is 1.
    """
    return max(0.0, (1.0 if now is None else now.missing) - then.missing)


def chance_of_missing(then: ColumnProfile, now: ColumnProfile) -> float:
    """Return four standard errors of the difference of two shares, because those of small tables differ by chance."""
    n, m = sum(then.counts), sum(now.counts)
    pooled = (then.missing * n + now.missing * m) / max(1, n + m)
    return 4 * math.sqrt(pooled * (1 - pooled) * (1 / max(1, n) + 1 / max(1, m)))


def scale_ratio(then: Sequence[float], now: Sequence[float]) -> float:
    r"""Return the largest ratio of two lists of quantiles, as a factor of at least 1.

    .. math:: \max_i \max(q_i / p_i, p_i / q_i)

    with the quantiles of the absolute values that are not 0. The median of values around 0 would have no stable ratio,
    and a mean would depend on a single outlier. If one side has no quantiles, it is 1.
    """
    if not then or not now:
        return 1.0
    pairs = [(p, q) for p, q in zip(then, now, strict=True) if p > 0 and q > 0]
    logarithms = (abs(math.log(q) - math.log(p)) for p, q in pairs)
    return math.exp(min(_LARGEST, max(logarithms, default=0.0)))
