"""One image from several scans at once, on a grid that is fine only where it is seen finely.

    x = argmin  Σ_scans Σ_rays w·|y − A·x|²  +  λ·Σ_ij c_ij·|x_i − x_j|²

A window inside a larger sample is no problem of its own here: what lies outside it is part of x,
and rays of every scan say what they know of it. The weight w of a ray is the inverse of its
variance, which includes what large pixels cannot show (:mod:`inverse.joint_variance`).

The roughness is set by a length ℓ: waves are smoothed where λ·k² outgrows what the rays of the
finest pixels know, 2ρ/k (:mod:`inverse.joint_filter`), that is beyond k = 1/ℓ for λ = 2ρℓ³.

The minimum is sought by conjugate gradients on the normal equations, all channels at once, each
with its own steps, preconditioned by :class:`inverse.joint_filter.JointFilter`. A share of the rays
is held out of the fit; the steps end when these are told no better.

Parallax is small: a pixel at s µm along the beam shows x·(1 + s·P) instead of x, with P a matrix
between channels. What it adds to the rays, A_s·(x·P) with first moments A_s, is taken off the
values with the x of one round, and the next round starts there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.grids import PixelGrid
from inverse.joint_filter import JointFilter, joint_filter
from inverse.joint_problem import (
    JointProblem,
    RayData,
    ray_density,
    split_rays,
    upright_scans,
)
from inverse.neighbours import neighbours
from xrdct.errors import InputError

_LEAST_GAIN = 2e-3
"""By which the held-out misfit must have fallen in two steps, relative, for another to follow."""

_PARALLAX_ROUNDS = 2
"""Each leaves of the error the share that parallax turns, a third at 0.5 mm and 0.7 m."""

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class JointEstimate:
    """The image, and how the steps of the last round towards it went."""

    values: Singles
    """Per µm, (pixel, channel), in the order of the grid's pixels."""
    misfit: Floats
    """√(weighted mean square residual) of each scan's fitted rays, (step + 1, scan)."""
    held_out: Floats
    """The same of all held-out rays together, (step + 1,); NaN where none were held out."""
    step: int
    """The step whose image is returned: of the least held-out misfit, or the last."""


def joint_estimate(
    scans: Sequence[RayData],
    *,
    smoothing_um: float,
    start: ArrayLike | None = None,
    parallax_per_um: ArrayLike | None = None,
    held_out_share: float = 0.02,
    max_steps: int = 20,
    seed: int = 0,
    workers: int | None = None,
) -> JointEstimate:
    """Return the image that tells all scans best, with the roughness of ``smoothing_um``.

    The scans share one grid and their channels. ``start`` (pixel, channel) is the first image, by
    default the one that is uniform among pixels of a size and tells the rays best.
    ``parallax_per_um`` (channel, channel) is the matrix P; pixels are rows. ``seed`` draws the rays
    that are held out; with a share of zero all ``max_steps`` are taken. A smoothing below a third
    of the finest pixels takes many more steps than the default.

    Raises InputError for arrays that do not fit together, a smoothing that is not positive, or a
    share that leaves no rays.
    """
    grid, n_channels = _checked(scans, smoothing_um, held_out_share)
    kept, held = split_rays(scans, held_out_share, seed)
    density = ray_density(kept, workers=workers)
    # The median of the finest pixels: lines that all pass through the axis make it no measure.
    usual = float(np.median(density[grid.pixels_of(0)]))
    roughness = 2.0 * usual * smoothing_um**3
    laplacian = np.float32(roughness) * neighbours(grid).matrix()
    problem = JointProblem(kept, laplacian, workers)
    image = _uniform(problem) if start is None else np.array(start, dtype=np.float32)
    if image.shape != (grid.x_um.size, n_channels):
        raise InputError(
            f"start must have shape {(grid.x_um.size, n_channels)}, not {image.shape}."
        )
    approximate = joint_filter(
        grid, density=density, usual_density=usual, roughness=roughness,
        beam_fwhm_um=scans[0].projector.beam_fwhm_um,
    )  # fmt: skip
    estimate = _descend(problem, approximate, image, held, max_steps)
    if parallax_per_um is None:
        return estimate
    for _ in range(_PARALLAX_ROUNDS):
        upright = upright_scans(kept, estimate.values, parallax_per_um, workers=workers)
        estimate = _descend(
            replace(problem, scans=upright), approximate, estimate.values, held, max_steps
        )
    return estimate


