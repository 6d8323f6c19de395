"""Which voxels are one particle, and how deep below its surface each of them lies.

Everything comes from recovered maps. Material is where the volume fraction exceeds a share of the
particle's own full value, on a grid five times finer than the map, to which the map is interpolated
by cubic splines: the surface then lies where the share is crossed, and not on the border of a
voxel. Before that the map is blurred a little, because of noise, and blur of variance σ² undone to
first order, A − ½σ²∇²A: it would close gaps between particles, and move outlines of radius R
inwards by σ²/2R.

Particles that touch are separated by the watershed of the distance to the surface (Beucher and
Lantuéjoul 1979): of two summits one particle is made where the saddle between them is higher than
a share of the lower summit, a measure that does not depend on the particles' size, as between
spheres. Outlines are then smoothed, by a Gaussian over the signed distance from them; what that
takes from a circle, σ²/2R, is given back.

Depth is the distance in the plane of the slice to the particle's own surface, borders to particles
it touches included. A sphere that the slice cuts off its middle looks shallower than it is: depth
in three dimensions cannot be told from one slice (:mod:`inverse.depth_in_3d`).

Half of the full amount is where the surface is as long as amounts are right. The trimmed mean of
spotty rings takes more from voxels that are partly empty, so that there the surface is crossed at
less; the default of the share lies between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_dilation,
    distance_transform_edt,
    find_objects,
    gaussian_filter,
    label,
    laplace,
    zoom,
)
from skimage.morphology import local_maxima
from skimage.segmentation import watershed

from inverse.boxes import widened
from inverse.region_settings import Regions
from inverse.segment_depth import own_depth
from inverse.segment_flood import flooded
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_FINER = 5
"""Fine pixels along a voxel's side; odd, so that a voxel's middle is that of a fine pixel."""
_MIDDLE = _FINER // 2
_BLUR = 0.4
"""Standard deviation of the Gaussian, in voxels, that takes the edge off streaks."""
_BLUR_OF_MAP = 0.59
"""That of the map: a beam of a voxel's full width at half maximum, and linear interpolation."""
_FULL_DEPTH = 1.5
"""Voxels below the surface from which on a particle's own full amount is taken."""
_FEWEST_FULL = 9
"""Voxels, without which that is the map's."""
_OUTLINE = 1.0
"""Standard deviation of the Gaussian, in voxels, that smooths outlines, and the most of it in
radii."""
_OUTLINE_RADII = 0.3
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
    fine: Ints
    """The particle, or −1, on the finer grid on which it was found, shape (y·finer, x·finer)."""
    fine_depth_um: Floats
    """Depth of the fine pixels, 0 outside, same shape."""
    finer: int
    """Fine pixels along a voxel's side."""

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
    fine = _finely(amount)
    seen = np.repeat(np.repeat(measured, _FINER, axis=0), _FINER, axis=1)
    full = full_amount(amount)
    first = separated((fine > settings.threshold * full) & seen, neck=settings.neck)
    own_full = _own_full_amount(fine, first, full=full)
    solid = _without_holes((fine > settings.threshold * own_full) & seen)
    labels = _with_smooth_outlines(separated(solid, neck=settings.neck))
    at_edge = labels[binary_dilation(~seen, _EVERYWHERE, border_value=1)]
    count = int(labels.max(initial=0))
    whole = np.ones(count, bool)
    whole[at_edge[at_edge > 0] - 1] = False
    fine_um = step_um / _FINER
    fine_depth_um = fine_um * own_depth(labels)
    depth_um = fine_depth_um[_MIDDLE::_FINER, _MIDDLE::_FINER]
    own = labels[_MIDDLE::_FINER, _MIDDLE::_FINER].astype(np.int64) - 1
    return Particles(
        label=own,
        depth_um=np.where(own >= 0, depth_um, np.nan),
        area_um2=fine_um**2 * np.bincount(labels.ravel(), minlength=count + 1)[1:].astype(float),
        whole=whole,
        fine=labels.astype(np.int64) - 1,
        fine_depth_um=fine_depth_um,
        finer=_FINER,
    )


