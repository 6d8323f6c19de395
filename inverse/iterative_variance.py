"""The variance of reconstructions that have no matrix to square.

Noise of the rays, pushed through the same iterations, shows what it becomes. For a linear method
the variance of a pixel is Σ_ray R²·v, linear in the variances of the rays; these are written as

    v(ray, channel) ≈ Σ_m u_m(ray)·s_m(channel),      u, s ≥ 0,

so that K realisations of noise with the variances u_m serve all channels at once:

    Var(pixel, channel) = Σ_m s_m(channel)·mean_K (R·√u_m·z)²,      z normal.

Its relative standard uncertainty is √(2/K), that of the standard uncertainty 1/√(2K). The sum over
the rays of each channel's variance is kept exactly.

A method that is not linear is run again on K sinograms with noise of its own drawn anew, channel by
channel, and the mean squared difference is taken: the same uncertainty, at K times the cost, and
right only as long as the noise is small enough for the response to be linear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.geometry import checked_stack
from inverse.interpolation import CHANNEL_BLOCK
from inverse.mixtures import measured_channels
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Apply = Callable[[Singles], Singles]
"""The reconstruction of a sinogram (angle, offset, channel): images (iy, ix, channel)."""

_ROUNDS = 60
"""Of the multiplicative updates of the factors, which have settled to 1e-3 by then."""
_SAMPLE = 4000
"""Rays on which the factors of the channels are found."""


@dataclass(frozen=True, eq=False)
class Variance:
    """The variance of images, and how well it is known."""

    values: Singles
    """Variance of each pixel, (iy, ix, channel); NaN where not measured."""
    relative_uncertainty: float
    """Of the standard uncertainty √values of one pixel, from the number of realisations."""


@dataclass(frozen=True, eq=False)
class NoiseFactors:
    """Variances of rays as a sum of products."""

    rays: Singles
    """u, (angle, offset, factor)."""
    channels: Floats
    """s, (factor, channel); NaN for a channel that was not measured."""


def linear_variance(
    apply: Apply,
    variance: ArrayLike,
    *,
    n_realisations: int = CHANNEL_BLOCK // 2,
    n_factors: int = 2,
    seed: int = 0,
) -> Variance:
    """Return the variance of a linear reconstruction of rays with this variance.

    variance (angle, offset, channel). All realisations of all factors are reconstructed at once;
    by default they fill one block of channels.
    """
    factors = noise_factors(variance, n_factors=n_factors)
    n_factors = factors.rays.shape[2]
    rng = np.random.Generator(np.random.Philox(seed))
    shape = (*factors.rays.shape[:2], n_realisations)
    noise = [
        np.sqrt(factors.rays[..., m, None]) * rng.standard_normal(shape, dtype=np.float32)
        for m in range(n_factors)
    ]
    images = apply(np.concatenate(noise, axis=2))
    split = images.reshape(*images.shape[:2], n_factors, n_realisations)
    of_factors = np.mean(np.square(split), axis=3)
    return Variance(
        values=of_factors @ factors.channels.astype(np.float32),
        relative_uncertainty=1.0 / np.sqrt(2.0 * n_realisations),
    )


def repeated_variance(
    apply: Apply,
    draw: Callable[[np.random.Generator], Singles],
    *,
    centre: ArrayLike,
    n_realisations: int = 8,
    seed: int = 0,
) -> Variance:
    """Return the variance of any reconstruction, from sinograms that ``draw`` returns.

    ``centre`` (iy, ix, channel) is the reconstruction of what they are drawn about.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    middle = np.asarray(centre, dtype=np.float32)
    total = np.zeros_like(middle)
    for _ in range(n_realisations):
        total += np.square(apply(draw(rng)) - middle)
    return Variance(
        values=total / np.float32(n_realisations),
        relative_uncertainty=1.0 / np.sqrt(2.0 * n_realisations),
    )


