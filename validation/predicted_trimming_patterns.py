"""Expected patterns of voxels whose rays an integration trims, and of the same rays untrimmed.

A trimmed mean is no linear function of a ray's pixels, so that trimmed rays do not add up as rays
do; but what is reconstructed of them is still linear in them. A voxel's pattern is on average

    K = Σ_rays W E[trimmed ray],    and without trimming    D = Σ_rays W E[ray],

with the weights W of :mod:`validation.bounds_rays`. E is the forward side's own: closed chords,
the table of trimmed Poisson counts (:mod:`forward.poisson_trimming`) and the share that is kept of
rings of spots (:mod:`forward.ring_trimming`), without anything drawn.

An analysis weighs channels by the variance that it states, V = Σ W² v of values it has recorded. Of
a ray of mean m and variance v per channel the estimator is drawn as m/u units of u = v/m
(:mod:`forward.estimators`), and the stated variance goes with what was drawn. V therefore scatters
by the relative

    r = √(Σ W⁴ v³/m²) / Σ W² v .

Where r is about one or more, most rays say zero ± zero, and V is not that of expected counts.

All angles are looked at: the streaks of fewer would be refined along, and change the profile that
voxels share. Where this fails: steps of the recipe other than filtered back projection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.filters import filter_matrix
from inverse.geometry import angle_weights
from validation.bounds_optics import Optics, Rays
from validation.bounds_rays import Places, angles_looked_at, hits
from xrdct.scan import Scan

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TrimmedPatterns:
    """What voxels show on average; each field (voxel, channel) unless said, in 1/µm/rad."""

    kept: Floats
    """K, of trimmed rays."""
    plain: Floats
    """D, of the same rays by the plain mean."""
    variance: Floats
    """V, of the trimmed ones."""
    variance_scatter: Floats
    """r, without unit."""
    path_um: Singles
    """µm of every material state on the rays of the angles that variances are judged by
    (:func:`validation.bounds_rays.angles_looked_at`), shape (angle, offset, state)."""

    @property
    def unknown_share(self) -> float:
        """Share of the weights 1/V, mean over voxels, of channels whose V is not known (r > 1)."""
        told = self.variance > 0.0
        weight = np.where(told, 1.0 / np.where(told, self.variance, 1.0), 0.0)
        total = weight.sum(axis=1)
        unknown = np.where(self.variance_scatter > 1.0, weight, 0.0).sum(axis=1)
        share = np.divide(unknown, total, out=np.ones(total.shape), where=total > 0.0)
        return float(share.mean())


def trimmed_patterns(optics: Optics, *, scan: Scan, x_um: Floats, y_um: Floats) -> TrimmedPatterns:
    """Return expected patterns at places (voxel,) in view."""
    places, recipe = Places.single(x_um, y_um), optics.recipe
    shape = (x_um.size, optics.channel_gain.size)
    kept, plain, variance, fourth = (np.zeros(shape) for _ in range(4))
    matrix = filter_matrix(
        scan.n_offsets, step_um=scan.step_um, filter_name=recipe.reconstruction.filter,
        padding=recipe.padding,
    )  # fmt: skip
    some, paths = set(angles_looked_at(scan).tolist()), []
    for line, share in enumerate(angle_weights(scan.angles_rad)):
        rays = optics.rays(scan, line)
        weights = share * (hits(places, scan=scan, angle_rad=float(scan.angles_rad[line])) @ matrix)
        gain = optics.channel_gain / rays.photons[:, None]
        kept += weights @ (rays.kept * gain)
        plain += weights @ (rays.counts * gain)
        variance += weights**2 @ rays.line_variance
        fourth += weights**4 @ _drawn_squares(rays, gain)
        if line in some:
            paths.append(rays.path_um)
    scatter = np.divide(np.sqrt(fourth), variance, out=np.zeros(shape), where=variance > 0.0)
    return TrimmedPatterns(kept, plain, variance, scatter, np.stack(paths))


def _drawn_squares(rays: Rays, gain: Floats) -> Floats:
    """Return v³/m² of line integrals, the variance of the variance stated, (offset, channel)."""
    mean = rays.kept * gain
    shown = mean > 0.0
    return np.where(shown, rays.line_variance**3 / np.where(shown, mean, 1.0) ** 2, 0.0)
