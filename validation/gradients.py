"""Whether a method invents or erases radial gradients: recovered slopes against planted ones.

In every particle a straight line is fitted to the recovered lattice parameter against the true
depth, and another to the true one over the same voxels. With u = depth/radius, between 0 at the
surface and 1 in the middle, a slope is a difference between core and surface, in Å, and the true
one is what was planted. The same particles with several planted differences t give a line for each,

    recovered slope = offset + gain·t,

whose gain is 1 for a method that keeps gradients, less where it erases them, and whose offset is
what it invents. Means over particles have the weights n·var(u), the information in a slope from n
equally uncertain voxels, and the uncertainty of weighted means of independent particles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdct.errors import InputError

Floats = NDArray[np.float64]
FEWEST_VOXELS = 12
"""In a particle, for a slope."""


@dataclass(frozen=True, eq=False)
class Slopes:
    """Slopes da/du of particles, every field of shape (particle,)."""

    particle: NDArray[np.int64]
    """Its number; increasing."""
    true_A: Floats
    recovered_A: Floats
    weight: Floats
    """n·var(u)."""


@dataclass(frozen=True)
class Estimate:
    """A mean over particles and its standard uncertainty."""

    value: float
    esd: float


def particle_slopes(
    recovered_A: Floats,
    *,
    true_A: Floats,
    relative_depth: Floats,
    particle: NDArray[np.int64],
    region: NDArray[np.bool_],
    fewest_voxels: int = FEWEST_VOXELS,
) -> Slopes:
    """Return the slopes of all particles with enough voxels, over those of the ``region``.

    All arguments are maps, (iy, ix). Voxels where a was not recovered are left out of both lines.
    """
    used = region & np.isfinite(recovered_A) & np.isfinite(true_A) & np.isfinite(relative_depth)
    numbers, label, count = np.unique(particle[used], return_inverse=True, return_counts=True)

    def per_particle(values: Floats) -> Floats:
        return np.bincount(label, weights=values, minlength=numbers.size).astype(np.float64)

    depth = relative_depth[used]
    depth = depth - (per_particle(depth) / count)[label]
    weight = per_particle(depth**2)
    enough = (count >= fewest_voxels) & (weight > 0.0)
    weight = weight[enough]
    return Slopes(
        particle=numbers[enough].astype(np.int64),
        true_A=per_particle(depth * true_A[used])[enough] / weight,
        recovered_A=per_particle(depth * recovered_A[used])[enough] / weight,
        weight=weight,
    )


def mean_slope(slopes_A: Floats, *, weight: Floats) -> Estimate:
    """Return the weighted mean over particles.

    Its variance is Σ w²·(slope − mean)² / (Σ w)², times n/(n − 1).

    Raises InputError for fewer than two particles.
    """
    n = slopes_A.size
    if n < 2:
        raise InputError(f"a mean slope needs at least 2 particles, not {n}")
    mean = float(np.average(slopes_A, weights=weight))
    squares = np.sum((weight * (slopes_A - mean)) ** 2) / np.sum(weight) ** 2
    return Estimate(mean, float(np.sqrt(squares * n / (n - 1))))


def offset_and_gain(levels: Sequence[Slopes]) -> tuple[Estimate, Estimate]:
    """Return the line of recovered against true slopes, over several planted differences.

    A line is fitted to every particle that has a slope at all ``levels``, and averaged: particles
    are independent, which their slopes at different levels are not. Its weight is the smallest of
    its levels'.

    Raises InputError for fewer than two levels, or two such particles, or equal true slopes.
    """
    if len(levels) < 2:
        raise InputError(f"a gain needs at least 2 planted differences, not {len(levels)}")
    common = levels[0].particle
    for level in levels[1:]:
        common = np.intersect1d(common, level.particle)
    places = [np.searchsorted(level.particle, common) for level in levels]
    true = np.array([level.true_A[i] for level, i in zip(levels, places, strict=True)])
    found = np.array([level.recovered_A[i] for level, i in zip(levels, places, strict=True)])
    weight = np.min([level.weight[i] for level, i in zip(levels, places, strict=True)], axis=0)
    centred = true - true.mean(axis=0)
    spread = np.sum(centred**2, axis=0)
    if np.any(spread == 0.0):
        raise InputError("a gain needs planted differences that differ")
    gain = np.sum(centred * found, axis=0) / spread
    offset = found.mean(axis=0) - gain * true.mean(axis=0)
    return mean_slope(offset, weight=weight), mean_slope(gain, weight=weight)
