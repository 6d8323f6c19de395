"""What trimming leaves of a spotty ring, against rings drawn pixel by pixel and known limits."""

from functools import lru_cache

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm

from forward.ring_trimming import kept_fraction, trimmed_counts, trimmed_variance
from xrdct.errors import InputError

SIGMA_PER_FWHM = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))


@lru_cache(maxsize=16)
def rings(spots_per_pixel, *, fwhm_px, n_rings, n_pixels, seed):
    """Return rings of mean 1 (ring, pixel), every spot added to the pixels it falls on."""
    rng = np.random.default_rng(seed)
    sigma = fwhm_px * SIGMA_PER_FWHM
    total = rng.poisson(spots_per_pixel * n_rings * n_pixels)
    ring, place = rng.integers(n_rings, size=total), rng.uniform(0.0, n_pixels, total)
    out = np.zeros((n_rings, n_pixels))
    reach = int(np.ceil(5.0 * sigma)) + 1
    first = np.floor(place).astype(int)
    for k in range(-reach, reach + 1):
        edge = first + k - place
        share = ndtr((edge + 1.0) / sigma) - ndtr(edge / sigma)
        pixel = ring * n_pixels + (first + k) % n_pixels
        out += np.bincount(pixel, share / spots_per_pixel, out.size).reshape(out.shape)
    return out


def trimmed(values, lower, upper):
    """Return the trimmed mean of each row; fractions of a pixel do not occur."""
    ordered, n = np.sort(values, axis=1), values.shape[1]
    return ordered[:, round(lower * n) : n - round(upper * n)].mean(axis=1)


@pytest.mark.parametrize("spots_per_pixel", [0.04, 0.13, 0.38, 3.8])
@pytest.mark.parametrize("fwhm_px", [1.0, 2.0])
def test_kept_fraction_of_drawn_rings(spots_per_pixel, fwhm_px):
    # Truth: 100 rings of 4000 pixels, drawn. Mean to 6 standard errors of the sample (Student's t
    # of 99 degrees: 3e-8 each). A trimmed mean of n correlated pixels is biased by the order of its
    # variance, 1/(n · spots) relative = 1/160 at worst; and the table's 1e-3.
    drawn = rings(spots_per_pixel, fwhm_px=fwhm_px, n_rings=100, n_pixels=4000, seed=17)
    for lower, upper in ((0.05, 0.05), (0.1, 0.1), (0.0, 0.1)):
        kept = trimmed(drawn, lower, upper)
        expected = kept_fraction(spots_per_pixel, lower=lower, upper=upper, fwhm_px=fwhm_px)
        bound = 6.0 * kept.std(ddof=1) / 10.0 + 1e-3 + 1.0 / (4000.0 * spots_per_pixel)
        assert abs(kept.mean() - expected) < bound


@pytest.mark.parametrize(("spots_per_pixel", "n_pixels"), [(0.13, 1000), (0.5, 400), (4.0, 200)])
@pytest.mark.parametrize(("lower", "upper"), [(0.05, 0.05), (0.1, 0.1), (0.0, 0.1)])
def test_variance_of_drawn_rings(spots_per_pixel, n_pixels, lower, upper):
    # Truth: 2000 rings, drawn, of more than a hundred spots each. A sample variance of nearly
    # normal means is known to √(2/2000) = 3.2 %; 5.5 sigma and the table's 1 %. Without the
    # correlation of neighbours it would be 0.4 of that.
    drawn = rings(spots_per_pixel, fwhm_px=1.5, n_rings=2000, n_pixels=n_pixels, seed=23)
    variance = n_pixels * trimmed(drawn, lower, upper).var(ddof=1)
    expected = trimmed_variance(spots_per_pixel, lower=lower, upper=upper, fwhm_px=1.5)
    assert variance / expected == pytest.approx(1.0, abs=5.5 * np.sqrt(2.0 / 2000.0) + 0.01)


@pytest.mark.parametrize("fwhm_px", [0.5, 1.5, 3.0])
def test_nothing_trimmed_nothing_lost(fwhm_px):
    # Truth: the mean of Poisson numbers of spots, of relative variance 1/M.
    spots = np.array([0.01, 0.3, 7.0, 900.0])
    kept = kept_fraction(spots, lower=0.0, upper=0.0, fwhm_px=fwhm_px)
    np.testing.assert_allclose(kept, 1.0, rtol=1e-4)
    variance = trimmed_variance(spots, lower=0.0, upper=0.0, fwhm_px=fwhm_px)
    np.testing.assert_allclose(variance * spots, 1.0, rtol=0.01)


