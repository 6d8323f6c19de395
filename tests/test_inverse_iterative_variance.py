"""Propagated variance against closed forms and repeated noise."""

from functools import partial

import numpy as np
import pytest

from inverse.cgls import cgls
from inverse.iteration import scan_rays
from inverse.iterative_variance import (
    linear_variance,
    noise_factors,
    redrawn_counts,
    repeated_variance,
)
from inverse.poisson import poisson_reconstruction
from inverse.reconstruct import filtered_back_projection
from inverse.sirt import sirt
from xrdct.errors import InputError

N, N_ANGLES = 15, 24
ANGLES = np.arange(N_ANGLES) * np.pi / N_ANGLES


def generator(seed):
    return np.random.Generator(np.random.Philox(seed))


def product_variance(n_channels=9, seed=0):
    """Variances that are a product, as of a uniform sample: one factor serves them."""
    rng = generator(seed)
    return rng.uniform(0.3, 3.0, (N_ANGLES, N, 1)) * rng.uniform(0.5, 9.0, n_channels)


def rays_of(variance):
    return scan_rays(variance.shape, angles_rad=ANGLES, step_um=1.0)


def fbp(lines):
    return filtered_back_projection(lines, angles_rad=ANGLES, step_um=1.0).values


def test_estimate_of_filtered_back_projection_is_its_exact_variance():
    """Independent: the closed form of inverse.reconstruct. With K = 400 realisations one variance
    has the relative uncertainty √(2/400) = 0.071; of 177 pixels, the worst stays within 5 σ, and
    their scatter is 0.071, known to 1/√(2·177), 5.3 %; neighbours are hardly correlated (ramp)."""
    variance = product_variance()
    exact = filtered_back_projection(
        variance, variance=variance, angles_rad=ANGLES, step_um=1.0
    ).variance
    found = linear_variance(fbp, variance, n_realisations=400, n_factors=1)
    ratio = (found.values / exact)[..., 0]
    ratio = ratio[np.isfinite(ratio)] - 1
    assert np.abs(ratio).max() < 5 * np.sqrt(2 / 400)
    assert abs(ratio.std() / np.sqrt(2 / 400) - 1) < 5 * 0.053
    np.testing.assert_allclose(found.relative_uncertainty, 1 / np.sqrt(800))
    np.testing.assert_allclose(
        found.values / found.values[..., :1],
        exact / exact[..., :1],
        rtol=1e-4,
    )


@pytest.mark.parametrize("method", ["sirt", "cgls"])
def test_estimate_is_the_variance_of_repeated_noise(method):
    """Law of large numbers: 1500 sinograms of fresh noise in one channel; √(2/300 + 2/1500),
    0.089, between the two in each pixel, 5 σ at the worst of 177; and their mean within 5 σ of 1
    even if all pixels were one (0.089·5/√177 if they were independent; a tenth is asked)."""
    variance = product_variance(n_channels=1)
    rays = rays_of(variance)
    if method == "cgls":
        data = generator(1).normal(size=variance.shape) * np.sqrt(variance) + 20.0
        steps = cgls(data, rays=rays, iterations=6).steps
        run = partial(cgls, rays=rays, iterations=6, steps=steps)
    else:
        run = partial(sirt, rays=rays, iterations=12)
    found = linear_variance(
        lambda lines: run(lines).values, variance, n_realisations=300, n_factors=1
    )
    noise = generator(2).standard_normal((N_ANGLES, N, 1500)) * np.sqrt(variance)
    repeated = np.square(run(noise).values).mean(axis=2)
    ratio = found.values[..., 0] / repeated
    assert np.nanmax(np.abs(ratio - 1)) < 5 * np.sqrt(2 / 300 + 2 / 1500)
    assert abs(np.nanmean(ratio) - 1) < 0.1


