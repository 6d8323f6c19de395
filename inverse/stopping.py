"""When to stop iterating: where the noise says so.

Two rules, both read from trial runs on a few sinograms that stand for all channels:

- *Discrepancy* (Morozov): stop at the first iteration whose misfit, Σ w·(b − A·x)², is no more than
  the noise would leave, Σ w·v, within the statistical uncertainty of that sum: their ratio, χ²/dof,
  is at most 1 + √(2/n) for n = (Σ w·v)²/Σ (w·v)² independent residuals. Right where variance and
  projector are right; where the model cannot fit so well (grains, motion, material beyond the grid)
  it never stops, and where the variance is too small, too late.
- *Held-out rays* (cross-validation): leave out a few per cent of the rays, drawn at random, and
  stop where the images predict them best. The noise of the rays is independent, so what is fitted
  of it predicts nothing: the squared error of prediction is the noise plus the error of A·x. It
  needs no variance, and no right model either.

For linear methods the trial sinograms are random mixtures of all channels, whitened by their mean
noise (:mod:`inverse.mixtures`); for the Poisson method they are channels spread over the pattern.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.geometry import checked_stack
from inverse.interpolation import CHANNEL_BLOCK
from inverse.iteration import Iterated, Rays
from inverse.mixtures import measured_channels, mixed, mixtures
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Run = Callable[[Singles, Rays, int, Singles], Iterated]
"""Runs a method: sinogram, rays, iterations, records."""

HELD_OUT = 0.03
"""Share of the rays held out, by default."""
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_INCREMENT = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class Trial:
    """A few sinograms that stand for all channels."""

    values: Singles
    """Shape (angle, offset, trial)."""
    variance: Singles
    """Of a ray in each of them, (angle, offset, trial), or (angle, offset, 1) where they agree."""


@dataclass(frozen=True, eq=False)
class Stopping:
    """The number of iterations, and what it was read from."""

    iterations: int
    misfit: Floats
    """After k = 0, 1, … iterations: χ²/dof of the fitted or of the held-out rays."""
    uncertainty: float
    """Of χ²/dof by the noise of the rays alone, where every residual is noise."""
    reached: bool
    """False where the rule would have gone on beyond the trial's last iteration."""


def ray_weights(variance: ArrayLike) -> Floats:
    """Return the weight of each ray, (angle, offset), from the variance of a sinogram.

    The variance (angle, offset, channel) is taken as a product of one factor for the ray and one
    for the channel; the weight is the inverse of the first, and 1 on average over the rays used.
    Averages over channels stand in for the variance of single ones, which in counts is known no
    better than they are, and would pull the fit to where they happen to be low. A ray whose
    channels all have no variance, or NaN, gets the weight 0.
    """
    stack = checked_stack(variance, name="variance", axes="(angle, offset, channel)")
    factor = _relative_variance(stack)
    known = np.isfinite(factor) & (factor > 0.0)
    weights = np.where(known, 1.0 / np.where(known, factor, 1.0), 0.0)
    return np.asarray(weights / weights[known].mean()) if known.any() else weights


def mixed_trial(
    values: ArrayLike, *, variance: ArrayLike, n_trials: int = CHANNEL_BLOCK, seed: int = 0
) -> Trial:
    """Return random mixtures of all channels, each whitened by its mean noise."""
    lines, variances = _both(values, variance)
    noise = _mean_noise(variances)
    mixture = mixtures(lines, n_mixtures=n_trials, scale=noise, seed=seed)
    return Trial(values=mixture, variance=_relative_variance(variances)[..., None])


def channel_trial(
    values: ArrayLike, *, variance: ArrayLike, n_trials: int = CHANNEL_BLOCK
) -> Trial:
    """Return measured channels, spread evenly over the pattern."""
    lines, variances = _both(values, variance)
    measured = np.flatnonzero(measured_channels(lines))
    chosen = measured[np.unique(np.linspace(0, measured.size - 1, n_trials).round().astype(int))]
    return Trial(
        values=np.asarray(lines[:, :, chosen], dtype=np.float32),
        variance=np.asarray(variances[:, :, chosen], dtype=np.float32),
    )


