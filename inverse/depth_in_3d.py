"""Depth below the surface in three dimensions, from a stack of planes; and what one plane hides.

A stack of maps of amounts is cut at the particle's surface on a grid finer than voxels, also
between planes, as in a single slice (:mod:`inverse.segment`). Depth is the distance to that
surface, with the planes' spacing in its own unit. What reaches the first or the last plane is not
whole: its surface lies partly outside, and depths are too large there.

A plane at height h off a sphere's middle cuts a circle of radius r = √(R² − h²). With the depth d
below the circle's edge in the plane, the sphere's own is

    D(d) = R − √(h² + (r − d)²) ≤ d,     D = d·r/R near the surface,     R − |h| in the middle.

So a slope of a radial law looks smaller in the plane by r/R at the surface and by more inside, and
the core that lies deeper than R − |h| is not in the plane at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter, zoom

from inverse.boxes import widened
from inverse.region_settings import Regions
from inverse.segment import full_amount, separated
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_FINER = 3
"""Fine pixels along a voxel's side; odd, so that a voxel's middle is that of a fine pixel."""
_BLUR = 0.4
"""Standard deviation of the Gaussian, in voxels, that takes the edge off streaks."""


@dataclass(frozen=True, eq=False)
class Particles3D:
    """The particles in a stack of planes; maps are indexed [z, y, x]."""

    label: Ints
    """The particle that holds the middle of a voxel, from 0, or −1; shape (z, y, x)."""
    depth_um: Floats
    """Depth of the voxel's middle below that particle's surface; NaN outside."""
    volume_um3: Floats
    """Shape (particle,)."""
    centre_um: Floats
    """Of mass, (x, y, z) about the middle of the stack, shape (particle, 3)."""
    whole: Bools
    """Whether it lies within the stack as a whole, shape (particle,)."""

    @property
    def diameter_um(self) -> Floats:
        """Diameter of the sphere of the volume, shape (particle,)."""
        return np.asarray(np.cbrt(6.0 * self.volume_um3 / np.pi))


def particles_in_3d(
    amount: Floats, *, step_um: float, plane_um: float, measured: Bools, settings: Regions
) -> Particles3D:
    """Return the particles in a stack of maps of volume fractions, (z, y, x).

    step_um is a voxel's side in a plane, plane_um the distance of planes. NaN in ``amount`` stands
    for no material; ``measured`` are the voxels in view.

    Raises InputError where shapes differ, or a length is not positive.
    """
    _check(amount, measured, step_um, plane_um)
    spacing_um = np.array([plane_um, step_um, step_um]) / _FINER
    sigma = _BLUR * np.array([min(1.0, step_um / plane_um), 1.0, 1.0])
    smooth = gaussian_filter(np.nan_to_num(amount), sigma, mode="nearest")
    # Linear: splines overshoot where planes are few.
    fine = zoom(smooth, _FINER, order=1, mode="nearest", grid_mode=True)
    seen = np.kron(measured, np.ones((_FINER,) * 3, bool))
    solid = (fine > settings.threshold * full_amount(amount)) & seen
    labels = separated(solid, neck=settings.neck, spacing=tuple(spacing_um))
    return _summary(labels, seen, spacing_um)


def depth_in_3d(labels: Ints, *, step_um: float, plane_um: float) -> Floats:
    """Return the depth of every voxel of a stack of label maps, (z, y, x); NaN where label < 0.

    For segmentations made elsewhere: the surface is taken to lie halfway between the middles of the
    last voxel inside and the first one outside, along the line between them, as exact as voxels
    are. The first and the last plane end no particle.

    Raises InputError where labels are no stack, or a length is not positive.
    """
    _check(labels, labels, step_um, plane_um)
    spacing_um = np.array([plane_um, step_um, step_um])
    numbered = np.unique(labels[labels >= 0], return_inverse=True)[1] + 1
    dense = np.zeros(labels.shape, np.int32)
    dense[labels >= 0] = numbered
    return np.where(labels >= 0, _own_depth_um(dense, spacing_um), np.nan)


def sphere_depth_um(depth_um: Floats, *, section_radius_um: float, height_um: float) -> Floats:
    """Return the depth below a sphere's surface from that below the edge of a plane's section.

    ``height_um`` is how far the plane lies off the sphere's middle. Raises InputError where the
    section has no radius.
    """
    if not section_radius_um > 0.0:
        raise InputError(f"section_radius_um must be above zero, not {section_radius_um:g}.")
    radius_um = np.hypot(section_radius_um, height_um)
    return np.asarray(radius_um - np.hypot(height_um, section_radius_um - np.asarray(depth_um)))


def _check(
    stack: NDArray[np.generic], other: NDArray[np.generic], step: float, plane: float
) -> None:
    if stack.ndim != 3 or stack.shape != other.shape:
        raise InputError(
            f"a stack of planes has three axes and one shape for all maps, not {stack.shape} and "
            f"{other.shape}."
        )
    if not (step > 0.0 and plane > 0.0):
        raise InputError(f"step_um and plane_um must be above zero, not {step:g} and {plane:g}.")


def _own_depth_um(labels: NDArray[np.int32], spacing_um: Floats) -> Floats:
    """Return the distance to the surface of the particle; beyond the stack it goes on."""
    depth_um = np.zeros(labels.shape)
    for number, box in enumerate(find_objects(labels), start=1):
        wide = widened(box, by=1, shape=labels.shape)
        own = labels[wide] == number
        if own.all():
            depth_um[wide] = np.inf
            continue
        distance, nearest = distance_transform_edt(own, sampling=spacing_um, return_indices=True)
        way = nearest - np.indices(own.shape)
        # The surface lies half a step before the first middle outside; steps along a slanting way
        # are between those along the axes.
        n_steps = np.sqrt(np.sum(way**2.0, axis=0))
        inside = distance * np.maximum(1.0 - 0.5 / np.maximum(n_steps, 0.5), 0.0)
        depth_um[wide][own] = inside[own]
    return depth_um


def _summary(labels: NDArray[np.int32], seen: Bools, spacing_um: Floats) -> Particles3D:
    count = int(labels.max(initial=0))
    middle = _FINER // 2
    at_edge = np.zeros(labels.shape, bool)
    for axis in range(3):
        for end in (0, -1):
            at_edge[(slice(None),) * axis + (end,)] = True
    at_edge |= distance_transform_edt(seen) < 2.0 if not seen.all() else False
    whole = np.ones(count, bool)
    touching = labels[at_edge]
    whole[touching[touching > 0] - 1] = False
    n_pixels = np.bincount(labels.ravel(), minlength=count + 1)[1:].astype(float)
    places = [
        (np.arange(n) - 0.5 * (n - 1)) * s for n, s in zip(labels.shape, spacing_um, strict=True)
    ]
    centre_um = np.zeros((count, 3))
    for axis, place in enumerate(places):
        shape = [1, 1, 1]
        shape[axis] = -1
        weight = np.broadcast_to(place.reshape(shape), labels.shape)
        moment = np.bincount(labels.ravel(), weight.ravel(), minlength=count + 1)[1:]
        centre_um[:, 2 - axis] = moment / np.maximum(n_pixels, 1.0)
    of_voxel = (slice(middle, None, _FINER),) * 3
    own = labels[of_voxel].astype(np.int64) - 1
    return Particles3D(
        label=own,
        depth_um=np.where(own >= 0, _own_depth_um(labels, spacing_um)[of_voxel], np.nan),
        volume_um3=n_pixels * float(np.prod(spacing_um)),
        centre_um=centre_um,
        whole=whole,
    )