def test_a_poisson_reconstruction_has_the_variance_of_counts_drawn_anew():
    """Law of large numbers, where the truth is known: counts of the true means against counts of
    one measurement, 60 each. What is drawn about a measurement varies as its counts do, and as its
    image, which is itself one draw: within 25 % on average over the image."""
    distance = np.arange(N) - 7.0
    chord = 2 * np.sqrt(np.maximum(5.5**2 - distance**2, 0.0))
    mean = np.broadcast_to(40.0 * chord[None, :, None], (N_ANGLES, N, 1))
    gain = 0.25
    rays = rays_of(mean)

    def run(lines):
        return poisson_reconstruction(lines, rays=rays, iterations=12).values

    rng = generator(3)
    fresh = np.concatenate([run(gain * rng.poisson(mean / gain)) for _ in range(60)], axis=2)
    truth = fresh.var(axis=2)
    measured = gain * rng.poisson(mean / gain)
    draw = redrawn_counts(measured, variance=gain * measured)
    found = repeated_variance(run, draw, centre=run(measured), n_realisations=60)
    inside = np.hypot(distance[:, None], distance[None, :]) < 5
    total = found.values[inside, 0].mean() / truth[inside].mean()
    assert abs(total - 1) < 0.25
    assert np.isnan(found.values[0, 0, 0])


def test_counts_drawn_anew_have_the_stated_variance():
    """Closed form: mean and variance of gain·Poisson; 5 σ of 2000 draws. NaN stays NaN, and where
    nothing was counted nothing is drawn."""
    values = np.array([[[3.0, 0.0, 12.0, np.nan]]])
    variance = np.array([[[0.6, 0.0, 6.0, np.nan]]])
    draw = redrawn_counts(values, variance=variance)
    rng = generator(4)
    drawn = np.concatenate([draw(rng) for _ in range(2000)])[:, 0].astype(float)
    mean, scatter = drawn.mean(axis=0), drawn.var(axis=0)
    for c in (0, 2):
        assert abs(mean[c] - values[0, 0, c]) < 5 * np.sqrt(variance[0, 0, c] / 2000)
        assert abs(scatter[c] / variance[0, 0, c] - 1) < 6 * np.sqrt(2 / 2000)
    assert np.all(drawn[:, 1] == 0.0)
    assert np.all(np.isnan(drawn[:, 3]))


def test_factors_are_exact_for_sums_of_products():
    """Closed form: rank two; 60 multiplicative updates leave 1 % where the factors overlap."""
    rng = generator(5)
    u, s = rng.uniform(0, 1, (12, 14, 2)) ** 3, rng.uniform(0, 1, (2, 20)) ** 3
    variance = u @ s
    factors = noise_factors(variance, n_factors=2)
    found = factors.rays.astype(float) @ factors.channels
    assert np.abs(found - variance).mean() < 0.02 * variance.mean()
    assert factors.rays.min() >= 0.0
    assert factors.channels.min() >= 0.0


def test_factors_keep_the_noise_of_every_channel():
    """Law: the sum over rays is kept whatever the products cannot say; NaN channels stay NaN."""
    variance = generator(6).uniform(0, 1, (10, 12, 30))
    variance[..., 7] = np.nan
    for n_factors in (1, 3):
        factors = noise_factors(variance, n_factors=n_factors)
        found = (factors.rays.astype(float) @ factors.channels).sum(axis=(0, 1))
        np.testing.assert_allclose(found, variance.sum(axis=(0, 1)), rtol=1e-5)
    found = linear_variance(lambda lines: lines, variance, n_realisations=4)
    assert np.all(np.isnan(found.values[..., 7]))
    assert not np.isnan(np.delete(found.values, 7, axis=2)).any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="must have channels that hold numbers, none negative"):
        noise_factors(-np.ones((2, 3, 4)), n_factors=1)
    with pytest.raises(InputError, match="variance must have the shape"):
        redrawn_counts(np.ones((2, 3, 4)), variance=np.ones((2, 3, 5)))
