"""The bound from raw counts with everything else known.

Of the counts n_c of all rays only those that cross a voxel know of its lattice parameter a. With
all other voxels, amounts, backgrounds and the beam known exactly, the Fisher information of Poisson
counts of mean µ_c is

    I(a) = Σ_rays Σ_c (∂µ_c/∂a)²/µ_c,     ∂µ_c/∂a = N0 T ℓ φ f′_c / gain_c

with ℓ the length of the ray in the voxel, averaged over the beam, φ the amount and f′ the slope of
the pattern (Kay, *Fundamentals of Statistical Signal Processing*, ch. 3). No estimator without bias
has a smaller variance than 1/I; the joint bound of all voxels, which no one knows beforehand, is
larger. For a region I is that of one lattice parameter shared by its voxels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from validation.bounds_optics import Rays
from validation.bounds_rays import Places
from xrdct.normal import FWHM_PER_SIGMA
from xrdct.scan import Scan

Floats = NDArray[np.float64]

_POINTS = 4
"""Along the edge of a voxel, over which its length in a ray is summed."""
_REACH_SIGMAS = 4.0


def lengths_um(
    places: Places, *, scan: Scan, angle_rad: float, beam_fwhm_um: float, weight: Floats
) -> Floats:
    """Return the length of every ray in the voxels of every region, (region, offset).

    Voxels are squares of a step, of which ``weight`` (voxel,) says how much counts. A beam narrower
    than the points that stand for a voxel is taken as wide as these are apart.
    """
    apart_um = scan.step_um / _POINTS
    sigma_um = max(beam_fwhm_um / FWHM_PER_SIGMA, 0.5 * apart_um)
    inner = (np.arange(_POINTS) - 0.5 * (_POINTS - 1)) * apart_um
    x_um, y_um = (a.ravel() for a in np.meshgrid(inner, inner))
    within = x_um * np.cos(angle_rad) + y_um * np.sin(angle_rad)
    middle = places.x_um * np.cos(angle_rad) + places.y_um * np.sin(angle_rad)
    across_um = middle[:, None] + within
    row = np.round(across_um / scan.step_um + 0.5 * (scan.n_offsets - 1)).astype(np.int64)
    table = np.zeros((places.n_regions, scan.n_offsets))
    region = np.broadcast_to(places.region[:, None], row.shape)
    height = apart_um**2 / (np.sqrt(2.0 * np.pi) * sigma_um) * weight[:, None]
    reach = int(np.ceil(_REACH_SIGMAS * sigma_um / scan.step_um)) + 1
    for near in range(-reach, reach + 1):
        ray = row + near
        place_um = (ray - 0.5 * (scan.n_offsets - 1)) * scan.step_um
        share = height * np.exp(-0.5 * ((place_um - across_um) / sigma_um) ** 2)
        seen = (ray >= 0) & (ray < scan.n_offsets)
        np.add.at(table, (region[seen], ray[seen]), share[seen])
    return table


def ray_information(lengths: Floats, slopes: Floats, *, rays: Rays, channel_gain: Floats) -> Floats:
    """Return what the rays of one projection tell of every region, in 1/unit², (region,).

    ``lengths`` (region, offset) in µm include the amounts; ``slopes`` (region, channel) are those
    of a pattern of pure phase by the parameter. ``channel_gain`` (channel,) turns counts per photon
    into line integrals, zero where a channel is not used.
    """
    used = channel_gain > 0.0
    per_photon = np.where(used, 1.0 / np.where(used, channel_gain, 1.0), 0.0)
    known = used & (rays.counts > 0.0)
    precision = np.where(known, 1.0 / np.where(known, rays.counts, 1.0), 0.0)
    squares = (slopes * per_photon) ** 2
    return np.asarray(np.einsum("ro,ro->r", (lengths * rays.photons) ** 2, squares @ precision.T))
