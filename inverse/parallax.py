"""Undo the mean sample parallax of each voxel.

A voxel at (x, y) lies at s(ω) = −x sin ω + y cos ω towards the detector, where its rings look
like those of a lattice larger by the factor 1 + κ s/D, κ = cos²θ cos 2θ. Back projection averages
over the rotation, so a voxel's apparent lattice parameter is too large by κ s̄/D, with s̄ the mean
of s over the angles: zero over a full turn, up to 2r/π over half a turn.

Exact to first order; the second order broadens the peaks but does not move them.

Source: PHYSICS 4.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdct.instrument import Geometry
from xrdct.scan import Scan


def mean_displacement_um(scan: Scan) -> NDArray[np.float64]:
    """Return s̄, the mean displacement towards the detector of each pixel, shape (y, x)."""
    along_x = -float(np.mean(np.sin(scan.angles_rad)))
    along_y = float(np.mean(np.cos(scan.angles_rad)))
    position = scan.offsets_um
    return along_y * position[:, None] + along_x * position[None, :]


def apparent_lattice_factor(scan: Scan, *, geometry: Geometry) -> NDArray[np.float64]:
    """Return by which factor each pixel's lattice parameter looks too large, shape (y, x)."""
    two_theta = geometry.two_theta_rad
    scaling = float(np.mean(np.cos(0.5 * two_theta) ** 2 * np.cos(two_theta)))
    return 1.0 + scaling * mean_displacement_um(scan) * 1e-6 / geometry.distance_m
