"""Claims of figures 1 and 2 on the map itself: its resolution, and how large particles are.

Resolution: the true map of amounts, blurred by a Gaussian, is fitted to the recovered one, its
standard deviation σ free. A point is then smeared by the pixel and σ: its full width at half
maximum is told as that of a Gaussian of variance σ² + step²/12.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize_scalar

from validation.paper.claims import Claim
from validation.paper.drawing import Study
from validation.paper.prepared import Slice
from validation.segmentation_metrics import sections_of
from xrdct.normal import FWHM_PER_SIGMA

_WIDEST = 3.0
"""Voxels, of the blur's standard deviation."""
_NEEDED_UM, _NEEDED_SIZE_UM = 0.25, 0.5


def map_claims(study: Study) -> list[Claim]:
    """Return the resolution of the first slice, and its largest particle."""
    first = study.operando(1)
    return [
        Claim(
            "2a", "Resolution of a slice: width of a point in the map of amounts (FWHM)", "1 µm",
            recovered=resolution_um(first), truth=first.experiment.beam.width_um,
            needed=_NEEDED_UM, unit="µm",
            note="truth is the beam's width",
        ),
        _largest(first),
    ]  # fmt: skip


def resolution_um(each: Slice) -> float:
    """Return the full width at half maximum of a point in the map of volume fractions, µm."""
    step_um = each.maps.scan.step_um
    found = np.nan_to_num(each.maps.volume_fraction)
    true = np.nan_to_num(each.truth.volume_fraction)  # beyond the view too: it blurs into it
    used = each.measured

    def misfit(sigma: float) -> float:
        blurred = gaussian_filter(true, sigma, mode="nearest")[used]
        scale = float(blurred @ found[used]) / float(blurred @ blurred)
        return float(np.mean((found[used] - scale * blurred) ** 2))

    best = minimize_scalar(misfit, bounds=(0.05, _WIDEST), method="bounded")
    return float(FWHM_PER_SIGMA * step_um * np.sqrt(float(best.x) ** 2 + 1.0 / 12.0))


def _largest(each: Slice) -> Claim:
    """Return the diameter of the largest section that lies in view as a whole."""
    particles = each.particles
    sections = sections_of(each.sample, view_radius_um=0.5 * each.maps.scan.width_um)
    found = particles.diameter_um[particles.whole]
    return Claim(
        "2a", "Diameter of the largest particle's section in view", "up to about 20 µm",
        recovered=float(found.max()) if found.size else float("nan"),
        truth=float(2.0 * sections.radius_um.max(initial=0.0)), needed=_NEEDED_SIZE_UM, unit="µm",
        note="the study's are micrographs",
    )  # fmt: skip