def held_out_rays(shape: tuple[int, int], *, fraction: float, seed: int = 0) -> NDArray[np.bool_]:
    """Return which rays, (angle, offset), are held out: by a hash of their number and the seed.

    Raises InputError where the fraction is not between 0 and 1.
    """
    if not 0.0 < fraction < 1.0:
        raise InputError(f"the fraction of rays held out must be between 0 and 1, not {fraction}.")
    state = np.arange(shape[0] * shape[1], dtype=np.uint64) + np.uint64(1)
    for word in (np.uint64(seed), np.uint64(0)):
        state = _scrambled(state * _INCREMENT + word)
    return np.asarray((state >> np.uint64(11)) < fraction * 2.0**53).reshape(shape)


def stop_at_discrepancy(run: Run, trial: Trial, *, rays: Rays, max_iterations: int) -> Stopping:
    """Return the number of iterations after which the misfit is that of the noise.

    ``max_iterations`` bounds the trial run.
    """
    history = run(trial.values, rays, max_iterations + 1, rays.weights[None]).misfit[0]
    misfit, uncertainty = _relative_misfit(history, rays.weights, trial.variance)
    small = np.flatnonzero(misfit[1:] <= 1.0 + uncertainty)
    reached = small.size > 0
    return Stopping(
        iterations=1 + int(small[0]) if reached else max_iterations,
        misfit=misfit, uncertainty=uncertainty, reached=reached,
    )  # fmt: skip


def stop_at_held_out(
    run: Run,
    trial: Trial,
    *,
    rays: Rays,
    max_iterations: int,
    fraction: float = HELD_OUT,
    seed: int = 0,
) -> Stopping:
    """Return the number of iterations after which held-out rays are predicted best."""
    held = held_out_rays(rays.weights.shape, fraction=fraction, seed=seed)
    test = np.where(held, rays.weights, 0.0).astype(np.float32)
    fitted = replace(rays, weights=np.where(held, 0.0, rays.weights).astype(np.float32))
    history = run(trial.values, fitted, max_iterations + 1, test[None]).misfit[0]
    misfit, uncertainty = _relative_misfit(history, test, trial.variance)
    best = 1 + int(np.argmin(misfit[1:]))
    return Stopping(
        iterations=best, misfit=misfit, uncertainty=uncertainty, reached=best < max_iterations
    )


def _relative_misfit(history: Floats, weights: Singles, variance: Singles) -> tuple[Floats, float]:
    """Return the mean over the trials of misfit over noise, (iteration,), and its uncertainty.

    history (iteration, trial). The uncertainty is that of noise alone: √(2/n) for n independent
    normal residuals that are weighted alike.
    """
    n_trials = history.shape[1]
    expected = weights[..., None].astype(np.float64) * variance
    noise = expected.sum(axis=(0, 1))
    if not np.all(noise > 0.0):
        raise InputError("the trial sinograms must have noise: their variance is zero.")
    of_each = np.broadcast_to(2.0 * np.square(expected).sum(axis=(0, 1)) / noise**2, n_trials)
    return np.mean(history / noise, axis=1), float(np.sqrt(of_each.sum()) / n_trials)


def _both(
    values: ArrayLike, variance: ArrayLike
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    lines = checked_stack(values, name="values", axes="(angle, offset, channel)")
    variances = checked_stack(variance, name="variance", axes="(angle, offset, channel)")
    if lines.shape != variances.shape:
        raise InputError(
            f"variance must have the shape {lines.shape} of the values, not {variances.shape}."
        )
    return lines, variances


def _mean_noise(variances: NDArray[np.generic]) -> Floats:
    """Return the root of the mean variance of each channel over the rays, (channel,)."""
    total = np.zeros(variances.shape[2])
    for projection in variances:
        total += np.nansum(projection.astype(np.float64), axis=0)
    return np.asarray(np.sqrt(total / (variances.shape[0] * variances.shape[1])))


def _relative_variance(variances: NDArray[np.generic]) -> Singles:
    """Return the mean over channels of variance over mean variance, (angle, offset)."""
    noise = _mean_noise(variances)
    used = measured_channels(variances) & (noise > 0.0)
    inverse = np.where(used, 1.0 / np.where(used, noise, 1.0) ** 2, 0.0) / max(used.sum(), 1)
    return mixed(variances, inverse[:, None].astype(np.float32), used)[..., 0]


def _scrambled(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the words, each mixed so that every bit depends on all (Steele et al., 2014)."""
    for shift, multiplier in zip((np.uint64(30), np.uint64(27)), _MULTIPLIERS, strict=True):
        state = (state ^ (state >> shift)) * multiplier
    return np.asarray(state ^ (state >> np.uint64(31)))
