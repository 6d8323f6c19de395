"""What a sample wider than the view does to the mean amount inside it.

Material outside the view is projected onto the rays, and the filter wants what lies beyond their
ends. Of a sample that is on average a disc of radius R with one mean pattern, projections are the
same at every rotation, p(t) = 2√(R² − t²), and the reconstruction at the distance r is

    c(r) = ∫₀^π q(r cos ω) dω,      q = F p

with the filter F of the scan, padding included. c is one inside an untruncated disc; c(r) − 1 is
the share of the mean pattern that is added everywhere, smooth, and mostly negative with padding by
edge values. Source: Natterer, *The Mathematics of Computerized Tomography*, ch. VI, on the interior
problem; derived here for the discrete filter.

Where this fails: a sample that is no disc about the axis. Where the recipe completes projections or
subtracts what a coarse scan shows, the mean is taken for mended (c = 1); what such a correction
leaves of single particles outside is in the streaks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.filters import filter_matrix
from inverse.recipe import Recipe
from xrdct.scan import Scan

Floats = NDArray[np.float64]

_ROTATIONS = 256


def padding_of(recipe: Recipe) -> str:
    """Return how the recipe's reconstruction continues projections."""
    return recipe.reconstruction.padding or (
        "edge" if recipe.truncation.method == "none" else "zero"
    )


def mean_error(radius_um: Floats, *, scan: Scan, recipe: Recipe, sample_radius_um: float) -> Floats:
    """Return c(r) − 1 at distances from the axis, shape (voxel,); 0 for a sample in view."""
    reach_um = float(scan.offsets_um[-1])
    if sample_radius_um <= reach_um or recipe.truncation.method != "none":
        return np.zeros(radius_um.shape)
    offsets_um = scan.offsets_um
    chord_um = 2.0 * np.sqrt(np.maximum(sample_radius_um**2 - offsets_um**2, 0.0))
    matrix = filter_matrix(
        scan.n_offsets, step_um=scan.step_um, filter_name=recipe.reconstruction.filter,
        padding=padding_of(recipe),
    )  # fmt: skip
    filtered = matrix @ chord_um
    omega = (np.arange(_ROTATIONS) + 0.5) * np.pi / _ROTATIONS
    seen = np.interp(radius_um[:, None] * np.cos(omega), offsets_um, filtered)
    return np.asarray(np.pi * seen.mean(axis=1) - 1.0)
