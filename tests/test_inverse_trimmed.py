"""Estimators of a channel against sorting in NumPy, SciPy, simulation and published biases."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mstats, poisson

from inverse.averages import clipping_factors
from inverse.integrate import integrate_frame
from inverse.integration import Integration
from inverse.order_statistics import BUCKETS, order_statistics
from inverse.pixel_bins import PixelBins

BIASES = Path(__file__).parent / "data" / "trimmed_mean_bias.csv"
UNIT_RING = float(np.arcsin(1 / (2 * np.pi)))
"""The 2θ at which the ring has 2π sin2θ = 1 steradian per radian."""


def channels(weights):
    """Bins of which each row of pixels is a channel, with the given weights (channel, pixel)."""
    n_channels, n = weights.shape
    return PixelBins(
        shape=(n_channels, n),
        start=np.arange(n_channels + 1) * n,
        pixel=np.arange(n_channels * n, dtype=np.int32),
        weight=weights.astype(np.float32).ravel(),
        two_theta_rad=np.full(n_channels, UNIT_RING),
        channel_width_rad=1e-3,
    )


def estimate(counts, weights, **recipe):
    """Values and variances of the rows of counts, both (channel,)."""
    integration = Integration(**recipe)
    frame = np.atleast_2d(counts).astype(np.int32)
    return integrate_frame(frame, channels(np.atleast_2d(weights)), integration, workers=1)


def kept_shares(v, below, above):
    """Fraction of each pixel kept when ties are cut in proportion, from its ranks."""
    less = np.array([(v < x).sum() for x in v])
    equal = np.array([(v == x).sum() for x in v])
    first, last = np.maximum(less, below), np.minimum(less + equal, v.size - above)
    return np.maximum(last - first, 0) / equal


def oracle(counts, weights, alpha, beta):
    """Trimmed mean and its variances by the definitions, sorted and compared in NumPy."""
    usable = counts >= 0
    n, w = counts[usable].astype(float), weights[usable].astype(np.float32)
    v = counts[usable].astype(np.float32) / w
    size = n.size
    below, above = int(np.floor(alpha * size + 1e-9)), int(np.floor(beta * size + 1e-9))
    share, w = kept_shares(v, below, above), w.astype(float)
    total = (share * w).sum()
    t = (share * n).sum() / total
    a, b = (float(x) for x in np.sort(v)[[below, size - 1 - above]])
    mean_w = total / (size - below - above)
    influence = [below * [mean_w * (a - t)], above * [mean_w * (b - t)]]
    outside = np.concatenate(influence)
    squares = (share * (n - w * t) ** 2).sum() + (outside**2).sum() - outside.sum() ** 2 / size
    steps = np.clip(n, a * w, b * w) - np.clip(n - 1, a * w, b * w)
    spread = squares / total**2 * size / (size - 1)
    return t, spread, (n * steps**2).sum() / total**2


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(8, 700),
    mean=st.sampled_from([0.05, 0.5, 3.0, 40.0, 1e4]),
    levels=st.sampled_from([1, 3, 1000]),
    alpha=st.sampled_from([0.0, 0.05, 0.1, 0.29, 0.45]),
    beta=st.sampled_from([0.0, 0.05, 0.1, 0.29, 0.5]),
)
def test_trimmed_mean_is_that_of_sorting(seed, n, mean, levels, alpha, beta):
    """Definition, by sorting in NumPy; ties among counts, weights and values, outliers, gaps.

    The same pixels must be kept, so only the rounding of sums of n numbers of one sign differs; the
    spread is a difference of squares, which rounds relative to the largest of them.
    """
    rng = np.random.default_rng(seed)
    counts = rng.poisson(mean, n)
    counts[rng.random(n) < 0.02] = 1_000_000
    counts[8:][rng.random(n - 8) < 0.1] = -1
    counts[8:][rng.random(n - 8) < 0.1] = -2
    weights = np.float32(1e-7) * np.linspace(0.8, 1.2, levels, dtype=np.float32)
    weights = rng.choice(weights, n)
    recipe = {"method": "trimmed", "lower_percent": 100 * alpha, "upper_percent": 100 * beta}
    t, spread, photons = oracle(counts, weights, alpha, beta)
    value, variance = estimate(counts, weights, error_model="azimuthal", **recipe)
    assert value[0] == pytest.approx(t, rel=1e-12)
    largest = counts.max() / weights.min()
    assert variance[0] == pytest.approx(spread, rel=1e-9, abs=1e-12 * largest**2 / n)
    _, variance = estimate(counts, weights, error_model="poisson", **recipe)
    smaller = min(spread, photons)
    assert variance[0] == pytest.approx(smaller, rel=1e-9, abs=1e-12 * largest**2 / n)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 500), spread=st.sampled_from([0, 1, 9]))
def test_order_statistics_are_those_of_sorting(seed, n, spread):
    """Definition, by sorting; heavy tails of both signs, many equal values, all of them equal."""
    rng = np.random.default_rng(seed)
    values = np.round(np.exp(spread * rng.standard_normal(n)), 1).astype(np.float32)
    values *= rng.choice([-1, 1], n)
    ranks = np.sort(rng.integers(0, n, 4))
    found, part, bucket = np.empty(4, np.float32), np.empty(n, np.float32), np.empty(n, np.int32)
    order_statistics(values, n, ranks, bucket, np.empty((2, BUCKETS), np.int32), part, found)
    np.testing.assert_array_equal(found, np.sort(values)[ranks])


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(8, 301), mean=st.sampled_from([0.3, 5.0, 1e3]))
def test_mean_and_median_are_those_of_numpy(seed, n, mean):
    """NumPy's median, and the ratio of sums; differences are roundings of single and double."""
    rng = np.random.default_rng(seed)
    counts, weights = rng.poisson(mean, n), rng.uniform(0.5, 1.5, n).astype(np.float32)
    value, variance = estimate(counts, weights, method="mean")
    assert value[0] == pytest.approx(counts.sum() / weights.astype(float).sum(), rel=1e-12)
    assert variance[0] == pytest.approx(counts.sum() / weights.astype(float).sum() ** 2, rel=1e-12)
    value, _ = estimate(counts, weights, method="median")
    v = counts.astype(np.float32) / weights
    assert value[0] == pytest.approx(np.median(v.astype(float)), rel=1e-12)


