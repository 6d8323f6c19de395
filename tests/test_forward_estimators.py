"""Estimators in pattern mode: the table against the theory, the draws against their moments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forward.estimators import draw_estimate, estimate, estimator_table
from forward.philox import stream_key
from forward.poisson_trimming import trimmed_moments
from xrdct.errors import InputError

FRACTIONS = [(0.05, 0.05), (0.1, 0.1), (0.0, 0.1)]
KEY = stream_key(11, 2)


def looked_up(mean, n, cuts, spread):
    """Value and variance of one channel, per pixel."""
    value, variance = estimate(
        np.array([[mean * n]], np.float32),
        n_pixels=np.array([n]),
        table=estimator_table(*cuts),
        slope=np.array([[spread]], np.float32),
    )
    return float(value[0, 0]) / n, float(variance[0, 0]) / n**2


@pytest.mark.parametrize("cuts", FRACTIONS)
@given(
    log_mean=st.floats(-6.0, 7.6),
    log_n=st.floats(4.2, 8.7),
    spread=st.sampled_from([0.0, 0.3, 0.8]),
)
def test_table_meets_the_theory_between_its_nodes(cuts, log_mean, log_n, spread):
    # Theory itself at random places. Linear interpolation errs by ⅛ of the second difference; of
    # the plain mean's noise this is 3 % without spread, and up to 20 % where a strong slope and
    # thousands of counts make the bias many times larger than the noise.
    mean, n = np.exp(log_mean), np.exp(log_n)
    value, variance = trimmed_moments(
        mean, spread=spread, n_pixels=[n], lower=cuts[0], upper=cuts[1]
    )
    noise = np.sqrt(mean / n)
    found, found_variance = looked_up(mean, n, cuts, spread)
    assert found == pytest.approx(value[0], abs=(0.03 if spread == 0.0 else 0.2) * noise)
    assert np.sqrt(found_variance) == pytest.approx(np.sqrt(variance[0]), abs=0.04 * noise)


@pytest.mark.slow
@given(log_mean=st.floats(-3.0, 6.0), spread=st.sampled_from([0.0, 0.5]))
def test_median_table_meets_the_theory_between_its_nodes(log_mean, spread):
    # Theory itself. A step of one count is blurred over w = 1.25 √(λ/n), so its second derivative
    # is at most 0.24/w² and nodes 0.01 √λ apart err by ⅛ (0.01 √λ)² 0.24/w² = 0.002 of a count at
    # n = 1000; that is 0.06/√λ of the noise √(λ/n), below 0.3 for λ above 0.05.
    mean, n = np.exp(log_mean), 1000.0
    value, _ = trimmed_moments(mean, spread=spread, n_pixels=[n], lower=0.5, upper=0.5)
    found, _ = looked_up(mean, n, (0.5, 0.5), spread)
    assert found == pytest.approx(value[0], abs=0.3 * np.sqrt(mean / n))


def test_mean_of_all_pixels_is_left_as_it_is():
    # Law: the sum of Poisson counts is one.
    expected = np.array([[0.1, 5.0, 1e6], [2.0, 0.0, 3.0]], np.float32)
    value, variance = estimate(
        expected, n_pixels=np.array([10.0, 20.0, 30.0]), table=estimator_table(0.0, 0.0)
    )
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(variance, expected)


def test_beyond_the_table_the_limits_hold():
    # Limits: with few counts more than nine in ten pixels are empty and nothing is kept, unless
    # only zeros are cut: then λ/(1 − α). With many, T is λ less a constant of order 1/10.
    assert looked_up(1e-5, 1000.0, (0.05, 0.05), 0.0) == (pytest.approx(0.0, abs=1e-8), 0.0)
    bare, _ = looked_up(1e-5, 1000.0, (0.05, 0.0), 0.0)
    assert bare == pytest.approx(1e-5 / 0.95, rel=1e-3)
    value, variance = looked_up(1e6, 1000.0, (0.05, 0.05), 0.0)
    assert value == pytest.approx(1e6, rel=1e-5)
    assert variance == pytest.approx(1.03e3, rel=0.02)  # 1.026: of a normal, 5 % Winsorised


def test_slope_comes_from_the_neighbours():
    # Closed form: a pixel's mean rises by 4 per channel, so by ±2 inside one: ρ = 2/λ; at the ends
    # of the pattern the one neighbour is half as far away.
    n = np.array([500.0, 600.0, 700.0, 800.0])
    mean = np.array([4.0, 8.0, 12.0, 16.0])
    expected, table = (mean * n).astype(np.float32)[None], estimator_table(0.1, 0.1)
    own = estimate(expected, n_pixels=n, table=table)
    given_slope = estimate(
        expected, n_pixels=n, table=table, slope=(2.0 / mean).astype(np.float32)[None]
    )
    flat = estimate(expected, n_pixels=n, table=table, slope=np.zeros((1, 4), np.float32))
    for one, other in zip(own, given_slope, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert not np.allclose(own[0], flat[0], rtol=1e-4)


def test_channels_without_pixels_or_photons_are_zero():
    expected = np.array([[3.0, 0.0, 3.0]], np.float32)
    value, variance = estimate(
        expected, n_pixels=np.array([0.0, 10.0, 10.0]), table=estimator_table(0.1, 0.1)
    )
    np.testing.assert_array_equal(value[0, :2], 0.0)
    np.testing.assert_array_equal(variance[0, :2], 0.0)
    assert np.all(np.isfinite(value))


@pytest.mark.parametrize(("mean", "variance"), [(0.3, 1.2), (4.0, 3.0), (50.0, 80.0), (1e6, 2e6)])
def test_draws_have_the_moments_asked_for(mean, variance):
    # Law: mean within 5 σ/√n, variance within 5 standard errors √((2 + κ)/n), of excess kurtosis
    # κ = variance/mean² for the scaled Poisson distribution; false alarm < 1e-6 each.
    shape = (200, 500)
    drawn = draw_estimate(
        np.full(shape, mean, np.float32), np.full(shape, variance, np.float32), key=KEY
    ).astype(float)
    n, excess = drawn.size, variance / mean**2
    assert drawn.min() >= 0.0
    assert drawn.mean() == pytest.approx(mean, abs=5.0 * np.sqrt(variance / n))
    assert drawn.var() == pytest.approx(variance, rel=5.0 * np.sqrt((2.0 + excess) / n))


def test_draws_of_the_plain_mean_are_counts():
    # Law: Poisson, so whole numbers (to single precision), and zero with probability e^−λ: within
    # 5 standard errors, false alarm < 1e-6.
    mean = np.full((100, 400), 0.7, np.float32)
    drawn = draw_estimate(mean, mean, key=KEY)
    np.testing.assert_allclose(drawn, np.round(drawn), rtol=0, atol=1e-5)
    empty = np.exp(-0.7)
    error = np.sqrt(empty * (1.0 - empty) / drawn.size)
    assert np.mean(drawn == 0.0) == pytest.approx(empty, abs=5.0 * error)


def test_draws_without_variance_are_the_mean():
    # Limit; the least relative standard deviation is 3e-5, of which 6 are allowed.
    mean = np.array([[0.0, 2.0, 3e4]], np.float32)
    drawn = draw_estimate(mean, np.zeros_like(mean), key=KEY)
    np.testing.assert_allclose(drawn, mean, rtol=2e-4)


@pytest.mark.parametrize("mean", [0.08, 0.3, 2.0, 25.0])
def test_drawn_patterns_resemble_integrated_pixels(mean):
    # Simulation: trimmed means of 600 pixels, 4000 times over, against draws of them: mean and
    # standard deviation to 5 standard errors of both together, and 4 % of the noise for table and
    # expansion; false alarm < 1e-6 each.
    n, trials, cut = 600, 4000, 30
    counts = np.sort(np.random.default_rng(7).poisson(mean, (trials, n)), axis=1)
    direct = counts[:, cut:-cut].mean(axis=1)
    expected = np.full((trials, 1), mean * n, np.float32)
    moments = estimate(expected, n_pixels=np.array([float(n)]), table=estimator_table(0.05, 0.05))
    drawn = draw_estimate(*moments, key=KEY)[:, 0].astype(float) / n
    tolerance = 5.0 * np.sqrt(2.0 / trials) + 0.04
    assert drawn.mean() == pytest.approx(direct.mean(), abs=tolerance * direct.std())
    assert drawn.std() == pytest.approx(direct.std(), rel=tolerance)


def test_result_depends_neither_on_threads_nor_on_how_a_scan_is_cut():
    rng = np.random.default_rng(3)
    expected = rng.uniform(0.0, 5000.0, (70, 40)).astype(np.float32)
    n, table = rng.uniform(100.0, 2000.0, 40), estimator_table(0.1, 0.1)
    value, variance = estimate(expected, n_pixels=n, table=table, workers=1)
    again = estimate(expected, n_pixels=n, table=table, workers=3)
    np.testing.assert_array_equal(value, again[0])
    np.testing.assert_array_equal(variance, again[1])
    whole = draw_estimate(value, variance, key=KEY, workers=1)
    np.testing.assert_array_equal(whole, draw_estimate(value, variance, key=KEY, workers=3))
    part = draw_estimate(value[20:50], variance[20:50], key=KEY, first_ray=20)
    np.testing.assert_array_equal(whole[20:50], part)
    other = draw_estimate(value, variance, key=stream_key(12, 2))
    assert np.mean(whole == other) < 0.1  # some small counts agree by chance


def test_shapes_that_do_not_fit_are_refused():
    table, expected = estimator_table(0.1, 0.1), np.ones((2, 3), np.float32)
    with pytest.raises(InputError, match=r"got \(2, 3\) and \(2,\)"):
        estimate(expected, n_pixels=np.ones(2), table=table)
    with pytest.raises(InputError, match=r"slope must have the shape .* got \(1, 3\)"):
        estimate(expected, n_pixels=np.ones(3), table=table, slope=expected[:1])
    with pytest.raises(InputError, match=r"got \(2, 3\) and \(1, 3\)"):
        draw_estimate(expected, expected[:1], key=KEY)
