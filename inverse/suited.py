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
    """Maps hold streaks nearly everywhere."""


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
    """Warn (FewAnglesWarning) of fewer projections than a third of those without streaks.

    These are π/2 for each offset. What lies farther from the axis than N·step/π streaks, of N
    projections over the half turn, which is then all but the inner ninth of the view. Opposite
    projections count once, since they are of the same rays.
    """
    turns = np.rint(np.mod(scan.angles_rad, np.pi) / np.pi / _SAME_DIRECTION).astype(np.int64)
    directions = np.unique(turns % round(1.0 / _SAME_DIRECTION)).size
    enough = int(np.ceil(0.5 * np.pi * scan.n_offsets))
    if 3 * directions < enough:
        warnings.warn(
            f"The directions of projections, {directions}, are less than a third of the {enough} "
            f"without streaks (π/2 for each of {scan.n_offsets} offsets): maps have them in all "
            "but the inner ninth of the view, or less.",
            FewAnglesWarning, stacklevel=3,
        )  # fmt: skip
