"""Find the rotation axis from the measurement itself, to a small part of a step.

How is told in :mod:`inverse.alignment`. A run-out of once per turn cannot be told from a shift of
the sample, and is not looked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from inverse.alignment import AlignmentMethod, alignment
from inverse.sinogram import Sinogram


@dataclass(frozen=True)
class RotationAxis:
    """Where the rotation axis is seen."""

    offset_um: float
    """On the scale of the offsets."""
    method: AlignmentMethod


def rotation_axis(
    sinogram: Sinogram,
    *,
    search_um: float | None = None,
    method: AlignmentMethod | None = None,
    workers: int | None = None,
) -> RotationAxis:
    """Return the rotation axis of a sinogram at its set-points.

    The image is sharpest within ± ``search_um`` of the middle of the offsets, by default a tenth of
    the scan's width. ``method`` is chosen by what the scan allows unless given.

    Raises InputError where a given method does not suit the scan, and where no axis stands out.
    """
    found = alignment(
        sinogram, basis=np.ones((sinogram.angles_rad.size, 1)), search_um=search_um, method=method,
        workers=workers,
    )  # fmt: skip
    return RotationAxis(offset_um=float(found.coefficients_um[0]), method=found.method)


def about_rotation_axis(
    sinogram: Sinogram, *, search_um: float | None = None, workers: int | None = None
) -> Sinogram:
    """Return the sinogram with the axis offset that was found in it.

    Raises InputError where no axis stands out.
    """
    found = rotation_axis(sinogram, search_um=search_um, workers=workers)
    return replace(sinogram, axis_offset_um=found.offset_um)
