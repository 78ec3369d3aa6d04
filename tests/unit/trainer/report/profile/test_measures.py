"""Each measure, compared with values computed by hand or by another library."""

import numpy as np
import pytest
from scipy import stats

from trainyard_trainer.report.profile.measures import (
    chi_square_quantile,
    independence_of,
    kept_share,
    loss_of,
    missing_increase,
    scale_ratio,
    stability_index,
)
from trainyard_trainer.report.profile.model import ColumnProfile, Measured, SeriesProfile


def column(missing: float) -> ColumnProfile:
    return ColumnProfile(name="a", kind="number", missing=missing, counts=[1])


def test_the_stability_index_by_hand():
    # shares 0.5, 0.5 then and 0.8, 0.2 now: 0.3 ln 1.6 + (-0.3) ln 0.4 = 0.4159
    assert stability_index([50_000, 50_000], [80_000, 20_000]) == pytest.approx(0.4159, abs=0.001)
    assert stability_index([50_000, 50_000], [50_000, 50_000]) == 0


def test_empty_bins_have_no_effect():
    assert stability_index([5000, 0, 5000], [8000, 0, 2000]) == stability_index([5000, 5000], [8000, 2000])


def test_a_bin_that_becomes_empty_is_finite_and_large():
    assert 2 < stability_index([5000, 5000], [10_000, 0]) < 10


@pytest.mark.parametrize(("then", "now"), [([], []), ([5], [3]), ([0, 0], [1, 2]), ([1, 2], [0, 0])])
def test_without_rows_or_with_one_bin_there_is_no_shift(then, now):
    assert stability_index(then, now) == 0


@pytest.mark.parametrize("rows", [30, 300, 3000])
def test_two_samples_of_one_population_hardly_ever_shift(rows):
    random = np.random.default_rng(1)
    shares = np.full(10, 0.1)
    found = [stability_index(random.multinomial(rows, shares), random.multinomial(rows, shares)) for _ in range(2000)]
    assert np.mean(np.array(found) > 0) < 0.005


def test_dependent_rows_count_less():
    assert 0 < stability_index([500, 500], [650, 350], independence=0.5) < stability_index([500, 500], [650, 350])


@pytest.mark.parametrize("degrees", [1, 3, 10, 30])
@pytest.mark.parametrize("level", [0.9, 0.999, 0.99999])
def test_the_chi_square_quantile_is_close_and_not_too_small(degrees, level):
    assert 0.97 < chi_square_quantile(level, degrees) / stats.chi2.ppf(level, degrees) < 1.125


def test_an_autoregression_has_fewer_independent_rows():
    plain = SeriesProfile(series=1, season=7, rows=[], log_means=[], zeros=0, missing_steps=0)
    assert independence_of(None) == independence_of(plain) == 1
    half = plain.model_copy(update={"lag_one": Measured(value=0.5, error=0.1)})
    assert independence_of(half) == pytest.approx(1 / 3)


def test_a_loss_is_measured_in_standard_errors_and_drift():
    then, now = Measured(value=0.6, error=0.03), Measured(value=0.3, error=0.04)
    assert loss_of(then, now) == pytest.approx(0.3 / np.sqrt(0.03**2 + 0.04**2 + 0.03**2))
    assert loss_of(then, now, common=1) == pytest.approx(0.3 / np.sqrt(0.01**2 + 0.03**2))
    assert loss_of(now, then) == 0
    assert loss_of(None, now) == loss_of(Measured(value=-0.1, error=0.1), now) == 0


def test_a_lost_relation_has_20_and_a_reversed_one_40():
    then = Measured(value=0.6, error=0)
    assert loss_of(then, None) == pytest.approx(20)
    assert loss_of(then, Measured(value=-0.6, error=0)) == pytest.approx(40)


def test_the_common_share_is_the_lower_end_of_wilsons_interval():
    assert kept_share(0, 0) == 0
    assert kept_share(0, 256) == pytest.approx(0, abs=1e-12)
    assert kept_share(256, 256) == pytest.approx(0.9895, abs=0.0001)
    expected = stats.binomtest(128, 256).proportion_ci(0.9, method="wilson").low
    assert kept_share(128, 256) == pytest.approx(expected, abs=0.001)


def test_the_increase_of_missing_values_of_a_column_and_of_a_missing_column():
    assert missing_increase(column(0.1), column(0.4)) == pytest.approx(0.3)
    assert missing_increase(column(0.4), column(0.1)) == 0
    assert missing_increase(column(0.4), None) == pytest.approx(0.6)


def test_the_scale_is_a_factor_in_both_directions():
    assert scale_ratio([1, 2, 3, 4], [1000, 2000, 3000, 4000]) == pytest.approx(1000)
    assert scale_ratio([1000, 2, 3, 4], [1, 2, 3, 4]) == pytest.approx(1000)
    assert scale_ratio([1, 2, 3, 4], [1, 2, 3, 4]) == 1
    assert scale_ratio([], [1, 2, 3, 4]) == scale_ratio([1], []) == 1
    assert 1e300 < scale_ratio([5e-324], [1.7e308]) < np.inf