def test_many_spots_are_gaussian():
    # Truth: the central limit. Without its upper 5 % a normal variable's mean lies below by
    # φ(z)/0.95 of its standard deviation √(∫a²/m̄). The skew ∫a³/(√m̄ (∫a²)^1.5) is 0.02 here, and
    # changes that by less than its own size.
    def sample(t, power):
        sigma = 1.5 * SIGMA_PER_FWHM
        return (ndtr((t + 0.5) / sigma) - ndtr((t - 0.5) / sigma)) ** power

    spots = 3000.0
    spread = np.sqrt(quad(sample, -8.0, 8.0, args=(2,), points=[0.0])[0] / spots)
    kept = kept_fraction(spots, lower=0.0, upper=0.05, fwhm_px=1.5)
    expected = norm.pdf(norm.ppf(0.95)) / 0.95 * spread
    assert 1.0 - kept == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("counts", "bias", "digit"), [(0.2, -0.49, 0.01), (1.0, -0.13, 0.01), (5.0, -0.019, 0.001)]
)
def test_bias_of_poisson_counts(counts, bias, digit):
    # Truth: PHYSICS 7, 10 % from either end of Poisson numbers, to half the last digit given (a
    # whole one, for its 2000 pixels were drawn). Many spots, or background alone, are the same.
    ends = {"lower": 0.1, "upper": 0.1, "fwhm_px": 1.5}
    kept = trimmed_counts(1e5, ring_counts=counts, **ends) / counts
    assert kept - 1.0 == pytest.approx(bias, abs=digit)
    flat = trimmed_counts(0.1, ring_counts=0.0, background_counts=counts, **ends)
    assert flat / counts == pytest.approx(kept, abs=1e-3)


@pytest.mark.parametrize(("counts", "background"), [(0.5, 0.0), (5.0, 2.0), (60.0, 15.0)])
def test_counted_rings_are_those_drawn(counts, background):
    # Truth: 100 rings of 4000 pixels, drawn and counted; bounds as for the rings without counting.
    rng = np.random.default_rng(31)
    drawn = rings(0.38, fwhm_px=1.5, n_rings=100, n_pixels=4000, seed=37)
    kept = trimmed(rng.poisson(counts * drawn + background), 0.05, 0.05)
    expected = trimmed_counts(
        0.38,
        lower=0.05,
        upper=0.05,
        fwhm_px=1.5,
        ring_counts=counts,
        background_counts=background,
    )
    bound = 6.0 * kept.std(ddof=1) / 10.0 + counts / (4000.0 * 0.38)
    assert abs(kept.mean() - expected) < bound


def test_many_counts_are_as_good_as_none_counted():
    # Truth: the limit of no counting noise. At 2000 counts to a spot a pixel is known to 2 % or so,
    # and quantiles move by the square of that, 5e-4; the limit itself is taken beyond 10⁴.
    ends = {"lower": 0.05, "upper": 0.05, "fwhm_px": 1.5}
    kept = float(kept_fraction(0.13, **ends))
    for counts in (260.0, 2600.0):
        assert trimmed_counts(0.13, ring_counts=counts, **ends) / counts == pytest.approx(
            kept, abs=2e-3
        )


def test_figures_of_an_earlier_study():
    # Truth: PHYSICS 5, whose spots were of unstated size. What is kept grows with the size, and
    # each figure lies between those of spots of 0.5 and 1.6 pixels, to the half per cent given.
    spots = np.array([0.04, 0.13, 0.38, 3.8])
    for trim, figures in ((0.05, [28, 67, 85, 99]), (0.1, [8, 49, 77, 98])):
        low, high = (
            100.0 * kept_fraction(spots, lower=trim, upper=trim, fwhm_px=fwhm)
            for fwhm in (0.5, 1.6)
        )
        assert np.all(low < np.array(figures) + 0.5)
        assert np.all(high > np.array(figures) - 0.5)


def test_shapes_and_ends_of_the_table():
    # Truth: by definition; beyond the table its ends hold, where nothing and everything is kept.
    spots = np.array([[0.0, 1e-6], [1e5, 1.0]])
    kept = kept_fraction(spots, lower=0.05, upper=0.05, fwhm_px=1.5)
    assert kept.shape == (2, 2)
    np.testing.assert_allclose(kept[0], 0.0, atol=1e-3)
    assert kept[1, 0] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"lower": -0.1}, "trimmed fractions"),
        ({"upper": 0.96}, "trimmed"),
        ({"fwhm_px": 0.0}, "fwhm_px"),
    ],
)
def test_refusals(changed, words):
    # Truth: the rules in the message.
    given = {"lower": 0.05, "upper": 0.05, "fwhm_px": 1.5} | changed
    with pytest.raises(InputError, match=words):
        kept_fraction(1.0, **given)
    with pytest.raises(InputError, match=words):
        trimmed_counts(1.0, ring_counts=1.0, **given)


@pytest.mark.parametrize("table", [kept_fraction, trimmed_variance])
def test_tables_do_not_depend_on_what_was_asked_before(table):
    # Law: nodes are worked out where they are needed, and interpolation looks at no others.
    cuts = {"lower": 0.03, "upper": 0.11, "fwhm_px": 1.7}
    alone = table(np.array([0.9, 1.1]), **cuts)
    among_others = table(np.array([0.1, 0.9, 1.1, 10.0]), **cuts)
    np.testing.assert_array_equal(among_others[1:3], alone)
