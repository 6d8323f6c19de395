"""What a coarse scan shows outside the view, along the rays of the scan that it is subtracted from.

Worked out as the recipe does it, for the material of every bin of lattice parameters by itself: the
slice is projected along the coarse scan's own rays, reconstructed on its pixels by
:func:`inverse.rings.ring_of`, and what lies beyond the view is summed along the finer scan's rays.
So all that the coarse scan makes of the sample is in it: blur by its steps, streaks by its few
angles, and what its beam, narrower than its steps, passes over.

Where this fails: counting noise of the coarse scan, parallax in it, a cell around the sample, and
slices of which the image is coarser than the beam (wider than 400 times the beam): what is passed
over is then less than it should be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.ray_sums import RayGeometry, add_ray_sums
from inverse.rings import ring_of
from inverse.sinogram import Sinogram
from xrdct.scan import Scan

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


def shown_beyond(
    lines: Singles,
    *,
    coarse: Scan,
    inner_um: float,
    filter_name: str,
    angles_rad: Floats,
    offsets_um: Floats,
) -> Singles:
    """Return line integrals of what a coarse scan shows beyond the circle of radius ``inner_um``.

    ``lines`` (angle, offset, column) are those of the coarse scan, of each column of material. The
    result has the shape (``angles_rad``, ``offsets_um``, column) and the same unit.

    Raises InputError for a scan that cannot be reconstructed.
    """
    n_columns = lines.shape[2]
    ring = ring_of(
        Sinogram(
            values=lines,
            variance=np.zeros_like(lines),
            transmission=np.ones(lines.shape[:2]),
            angles_rad=coarse.angles_rad,
            step_um=coarse.step_um,
            axis_offset_um=0.0,
            two_theta_rad=np.arange(1.0, n_columns + 1.0),  # columns stand in for channels
            distance_m=1.0,
        ),
        inner_um=inner_um,
        filter_name=filter_name,
        with_variance=False,
    )
    shown = np.zeros((angles_rad.size, offsets_um.size, n_columns), np.float32)
    add_ray_sums(
        shown, ring.values[None], grid=ring.grid, rays=RayGeometry(angles_rad, offsets_um),
        factor=1.0, nodes_um=np.zeros(1), workers=None,
    )  # fmt: skip
    return shown
