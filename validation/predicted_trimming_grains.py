"""Countable crystallites on rays that are trimmed: how much lattice parameters scatter by them.

Of a line of one ray, M_s grains of the material states s reflect on average and N_s in one
exposure, Poisson. Of their sum N, on average M = Σ M_s, the trimmed mean leaves
(:mod:`forward.grain_rings`)

    N_s (k + (N/M − 1) w) M/N   of every state,

k being the share kept of the mean and w the spread over that of the plain mean; both depend on the
ray's own spots per pixel. To first order, with c_s what one grain does to a parameter,

    Var = Σ_s M_s [k c_s + (w − k) c̄]² = k² Σ_s M_s c_s² + (w² − k²) (Σ_s M_s c_s)²/M,

c̄ = Σ M_s c_s/M: which materials shine varies by k, how much shines in all by w. Only the share s of
a ring is seen, of which the variance is 1/s times as large. Without trimming k = w = 1, and this is
the variance of :mod:`validation.predicted_grains`.

Where this fails: rings of so few spots that trimmed means are cut off at zero, and counts so low
that the trimmed mean of counts answers a change of a ring by another share than k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.spots import mean_ring_grains
from validation.bounds_optics import Optics
from validation.bounds_rays import Places, projection_weights
from validation.predicted_grains import answers_of
from validation.predicted_trimming_patterns import TrimmedPatterns
from xrdct.scan import Scan

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SpottyRays:
    """The rings of an instrument, and what a grain on each of them does to some parameters."""

    optics: Optics
    per_grain: Floats
    """c, shape (class, ring), over the root of the share of the ring that is seen."""

    @classmethod
    def of(cls, optics: Optics, levers: Floats) -> SpottyRays:
        """Return the rings for levers of shape (class, channel)."""
        rings, seen = optics.rings.rings, optics.rings.seen.astype(float)
        known = np.where(seen > 0.0, 1.0 / np.sqrt(np.where(seen > 0.0, seen, 1.0)), 0.0)
        return cls(optics, answers_of(optics, levers) * (known / rings.grains_per_um))

    def variance(self, path_um: Singles) -> Floats:
        """Return the variances of rays with paths (offset, state), shape (offset, class)."""
        rings = self.optics.rings
        found = np.zeros((path_um.shape[0], self.per_grain.shape[0]))
        mean = mean_ring_grains(rings.rings, path_um).astype(float)
        total = np.asarray(mean @ rings.members)
        kept, spread = self._kept(mean)
        excess = spread**2 - kept**2
        common = np.divide(excess, total, out=np.zeros(total.shape), where=total > 0.0)
        for number, per_grain in enumerate(self.per_grain):
            own = np.asarray((mean * per_grain**2) @ rings.members)
            summed = np.asarray((mean * per_grain) @ rings.members)
            found[:, number] = np.sum(kept**2 * own + common * summed**2, axis=1)
        return found

    def _kept(self, mean: Floats) -> tuple[Floats, Floats]:
        """Return k and w of every line, (offset, line), for grains (offset, ring)."""
        rings, statistics = self.optics.rings, self.optics.statistics
        per_pixel = (mean * (0.5 / (np.pi * rings.rings.radius_px))) @ rings.members
        if statistics is None:
            return np.ones(per_pixel.shape), np.ones(per_pixel.shape)
        return statistics.ring(np.asarray(per_pixel))


def grain_variance(
    optics: Optics,
    patterns: TrimmedPatterns,
    levers: Floats,
    *,
    scan: Scan,
    x_um: Floats,
    y_um: Floats,
) -> Floats:
    """Return the variance by crystallites of the parameters of levers (class, channel).

    Its shape is (class, voxel), of the voxels that ``patterns`` are of.
    """
    found = np.zeros((levers.shape[0], x_um.size))
    if optics.rings.rings.line.size == 0:
        return found
    spotty, recipe = SpottyRays.of(optics, levers), optics.recipe
    some = projection_weights(
        Places.single(x_um, y_um), scan=scan, filter_name=recipe.reconstruction.filter,
        padding=recipe.padding,
    )  # fmt: skip
    for path_um, (_, weights) in zip(patterns.path_um, some, strict=True):
        found += (weights**2 @ spotty.variance(path_um)).T
    return found