def _checked(
    scans: Sequence[RayData], smoothing_um: float, held_out_share: float
) -> tuple[PixelGrid, int]:
    if not scans:
        raise InputError("A joint estimate needs at least one scan.")
    grid, n_channels = scans[0].projector.grid, scans[0].values.shape[2]
    if any(s.projector.grid is not grid or s.values.shape[2] != n_channels for s in scans):
        raise InputError("All scans must share one grid and have as many channels.")
    if not (np.isfinite(smoothing_um) and smoothing_um > 0.0):
        raise InputError(f"smoothing_um must be positive and finite, not {smoothing_um}.")
    if not 0.0 <= held_out_share < 1.0:
        raise InputError(f"held_out_share must lie in [0, 1), not {held_out_share}.")
    return grid, n_channels


def _uniform(problem: JointProblem) -> Singles:
    """Return the image, uniform among pixels of a size, whose rays are nearest to those measured.

    Its few unknowns, one per size and channel, are solved for as they stand, (pixel, channel).
    """
    grid = problem.scans[0].projector.grid
    n_sizes, n_channels = grid.sizes_um.size, problem.scans[0].values.shape[2]
    same = np.repeat(np.eye(n_sizes, dtype=np.float32), np.diff(grid.first), axis=0)
    normal, right = np.zeros((n_sizes, n_sizes)), np.zeros((n_sizes, n_channels))
    for scan, lines in zip(problem.scans, problem.rays(same), strict=True):
        length = lines.reshape(-1, n_sizes).astype(np.float64)
        weighted = scan.weight.reshape(-1, 1) * length
        normal += weighted.T @ length
        right += weighted.T @ scan.values.reshape(-1, n_channels)
    level = np.linalg.lstsq(normal, right, rcond=None)[0]
    return np.asarray(same @ level, dtype=np.float32)


def _descend(
    problem: JointProblem,
    approximate: JointFilter,
    image: Singles,
    held: Sequence[Singles],
    max_steps: int,
) -> JointEstimate:
    """Take preconditioned conjugate-gradient steps from ``image`` until nothing is gained."""
    rays = zip(problem.scans, problem.rays(image), strict=True)
    apart = [scan.values - lines for scan, lines in rays]
    fitted = [scan.weight for scan in problem.scans]
    edge, best, best_step = problem.edge_um, image, 0
    misfit, held_out = [_each_misfit(apart, fitted)], [_misfit(apart, held)]
    gradient = problem.gradient(apart, image)
    direction = approximate.apply(gradient, workers=problem.workers)
    slope = _products(gradient, direction)
    for step in range(1, max_steps + 1):
        change = direction / edge
        seen = problem.rays(change)
        curvature = problem.curvature(seen, change)
        length = _ratio(slope, _products(direction, curvature))
        image = image + length * change
        gradient = gradient - length * curvature
        for lines, further in zip(apart, seen, strict=True):
            lines -= length * further
        misfit.append(_each_misfit(apart, fitted))
        held_out.append(_misfit(apart, held))
        if not held_out[-1] >= held_out[best_step]:  # NaN, where no rays are held out: the last
            best, best_step = image, step
        if step > 2 and held_out[-1] > (1.0 - _LEAST_GAIN) * held_out[-3]:
            break
        filtered = approximate.apply(gradient, workers=problem.workers)
        following = _products(gradient, filtered)
        direction = filtered + _ratio(following, slope) * direction
        slope = following
    return JointEstimate(best, np.array(misfit), np.array(held_out), best_step)


def _products(left: Singles, right: Singles) -> Floats:
    """Return the inner product of each channel, in double precision."""
    return np.asarray(np.einsum("pk,pk->k", left, right, dtype=np.float64))


def _ratio(above: Floats, below: Floats) -> Singles:
    """Return above/below, and zero for a channel whose equations are solved."""
    solved = below <= 0.0
    return np.where(solved, 0.0, above / np.where(solved, 1.0, below)).astype(np.float32)


def _misfit(apart: Sequence[Singles], weights: Sequence[Singles]) -> float:
    """Return √(Σ w·r²/number) over the rays of weight of all scans; NaN if there are none."""
    squares = sum(
        float(np.einsum("ao,aok,aok->", weight, lines, lines, dtype=np.float64))
        for lines, weight in zip(apart, weights, strict=True)
    )
    number = sum(np.count_nonzero(weight) for weight in weights) * apart[0].shape[2]
    return float(np.sqrt(squares / number)) if number else float("nan")


def _each_misfit(apart: Sequence[Singles], weights: Sequence[Singles]) -> list[float]:
    """Return the misfit of every scan by itself."""
    return [_misfit([lines], [weight]) for lines, weight in zip(apart, weights, strict=True)]
