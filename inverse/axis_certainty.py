"""How well the rotation axis is known, and which of the scans about it tells it best.

Of an image that is sharpest at the axis a, no formula tells how far noise and few angles move that
place. The fit is repeated without every eighth projection, in turn (the jackknife):

    σ² = (7/8)·Σ_k (a_k − ā)²

Where a wider scan about the same axis sees all of the sample, alone or in a container that is level
beside it, the scatter of its centres of mass tells their own uncertainty
(:mod:`inverse.centre_of_mass`). The surest counts.

Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), ch. 11.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from inverse.alignment import SEARCHED_SHARE, AlignmentMethod
from inverse.centre_of_mass import CentreFit, centre_of_mass_fit, is_whole_in_view
from inverse.contrast import line_contrast
from inverse.reach import container_level
from inverse.rotation_axis import rotation_axis
from inverse.sharpness import sharpest_near
from inverse.sinogram import Floats, Sinogram
from xrdct.errors import ResultWarning

_LEFT_OUT = 8
"""Every which projection is left out at a time."""
_SURE = 0.05
"""Uncertainty, in steps, up to which no other scan is asked."""
_DOUBTFUL = 0.1
"""Uncertainty, in steps, from which it is told."""


class AxisWarning(ResultWarning):
    """The rotation axis is not known well."""


@dataclass(frozen=True)
class KnownAxis:
    """Where the rotation axis is seen, and how well that is known."""

    offset_um: float
    esd_um: float


def known_axis(
    sinogram: Sinogram, *, search_um: float | None = None, workers: int | None = None
) -> KnownAxis:
    """Return the axis that is found in a sinogram, with its standard uncertainty.

    ``search_um`` is how far from the middle it is looked for. That of opposite projections is taken
    to be sure: whatever is out of view leaves the same trace in both. Raises InputError where no
    axis stands out.
    """
    found = rotation_axis(sinogram, search_um=search_um, workers=workers)
    if found.method is AlignmentMethod.OPPOSITES:
        return KnownAxis(found.offset_um, 0.0)
    lines = line_contrast(sinogram)
    if found.method is AlignmentMethod.CENTRE_OF_MASS:
        return KnownAxis(found.offset_um, _centre(sinogram, lines).displacement_esd_um)
    width_um = sinogram.step_um * lines.shape[1]
    number = np.arange(lines.shape[0]) % _LEFT_OUT
    few_um = [
        sharpest_near(
            lines[number != k], angles_rad=sinogram.angles_rad[number != k],
            step_um=sinogram.step_um, start_um=found.offset_um,
            search_um=SEARCHED_SHARE * width_um if search_um is None else search_um,
            workers=workers,
        )
        for k in range(_LEFT_OUT)
    ]  # fmt: skip
    return KnownAxis(found.offset_um, float(np.sqrt((_LEFT_OUT - 1) * np.var(few_um))))


def axis_by_whole_sample(sinogram: Sinogram) -> KnownAxis | None:
    """Return the axis by the centres of mass; None where not all of the sample is in view."""
    lines = line_contrast(sinogram)
    lines = lines - container_level(lines.mean(axis=0))
    if not is_whole_in_view(lines):
        return None
    found = _centre(sinogram, lines)
    return KnownAxis(float(found.coefficients_um[0]), found.displacement_esd_um)


def about_surest_axis(
    sinogram: Sinogram, own: KnownAxis, wider: Callable[[], Iterable[Sinogram]]
) -> Sinogram:
    """Return the sinogram about the axis that is known best, by itself or by ``wider`` scans.

    These are asked for only where its own does not do. Warns (AxisWarning) where none does.
    """
    step_um, best = sinogram.step_um, own
    if own.esd_um > _SURE * step_um:
        told = (axis_by_whole_sample(scan) for scan in wider())
        known = (own, *(axis for axis in told if axis is not None))
        best = min(known, key=lambda axis: axis.esd_um)
    if best.esd_um > _DOUBTFUL * step_um:
        warnings.warn(
            f"The rotation axis, {best.offset_um:+.3g} µm, is known to {best.esd_um:.2g} µm only, "
            f"{best.esd_um / step_um:.2g} steps (sinogram.rotation_axis of the recipe = 'find'; it "
            "may be given instead, in µm).",
            AxisWarning, stacklevel=2,
        )  # fmt: skip
    return replace(sinogram, axis_offset_um=best.offset_um)


def _centre(sinogram: Sinogram, lines: Floats) -> CentreFit:
    return centre_of_mass_fit(
        lines, offsets_um=sinogram.offsets_um, angles_rad=sinogram.angles_rad,
        basis=np.ones((lines.shape[0], 1)),
    )  # fmt: skip