def redrawn_counts(
    values: ArrayLike, *, variance: ArrayLike
) -> Callable[[np.random.Generator], Singles]:
    """Return what draws sinograms of scaled counts anew: gain·Poisson(value/gain).

    The gain is variance over value; a ray without counts stays without.
    """
    lines = checked_stack(values, name="values", axes="(angle, offset, channel)")
    variances = checked_stack(variance, name="variance", axes="(angle, offset, channel)")
    if lines.shape != variances.shape:
        raise InputError(
            f"variance must have the shape {lines.shape} of the values, not {variances.shape}."
        )

    def draw(rng: np.random.Generator) -> Singles:
        drawn = np.full(lines.shape, np.nan, np.float32)
        for a, projection in enumerate(lines):
            some = (projection > 0) & (variances[a] > 0)
            gain = np.divide(variances[a], projection, where=some, out=np.ones(projection.shape))
            counts = rng.poisson(np.where(some, projection, 0.0) / gain)
            drawn[a] = np.where(np.isfinite(projection), gain * counts, np.nan)
        return drawn

    return draw


def noise_factors(variance: ArrayLike, *, n_factors: int, seed: int = 0) -> NoiseFactors:
    """Return the variances (angle, offset, channel) as a sum of ``n_factors`` products.

    Channels are scaled to the same mean, so that each is approximated as well as any other; the
    factors of least squares follow by multiplicative updates (Lee and Seung, Nature 401 (1999)
    788), those of the channels on some of the rays.

    Raises InputError where the variance has no channel that holds numbers, or negative ones.
    """
    stack = checked_stack(variance, name="variance", axes="(angle, offset, channel)")
    measured = measured_channels(stack)
    rows = stack.reshape(-1, stack.shape[2])[:, measured].astype(np.float32, copy=False)
    np.nan_to_num(rows, copy=False)
    if rows.size == 0 or rows.min() < 0.0:
        raise InputError("the variance must have channels that hold numbers, none negative.")
    means = rows.mean(axis=0, dtype=np.float64)
    rows /= np.where(means > 0.0, means, 1.0).astype(np.float32)
    rng = np.random.Generator(np.random.Philox(seed))
    sample = rows[rng.permutation(len(rows))[:_SAMPLE]]
    rank = min(n_factors, *sample.shape)
    start = sample[rng.permutation(len(sample))[:rank]] + np.float32(0.1)
    of_channels = _channel_factors(sample, start)
    of_rays = _fitted(rows, of_channels)
    # What the sum over all rays is must not depend on how well the products fit.
    sums = of_rays.mean(axis=0, dtype=np.float64) @ of_channels.astype(np.float64)
    kept = of_channels.astype(np.float64) * np.where(
        sums > 0.0, means / np.where(sums > 0.0, sums, 1.0), 0.0
    )
    channels = np.full((rank, stack.shape[2]), np.nan)
    channels[:, measured] = kept
    return NoiseFactors(rays=of_rays.reshape(*stack.shape[:2], rank), channels=channels)


def _channel_factors(sample: Singles, channels: Singles) -> Singles:
    """Return the factors of the channels, (factor, channel), that fit a sample of rays."""
    tiny = np.float32(1e-12)
    rays: Singles = np.ones((len(sample), len(channels)), np.float32)
    for _ in range(_ROUNDS):
        rays *= (sample @ channels.T) / (rays @ (channels @ channels.T) + tiny)
        channels *= (rays.T @ sample) / ((rays.T @ rays) @ channels + tiny)
    return channels


def _fitted(rows: Singles, channels: Singles) -> Singles:
    """Return the factors of the rays, (ray, factor), not negative, for given ones of channels."""
    tiny = np.float32(1e-12)
    reached, gram = rows @ channels.T, channels @ channels.T
    rays = np.ones_like(reached)
    for _ in range(_ROUNDS):
        rays *= reached / (rays @ gram + tiny)
    return rays