def test_the_order_of_pixels_does_not_matter():
    """Law: zeros tie, but have different weights; which of them are listed first must not matter.

    The sums are reordered too, so equality is to rounding. Dropping the first zeros, those of the
    smallest weights, would change the value by per cents.
    """
    rng = np.random.default_rng(5)
    counts, weights = rng.poisson(0.5, 400), rng.uniform(0.5, 1.5, 400)
    order = np.argsort(weights)
    kept, _ = estimate(counts, weights, method="trimmed_10_10")
    moved, _ = estimate(counts[order], weights[order], method="trimmed_10_10")
    assert kept[0] == pytest.approx(moved[0], rel=1e-12)


@pytest.mark.parametrize(("method", "part"), [("trimmed_5_5", 0.05), ("trimmed_10_10", 0.1)])
def test_spread_is_the_standard_error_of_scipy(method, part):
    """Independent package: SciPy's Winsorised standard error, for equal weights without ties.

    N is a multiple of 20, so that both trim the same whole number of pixels. SciPy's Winsorised
    variance divides by N − 1, as ours does.
    """
    rng = np.random.default_rng(6)
    counts = rng.permutation(40_000)[:600]
    _, variance = estimate(counts, np.ones(600), method=method, error_model="azimuthal")
    expected = float(mstats.trimmed_stde(counts.astype(float), limits=(part, part)))
    assert np.sqrt(variance[0]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("mean", [0.2, 1.0, 5.0, 20.0])
@pytest.mark.parametrize("method", ["trimmed_5_5", "trimmed_10_10"])
def test_bias_is_the_published_one(mean, method):
    """Published numbers: bias of the trimmed mean of 2000 Poisson pixels.

    Their own error: the table's relative deviations of the plain mean scatter by 0.9 % about
    1/√(2000·mean), as for some 6000 trials; at least 1000 are assumed, for which the scatter would
    be 2.2 %. The bound is six deviations of both together: false alarms 2e-9 each.
    """
    table = np.genfromtxt(BIASES, delimiter=",", names=True)
    row = table[table["mean_counts_per_pixel"] == mean]
    name = method.removeprefix("trimmed_")
    bias, deviation = float(row[f"bias_{name}"][0]), float(row[f"sd_{name}"][0])
    trials = 1500
    counts = np.random.default_rng(7).poisson(mean, (trials, 2000))
    value, _ = estimate(counts, np.ones(counts.shape), method=method)
    bound = 6 * deviation * np.sqrt(1 / trials + 1 / 1000)
    assert value.mean() / mean - 1 == pytest.approx(bias, abs=bound)


TRIALS, PIXELS = 6000, 1000
SCATTER = 5.5 * np.sqrt(2 / TRIALS)
"""5.5 relative deviations of the variance of so many normal estimates: false alarms 4e-8 each."""


def stated_over_found(counts, weights, **recipe):
    """Mean stated variance over the variance that the estimates show."""
    value, variance = estimate(counts, weights, **recipe)
    return variance.mean() / value.var(ddof=1)


@pytest.mark.parametrize("mean", [0.2, 1.0, 5.0, 20.0, 100.0])
def test_stated_variance_is_the_spread_of_estimates(mean):
    """Simulation: flat Poisson pixels whose weights differ by a twentieth.

    The influence function is exact to order 1/N, and to 3 % where the fraction below a cut is
    within 2.3 deviations of a step of the Poisson distribution (one count, 10 %/10 %). Clipping is
    by normal noise, so it is only held to 100 counts, and to k = 5 where it hardly clips.
    """
    rng = np.random.default_rng(8)
    weights = np.broadcast_to(rng.uniform(0.95, 1.05, PIXELS), (TRIALS, PIXELS))
    counts = rng.poisson(mean * weights)
    recipes = [{"method": m} for m in ("mean", "trimmed_5_5", "trimmed_10_10", "sigma_clip")]
    recipes.append({"method": "trimmed", "lower_percent": 0.0, "upper_percent": 10.0})
    if mean == 100.0:
        recipes.extend({"method": "sigma_clip", "clip_threshold": k} for k in (2.5, 3.0))
    for recipe in recipes:
        for model in ("azimuthal", "poisson"):
            ratio = stated_over_found(counts, weights, error_model=model, **recipe)
            assert ratio == pytest.approx(1.0, abs=SCATTER + 0.03), (recipe, model)


@pytest.mark.parametrize("mean", [20.0, 100.0])
def test_photons_bound_the_variance_on_a_slope(mean):
    """Simulation and derivation: expectations that differ by ±3 deviations of the counts.

    The spread takes the slope for noise: uniform over ±3σ it adds 3σ² to σ². The bound by photons
    is at least the truth and at most 1/(1 − α − β) of the mean's variance, which a trimmed mean of
    normal noise does not beat.
    """
    rng = np.random.default_rng(9)
    profile = mean + 3 * np.sqrt(mean) * np.linspace(-1, 1, PIXELS)
    counts = rng.poisson(np.broadcast_to(profile, (TRIALS, PIXELS)))
    weights = np.ones(counts.shape)
    exact = stated_over_found(counts, weights, method="mean", error_model="poisson")
    assert exact == pytest.approx(1.0, abs=SCATTER)
    for method, kept in (("mean", 1.0), ("trimmed_5_5", 0.9), ("trimmed_10_10", 0.8)):
        naive = stated_over_found(counts, weights, method=method, error_model="azimuthal")
        assert naive > 3.5
        ratio = stated_over_found(counts, weights, method=method, error_model="poisson")
        assert 1.0 - SCATTER < ratio < (1.0 + SCATTER) / kept


@given(mean=st.floats(0.05, 300.0), low=st.integers(0, 300), width=st.integers(0, 60))
def test_bound_by_photons_holds_for_every_poisson_law(mean, low, width):
    """Theorem (Klaassen 1985): Var c(X) ≤ E X [c(X) − c(X − 1)]², c(x) clipped to [low, high].

    Both sides are summed over the distribution, whose tails are cut off where they are below 1e-12.
    """
    x = np.arange(int(mean + 12 * np.sqrt(mean) + 40))
    p = poisson.pmf(x, mean)
    clipped = np.clip(x, low, low + width)
    truth = (p * clipped**2).sum() - (p * clipped).sum() ** 2
    bound = (p * x * (clipped - np.clip(x - 1, low, low + width)) ** 2).sum()
    assert truth <= bound + 1e-9 * (1 + low + width) ** 2


def test_variance_of_the_median_where_counts_are_many():
    """Simulation: weights that differ make the values of 1000 counts as good as continuous."""
    rng = np.random.default_rng(10)
    weights = np.broadcast_to(rng.uniform(0.9, 1.1, PIXELS), (TRIALS, PIXELS))
    ratio = stated_over_found(rng.poisson(1000 * weights), weights, method="median")
    assert ratio == pytest.approx(1.0, abs=SCATTER + 0.03)


def test_variance_of_the_median_averages_over_the_steps_of_counts():
    """Derivation: for equal weights, right on average over where in a step the intensity lies.

    The variances, zero at most intensities, are summed over 40 of them within one count, which is
    some 9 deviations of the median, so that about 5 take part. Each found variance p(1 − p) has a
    relative error below 1/√trials = 2.6 %, so has each stated one, and their sums 1.6 % together;
    the bound is 5.5 of these. K/(K + 1) is known, with K = 20.
    """
    rng = np.random.default_rng(11)
    trials, n = 1500, 500
    stated, found = 0.0, 0.0
    for mean in 20 + (np.arange(40) + 0.5) / 40:
        counts = rng.poisson(mean, (trials, n))
        value, variance = estimate(counts, np.ones(counts.shape), method="median")
        stated, found = stated + variance.mean(), found + value.var(ddof=1)
    assert stated / found == pytest.approx(20 / 21, abs=0.09)


def test_clipping_does_nothing_far_out():
    """Limit: a window without edges keeps everything, and its factors are one."""
    for poisson_model in (True, False):
        factors = clipping_factors(12.0, iterations=5, poisson=poisson_model)
        assert factors == pytest.approx((1.0, 1.0), abs=1e-12)


def test_clipping_twice_at_constant_width_has_its_closed_form():
    """Closed form: the influence settles at x·1(|x| < k)/(P − c), of variance 1/(P − c)."""
    k, kept = 3.0, 0.9973002039367398
    exchanged = 6 * np.exp(-4.5) / np.sqrt(2 * np.pi)
    by_spread, by_photons = clipping_factors(k, iterations=60, poisson=True)
    assert by_photons == pytest.approx(kept / (kept - exchanged), rel=1e-12)
    assert by_spread == pytest.approx((kept / (kept - exchanged)) ** 2, rel=1e-12)


def test_outliers_are_dropped():
    """Law: a hundredth of the pixels made very bright changes no robust estimate by its error.

    A hundredth of the ranks below the upper cut then counts instead of being left out, and as much
    below the lower cut is lost: 0.01·(b − a)/(2·0.9) ≈ 0.02σ, below the error of σ/√1000 = 0.03σ.
    """
    rng = np.random.default_rng(12)
    clean = rng.poisson(100.0, (200, 1000))
    spotted = clean.copy()
    spotted[:, ::100] = 50_000
    weights = np.ones(clean.shape)
    for method in ("trimmed_5_5", "trimmed_10_10", "median", "sigma_clip"):
        before, variance = estimate(clean, weights, method=method)
        after, _ = estimate(spotted, weights, method=method)
        assert abs((after - before).mean()) < np.sqrt(variance.mean()), method
    mean, _ = estimate(spotted, weights, method="mean")
    assert mean.mean() > 500
