"""Which voxels are one particle, and how deep below its surface each of them lies.

Everything comes from recovered maps. Material is where the volume fraction exceeds a share of its
typical full value, on a grid three times finer than the map, to which the map is interpolated
linearly: the surface then lies where the share is crossed, and not on the border of a voxel.
Particles that touch are separated by the watershed of the distance to the surface (Beucher and
Lantuéjoul 1979): of two summits one particle is made where the saddle between them is higher than
a share of the lower summit, a measure that does not depend on the particles' size, as between
spheres.

Depth is the distance in the plane of the slice to the particle's own surface, borders to particles
it touches included. A sphere that the slice cuts off its middle looks shallower than it is: depth
in three dimensions cannot be told from one slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_dilation,
    distance_transform_edt,
    find_objects,
    gaussian_filter,
    label,
    zoom,
)
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from inverse.region_settings import Regions
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_FINER = 3
"""Fine pixels along a voxel's side; odd, so that a voxel's middle is that of a fine pixel."""
_MIDDLE = _FINER // 2
_BLUR = 0.6
"""Standard deviation of the Gaussian, in voxels, that takes the edge off streaks."""
_LARGEST_HOLE = 5
"""Voxels of a hole that is filled."""
_EVERYWHERE = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class Particles:
    """The particles seen in a slice; maps are indexed [y, x]."""

    label: Ints
    """The particle that holds the middle of a voxel, from 0, or −1; shape (y, x)."""
    depth_um: Floats
    """Depth of the voxel's middle below that particle's surface; NaN outside."""
    area_um2: Floats
    """Of each particle's section, shape (particle,)."""
    whole: Bools
    """Whether it lies in view as a whole, shape (particle,)."""

    @property
    def diameter_um(self) -> Floats:
        """Diameter of the circle of the section's area, shape (particle,)."""
        return np.asarray(2.0 * np.sqrt(self.area_um2 / np.pi))


@dataclass(frozen=True, eq=False)
class DepthRegions:
    """Voxels of the same particle and depth shell, each such set a region."""

    label: Ints
    """The region of a voxel, from 0, or −1; shape (y, x)."""
    particle: Ints
    """Shape (region,), as are all that follow unless said."""
    shell: Ints
    """Number of the shell, 0 at the surface."""
    depth_um: Floats
    """Depths between which the shell lies, shape (region, 2)."""
    n_voxels: Ints


def particles_of(
    amount: Floats, *, measured: Bools, step_um: float, settings: Regions
) -> Particles:
    """Return the particles in a map of volume fractions, (y, x).

    NaN in ``amount`` stands for no material; ``measured`` are the voxels in view.

    Raises InputError where the two differ in shape.
    """
    if amount.shape != measured.shape or amount.ndim != 2:
        raise InputError(
            f"amount and measured must be maps of one shape, not {amount.shape} and "
            f"{measured.shape}"
        )
    smooth = gaussian_filter(np.nan_to_num(amount), _BLUR, mode="nearest")
    fine = zoom(smooth, _FINER, order=1, mode="nearest", grid_mode=True)
    seen = np.repeat(np.repeat(measured, _FINER, axis=0), _FINER, axis=1)
    solid = _without_holes((fine > settings.threshold * _full_amount(amount)) & seen)
    labels = _separated(solid, neck=settings.neck)
    at_edge = labels[binary_dilation(~seen, _EVERYWHERE, border_value=1)]
    count = int(labels.max(initial=0))
    whole = np.ones(count, bool)
    whole[at_edge[at_edge > 0] - 1] = False
    fine_um = step_um / _FINER
    depth_um = fine_um * _own_depth(labels)[_MIDDLE::_FINER, _MIDDLE::_FINER]
    own = labels[_MIDDLE::_FINER, _MIDDLE::_FINER].astype(np.int64) - 1
    return Particles(
        label=own,
        depth_um=np.where(own >= 0, depth_um, np.nan),
        area_um2=fine_um**2 * np.bincount(labels.ravel(), minlength=count + 1)[1:].astype(float),
        whole=whole,
    )


def _full_amount(amount: Floats) -> float:
    """Return what a voxel full of material holds, infinite where there is no material."""
    present = amount[amount > 0.0]
    if present.size == 0:
        return float("inf")
    # Streaks make some voxels far too bright; the median of what is surely full does not mind.
    return float(np.median(present[present > 0.5 * np.percentile(present, 90.0)]))


def _without_holes(solid: Bools) -> Bools:
    """Fill the holes that streaks make: of no more than a few voxels, closed all round."""
    holes, _ = label(~solid)
    small = np.bincount(holes.ravel()) <= _LARGEST_HOLE * _FINER**2
    return np.asarray(solid | small[holes] & ~solid)


def _separated(solid: Bools, *, neck: float) -> NDArray[np.int32]:
    """Return the particles that material falls into, numbered from 1, 0 between them."""
    if not solid.any():
        return np.zeros(solid.shape, np.int32)
    # Logarithms, because the saddle is measured by its share of a summit; 1 keeps them above zero.
    height = np.zeros(solid.shape)
    height[solid] = 1.0 + np.log(distance_transform_edt(solid)[solid])
    lowered = np.where(solid, height + np.log(neck), 0.0)
    flooded = reconstruction(lowered, height)  # type: ignore[no-untyped-call]
    tops = local_maxima(flooded)  # type: ignore[no-untyped-call]
    summits, _ = label(tops, _EVERYWHERE)
    basins = watershed(-height, summits, mask=solid)  # type: ignore[no-untyped-call]
    return np.asarray(basins, np.int32)


def _own_depth(labels: NDArray[np.int32]) -> Floats:
    """Return the distance to the nearest place that is not the same particle, in fine pixels."""
    depth = np.zeros(labels.shape)
    for number, box in enumerate(find_objects(labels), start=1):
        own = np.pad(labels[box] == number, 1)
        inside = distance_transform_edt(own)[1:-1, 1:-1]
        # The border lies halfway between the last middle inside and the first one outside.
        depth[box] += np.where(inside > 0.0, inside - 0.5, 0.0)
    return depth


def depth_regions(particles: Particles, *, settings: Regions) -> DepthRegions:
    """Return the depth shells of all particles that are whole and large enough, as regions.

    Shells of too few voxels are left out; regions are sorted by particle, then depth.
    """
    edges_um = np.array(settings.edges_um(float(np.nanmax(particles.depth_um, initial=0.0))))
    used = particles.whole & (particles.diameter_um >= settings.smallest_section_um)
    inside = particles.label >= 0
    inside[inside] = used[particles.label[inside]]
    shell = np.searchsorted(edges_um, particles.depth_um[inside], side="right") - 1
    n_shells = edges_um.size - 1
    valid = (shell >= 0) & (shell < n_shells)
    inside[inside] = valid
    key = particles.label[inside] * n_shells + shell[valid]
    found, region, n_voxels = np.unique(key, return_inverse=True, return_counts=True)
    enough = n_voxels >= settings.fewest_voxels
    number = np.where(enough, np.cumsum(enough) - 1, -1)
    label_map = np.full(particles.label.shape, -1, np.int64)
    label_map[inside] = number[region]
    shells = found[enough] % n_shells
    return DepthRegions(
        label=label_map,
        particle=found[enough] // n_shells,
        shell=shells,
        depth_um=np.stack([edges_um[shells], edges_um[shells + 1]], axis=1),
        n_voxels=n_voxels[enough].astype(np.int64),
    )
