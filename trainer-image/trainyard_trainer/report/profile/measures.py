"""How far two profiles are apart: one number per measure, each with its formula and source. Pure."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np

from trainyard_trainer.report.profile.model import ColumnProfile, Measured, SeriesProfile

SHIFTED, MOVED = 0.25, 0.1
"""Of the PSI: a major and a moderate change, the field's usual cuts (Siddiqi, 2006, Credit Risk Scorecards, ch. 8)."""

_CHANCE: Final = 0.001
"""How often the largest PSI of a comparison may exceed 0 when both samples are of one population."""

_LARGEST: Final = 700.0
"""The exponential function of more is no finite number."""

_DRIFT: Final = 0.05
"""A relation may lose this share of its strength from one version to the next without being suspect."""


def stability_index(then: Sequence[int], now: Sequence[int], columns: int = 1, independence: float = 1) -> float:
    r"""Return the population stability index (PSI), less what chance alone explains, at least 0.

    .. math:: \mathrm{PSI} = \sum_b (q_b - p_b) \ln (q_b / p_b)

    ``p`` and ``q`` are the shares of the rows of then and now in bin ``b``, with half a row added to each bin, so that
    an empty one has a logarithm (Siddiqi, 2006). Of two samples of one population, ``n`` and ``m`` rows, the PSI is
    distributed as :math:`\chi^2_{B-1} (1/n + 1/m)` (Yurdakul and Naranjo, 2020, Journal of Risk Model Validation
    14(4)). The quantile of it that the largest of all columns exceeds once in 1,000 comparisons is subtracted: else
    small tables would be shifted every night.

    Parameters
    ----------
    columns
        How many columns are compared (Bonferroni).
    independence
        By which share the rows count as independent: those of a time series repeat each other.
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
    r"""Return the share of a series' rows that count as independent, :math:`(1 - r)/(1 + r)` of its lag-1 correlation.

    Of an autoregression of first order (Bayley and Hammersley, 1946, JRSS Supplement 8(2), 184-197).
    """
    r = 0.0 if series is None or series.lag_one is None else min(0.99, max(0.0, series.lag_one.value))
    return (1 - r) / (1 + r)


def loss_of(then: Measured | None, now: Measured | None, common: float = 0) -> float:
    r"""Return how much a correlation has weakened, in units of what sampling and slow drift explain, at least 0.

    .. math:: (r_t - r_n) / \sqrt{e_t^2 + e_n^2 - 2 c\, e_t e_n + (0.05\, r_t)^2}

    with the correlations of then and now and their standard errors. Without the last term any drift would be
    significant in large data; with it, a relation that is lost has at most 20. ``now`` of ``None`` is a correlation
    of 0.

    Parameters
    ----------
    common
        The correlation of both errors: :math:`c = k / \sqrt{n m}` of samples of ``n`` and ``m`` rows that have ``k`` in
        common. Data that has grown by a day errs as it did the day before.
    """
    if then is None or then.value <= 0:
        return 0.0
    after = now or Measured(value=0, error=0)
    sampling = then.error**2 + after.error**2 - 2 * min(1.0, common) * then.error * after.error
    return max(0.0, (then.value - after.value) / math.sqrt(sampling + (_DRIFT * then.value) ** 2))


def kept_share(found: int, sketched: int) -> float:
    """Return which share of the rows of then is surely there now, by how many of the sketched ones are.

    At the lower end of the interval of 95 % (Wilson, 1927, JASA 22, 209-212), since what both have in common makes a
    comparison sharper.
    """
    if sketched == 0:
        return 0.0
    z, share = 1.645, found / sketched
    spread = z * math.sqrt(share * (1 - share) / sketched + (z / (2 * sketched)) ** 2)
    return max(0.0, (share + z**2 / (2 * sketched) - spread) / (1 + z**2 / sketched))


def missing_increase(then: ColumnProfile, now: ColumnProfile | None) -> float:
    """Return by how much the share of missing values has grown, at least 0; of a column that is gone, to 1."""
    return max(0.0, (1.0 if now is None else now.missing) - then.missing)


def chance_of_missing(then: ColumnProfile, now: ColumnProfile) -> float:
    """Return four standard errors of the difference of two shares: of small tables they differ by chance."""
    n, m = sum(then.counts), sum(now.counts)
    pooled = (then.missing * n + now.missing * m) / max(1, n + m)
    return 4 * math.sqrt(pooled * (1 - pooled) * (1 / max(1, n) + 1 / max(1, m)))


def scale_ratio(then: Sequence[float], now: Sequence[float]) -> float:
    r"""Return the largest ratio of two lists of quantiles, told as a factor from 1 on.

    .. math:: \max_i \max(q_i / p_i, p_i / q_i)

    of the quantiles of the absolute values that are not 0: a median of values around 0 would have no stable ratio, and
    a mean would follow a single outlier. Without quantiles on one side it is 1.
    """
    if not then or not now:
        return 1.0
    pairs = [(p, q) for p, q in zip(then, now, strict=True) if p > 0 and q > 0]
    logarithms = (abs(math.log(q) - math.log(p)) for p, q in pairs)
    return math.exp(min(_LARGEST, max(logarithms, default=0.0)))
