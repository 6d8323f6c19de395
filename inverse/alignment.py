"""How far the projections of a scan are displaced, found in the scan alone.

    displacement of projection ω = Σ_j c_j·b_j(ω)

with given functions b_j: a constant for the rotation axis, polynomials in time for a drift. There
are three ways to find the c_j, of which the first is taken that the scan and the sample allow:

- opposite projections of a scan of 360° are mirror images of each other (:mod:`inverse.opposites`);
- the centre of mass of a sample that is in view as a whole runs along a sinusoid
  (:mod:`inverse.centre_of_mass`), from which few grains on a ring may scatter it too much;
- the image is sharpest without displacements, if it has features (:mod:`inverse.sharpness`).

All look at the sharp lines of the pattern together (:mod:`inverse.contrast`). A displacement like
cos ω or sin ω cannot be told from a shift of the sample by any of them, and is not looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from inverse.centre_of_mass import CentreFit, centre_of_mass_fit, is_whole_in_view
from inverse.contrast import line_contrast
from inverse.opposites import mirror_offset_um, opposite_pairs
from inverse.sharpness import sharpest_shifts
from inverse.sinogram import Floats, Sinogram
from xrdct.errors import InputError

SEARCHED_SHARE = 0.1
"""Share of the scan's width, to either side of its middle, in which the axis is looked for."""

_SURE = 0.01
"""Uncertainty by the centre of mass, in steps, up to which nothing better is looked for."""

_PAIRS_TOGETHER = 8
"""Neighbouring pairs of opposite projections that are compared together."""


class AlignmentMethod(StrEnum):
    """How displacements are found."""

    OPPOSITES = "opposites"
    CENTRE_OF_MASS = "centre_of_mass"
    SHARPNESS = "sharpness"


@dataclass(frozen=True, eq=False)
class Alignment:
    """Displacements that were found."""

    coefficients_um: Floats
    """Of each function, shape (function,)."""
    method: AlignmentMethod


def alignment(
    sinogram: Sinogram,
    *,
    basis: Floats,
    search_um: float | None = None,
    method: AlignmentMethod | None = None,
    workers: int | None = None,
) -> Alignment:
    """Return the displacements of a sinogram's projections.

    basis (angle, function), without unit, the constant first. The image is sharpest within
    ± ``search_um`` of the middle of the offsets, by default a tenth of the scan's width. ``method``
    is chosen by what the scan and the sample allow unless given.

    Raises InputError where a given method does not suit the scan, where projections are fewer than
    unknowns, and where nothing stands out.
    """
    n_angles, n_unknowns = basis.shape[0], basis.shape[1] + 2
    if n_angles < n_unknowns:
        raise InputError(
            f"What displaces projections and the sample's place are {n_unknowns} unknowns, for "
            f"which {n_angles} projections are too few."
        )
    lines = line_contrast(sinogram)
    width_um = sinogram.step_um * lines.shape[1]
    search_um = SEARCHED_SHARE * width_um if search_um is None else search_um

    def centres() -> CentreFit:
        return centre_of_mass_fit(
            lines, offsets_um=sinogram.offsets_um, angles_rad=sinogram.angles_rad, basis=basis
        )

    def by(way: AlignmentMethod) -> Alignment:
        if way is AlignmentMethod.OPPOSITES:
            found = _by_opposites(lines, sinogram, basis)
        elif way is AlignmentMethod.SHARPNESS:
            found = sharpest_shifts(
                lines, angles_rad=sinogram.angles_rad, step_um=sinogram.step_um, basis=basis,
                search_um=search_um, workers=workers,
            )  # fmt: skip
        else:
            found = centres().coefficients_um
        return Alignment(coefficients_um=found, method=way)

    if method is not None:
        return by(method)
    if opposite_pairs(sinogram.angles_rad) is not None:
        return by(AlignmentMethod.OPPOSITES)
    whole = is_whole_in_view(lines)
    if whole and centres().displacement_esd_um < _SURE * sinogram.step_um:
        return by(AlignmentMethod.CENTRE_OF_MASS)
    try:
        return by(AlignmentMethod.SHARPNESS)
    except InputError:
        if not whole:
            raise
    return by(AlignmentMethod.CENTRE_OF_MASS)


def _by_opposites(lines: Floats, sinogram: Sinogram, basis: Floats) -> Floats:
    """Fit the mirrors' offsets, a group of neighbouring pairs at a time where they may differ."""
    pairs = opposite_pairs(sinogram.angles_rad)
    if pairs is None:
        raise InputError(
            "Opposite projections need a scan of 360°, but most of these "
            f"{sinogram.angles_rad.size} angles have no opposite."
        )
    mean_um = mirror_offset_um(lines, pairs=pairs, step_um=sinogram.step_um)
    if basis.shape[1] == 1:
        return np.array([mean_um])
    starts = range(0, pairs.one.size - _PAIRS_TOGETHER + 1, _PAIRS_TOGETHER)
    if len(starts) < basis.shape[1]:
        raise InputError(
            f"{basis.shape[1]} functions of the projection need at least "
            f"{basis.shape[1] * _PAIRS_TOGETHER} pairs of opposite projections, not "
            f"{pairs.one.size}."
        )
    groups = [pairs.part(slice(k, k + _PAIRS_TOGETHER)) for k in starts]
    mirrors_um = [
        mirror_offset_um(lines, pairs=group, step_um=sinogram.step_um, start_um=mean_um)
        for group in groups
    ]
    design = [0.5 * (basis[group.one] + group.opposite(basis)).mean(axis=0) for group in groups]
    return np.asarray(np.linalg.lstsq(np.array(design), np.array(mirrors_um), rcond=None)[0])