def full_amount(amount: Floats) -> float:
    """Return what a voxel full of material holds, infinite where there is no material.

    ``amount`` is a map of any number of axes, in which NaN stands for none.
    """
    present = amount[amount > 0.0]
    if present.size == 0:
        return float("inf")
    # Streaks make some voxels far too bright; the median of what is surely full does not mind.
    return float(np.median(present[present > 0.5 * np.percentile(present, 90.0)]))


def _finely(amount: Floats) -> Floats:
    """Return the map on the finer grid, sharpened, with NaN taken as empty."""
    smooth = gaussian_filter(np.nan_to_num(amount), _BLUR, mode="nearest")
    variance = _BLUR**2 + _BLUR_OF_MAP**2
    sharp = smooth - 0.5 * variance * laplace(smooth, mode="nearest")
    return np.asarray(zoom(sharp, _FINER, order=3, mode="nearest", grid_mode=True))


def _own_full_amount(fine: Floats, labels: NDArray[np.int32], *, full: float) -> Floats | float:
    """Return what is full at every fine pixel: of the nearest particle the median of its core."""
    if not labels.any():
        return full
    depth = own_depth(labels)
    own = np.full(int(labels.max()) + 1, full)
    for number, box in enumerate(find_objects(labels), start=1):
        core = (labels[box] == number) & (depth[box] > _FULL_DEPTH * _FINER)
        if core.sum() >= _FEWEST_FULL * _FINER**2:
            own[number] = np.median(fine[box][core])
    nearest = distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return np.asarray(own[labels[tuple(nearest)]])


def _with_smooth_outlines(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the particles with smoothed outlines; where two meet, the deeper one has the place."""
    smooth = np.zeros_like(labels)
    deepest = np.zeros(labels.shape)
    depth = own_depth(labels)
    reach = int(np.ceil(3.0 * _OUTLINE * _FINER))
    for number, box in enumerate(find_objects(labels), start=1):
        wide = widened(box, by=reach, shape=labels.shape)
        own = labels[wide] == number
        radius = float(np.sqrt(own.sum() / np.pi))
        sigma = min(_OUTLINE * _FINER, _OUTLINE_RADII * radius)
        # The distance to the outline, below zero outside.
        signed = np.where(own, depth[wide], 0.5 - distance_transform_edt(~own))
        smoothed = gaussian_filter(signed, sigma, mode="nearest")
        smoothed += 0.5 * sigma**2 / radius
        deeper = smoothed > deepest[wide]
        smooth[wide][deeper] = number
        deepest[wide][deeper] = smoothed[deeper]
    return _renumbered(smooth)


def _renumbered(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return labels without numbers that no pixel has."""
    there = np.bincount(labels.ravel()) > 0
    there[0] = False
    return np.asarray(np.where(there, np.cumsum(there), 0)[labels], np.int32)


def _without_holes(solid: Bools) -> Bools:
    """Fill the holes that streaks make: of no more than a few voxels, closed all round."""
    holes, _ = label(~solid)
    small = np.bincount(holes.ravel()) <= _LARGEST_HOLE * _FINER**2
    return np.asarray(solid | small[holes] & ~solid)


def separated(
    solid: Bools, *, neck: float, spacing: Sequence[float] | None = None
) -> NDArray[np.int32]:
    """Return the particles that material falls into, numbered from 1, 0 between them.

    ``solid`` has two or three axes, ``spacing`` is the side of a pixel along each, by default the
    same. Two bodies whose neck is narrower than the share ``neck`` of the smaller are two.
    """
    if not solid.any():
        return np.zeros(solid.shape, np.int32)
    inside = distance_transform_edt(solid, sampling=spacing)
    # Logarithms, because the saddle is measured by its share of a summit; the smallest is 1, and
    # so stays above zero when it is lowered.
    height = np.zeros(solid.shape)
    height[solid] = 1.0 + np.log(inside[solid] / inside[solid].min())
    lowered = np.where(solid, height + np.log(neck), 0.0)
    tops = local_maxima(flooded(lowered, height))  # type: ignore[no-untyped-call]
    summits, _ = label(tops & solid, np.ones((3,) * solid.ndim, bool))
    basins = watershed(-height, summits, mask=solid)  # type: ignore[no-untyped-call]
    return np.asarray(basins, np.int32)


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
