"""Does a recipe suit a scan? Asked before any work is done on it, of the scan's plan alone."""

from __future__ import annotations

import warnings

import numpy as np

from inverse.recipe import Recipe
from xrdct.errors import InputError, ResultWarning
from xrdct.scan import Scan

FEWEST_ANGLES = 4
"""Of the direct method, whose uncertainties come from halves of the projections: two in each, as a
single projection does not tell where along a ray it holds what."""
_SAME_DIRECTION = 1e-6
"""Of the half turn, within which projections have one direction."""


class FewAnglesWarning(ResultWarning):
    """There are fewer rays than voxels."""


def check_suited(scan: Scan, *, recipe: Recipe) -> None:
    """Raise InputError for a scan that the recipe cannot reconstruct, or a backend that cannot."""
    check_interlaced(scan)
    made = recipe.reconstruction
    if made.method == "direct" and scan.n_angles < FEWEST_ANGLES:
        raise InputError(
            f"reconstruction.method = 'direct' of the recipe needs at least {FEWEST_ANGLES} "
            f"angles, to tell uncertainties from halves of them, but the scan has {scan.n_angles}."
        )
    if made.backend != "own":
        from inverse.backends.registry import check_method

        check_method(made.backend, method=made.method)


def check_interlaced(scan: Scan) -> None:
    """Raise InputError for an interlaced scan whose projections cannot complete each other.

    Those before and after do, where angles rise; otherwise only opposite ones can.
    """
    if not scan.interlaced:
        return
    if scan.n_angles > 1 and (np.diff(scan.angles_rad) > 0.0).all():
        return
    from inverse.interlace import has_opposites  # which takes long to load

    if not has_opposites(scan.angles_rad):
        raise InputError(
            "interlaced = true needs angles_deg that rise, so that neighbours complete each other, "
            "or an opposite for every projection."
        )


def warn_of_few_angles(scan: Scan) -> None:
    """Warn (FewAnglesWarning) where a scan has fewer rays than the voxels that it sees.

    Opposite projections count once, since they are of the same rays; of an interlaced scan voxels
    count by its own step.
    """
    turns = np.rint(np.mod(scan.angles_rad, np.pi) / np.pi / _SAME_DIRECTION).astype(np.int64)
    directions = np.unique(turns % round(1.0 / _SAME_DIRECTION)).size
    needed = int(np.ceil(0.25 * np.pi * scan.n_offsets))
    if directions < needed:
        warnings.warn(
            f"Different rays, {directions} × {scan.n_offsets}, are fewer than the voxels in view, "
            f"so that maps hold streaks that no ray contradicts: {needed} angles over the half "
            f"turn give as many, {int(np.ceil(0.5 * np.pi * scan.n_offsets))} are enough.",
            FewAnglesWarning, stacklevel=3,
        )  # fmt: skip
