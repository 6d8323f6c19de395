"""The mean pattern of every region of voxels, with its exact variance, straight from the rays.

Filtered back projection is linear: with the mask m of a region of n voxels its mean pattern is

    ȳ = Σ_rays W·y,     W_ω = (w_ω/n)·Fᵀ B_ωᵀ m,     var ȳ = Σ_rays W²·var y

(B_ω interpolates a projection at the voxels, F filters it, w_ω is its share of the half turn; see
:mod:`inverse.reconstruct`). This is the mean of the voxels' patterns, which need not be there, and
its variance knows what voxels have in common: neighbours read the same rays, and the ramp filter
makes them err against each other. The sum of the voxels' variances over n² takes them as
independent. It is too small for rings a voxel wide (by 0.76 at a radius of 3 voxels, 0.89 at 8),
right for squares of 3 × 3, and too large for bodies (by 1.7 for 8 × 8 voxels, 2.1 for 12 × 12).

Even and odd projections are two scans of half as many angles. For errors that differ from
projection to projection (noise, streaks, countable crystallites), half the difference of what the
two show has the standard deviation of the error of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from inverse.filters import filter_matrix
from inverse.geometry import angle_weights, axis_position, checked_angles, pixel_positions
from inverse.recipe import Recipe
from inverse.reconstruct import Source, gained
from inverse.sinogram import Sinogram, gains
from xrdct.compiled import compiled_fast, single_threaded_algebra, threaded
from xrdct.errors import InputError
from xrdct.rawfile import RawScan

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]

_GROUP_BYTES = 128 * 2**20
"""Of the weights, and of the rays, that are held at a time."""
_REGION_BLOCK = 64
"""Regions that are worth the while of a task."""


@dataclass(frozen=True, eq=False)
class Rays:
    """Line integrals of a whole scan, and how they are back projected."""

    values: Source
    """Gives them at some angles and channels, (angle, offset, channel)."""
    variances: Source
    """Gives their variances."""
    shape: tuple[int, int, int]
    """All angles, offsets and channels there are."""
    angles_rad: Floats
    step_um: float
    axis_offset_um: float
    filter_name: str
    padding: str
    """Filters and paddings: see :func:`inverse.filters.filter_matrix`."""


@dataclass(frozen=True, eq=False)
class RegionPatterns:
    """Mean patterns of regions; NaN in channels that were not measured."""

    values: Floats
    """Shape (region, channel), in the quantity of the volume."""
    variance: Floats
    """Of each mean, from the variances of the rays; same shape."""
    half_difference: Floats
    """Half of what even projections show less what odd ones show; same shape."""

    def rows(self, index: Ints) -> RegionPatterns:
        """Return the patterns of some regions."""
        return RegionPatterns(self.values[index], self.variance[index], self.half_difference[index])


@dataclass(frozen=True, eq=False)
class _Voxels:
    """The voxels of all regions, region by region."""

    first: Ints
    """Where each region begins, and the end of the last, shape (region + 1,)."""
    x: Floats
    """Position about the axis in steps, shape (voxel,)."""
    y: Floats


def region_patterns(rays: Rays, *, label: Ints, workers: int | None = None) -> RegionPatterns:
    """Return the patterns of the regions 0, 1, … in ``label``, (iy, ix), where −1 is none of them.

    Raises InputError for arrays that do not fit together, or a region that not every projection
    sees as a whole.
    """
    n_angles, n_offsets, n_channels = rays.shape
    angles = checked_angles(rays.angles_rad, n_angles=n_angles)
    shares = angle_weights(angles)
    voxels = _voxels(label)
    n_regions = voxels.first.size - 1
    axis = axis_position(n_offsets, step_um=rays.step_um, axis_offset_um=rays.axis_offset_um)
    if (
        voxels.x.size
        and np.hypot(voxels.x, voxels.y).max() > min(axis, n_offsets - 1 - axis) + 1e-9
    ):
        raise InputError("label must be −1 wherever a voxel is not seen by every projection.")
    matrix = filter_matrix(
        n_offsets, step_um=rays.step_um, filter_name=rays.filter_name, padding=rays.padding
    )
    stored = np.ascontiguousarray(matrix, dtype=np.float32)
    every = slice(0, n_channels)
    parts = np.zeros((2, n_regions, n_channels))
    variance = np.zeros((n_regions, n_channels))
    for parity, group in _groups(n_angles, n_offsets * max(n_regions, n_channels)):
        table = np.stack([np.cos(angles[group]), np.sin(angles[group]), shares[group]], axis=1)
        weights = np.empty((n_regions, len(table), n_offsets), np.float32)
        _fill(weights, voxels, table, axis, stored, workers)
        _add_product(weights, rays.values(group, every), parts[parity], workers)
        np.square(weights, out=weights)
        _add_product(weights, rays.variances(group, every), variance, workers)
    even, odd = (parts[p] * (np.pi / shares[p::2].sum()) for p in (0, 1))
    return RegionPatterns(parts.sum(axis=0), variance, 0.5 * (even - odd))


def rays_of_counts(raw: RawScan, *, recipe: Recipe) -> Rays:
    """Return the line integrals of a raw scan, normalised when they are asked for."""
    per_ray, per_channel = gains(raw)
    source = partial(
        gained, ray_gain=per_ray.astype(np.float32),
        channel_gain=np.where(per_channel > 0.0, per_channel, np.nan).astype(np.float32),
    )  # fmt: skip
    return Rays(
        values=source(raw.counts),
        variances=source(raw.counts if raw.variance is None else raw.variance, power=2),
        shape=raw.counts.shape,
        angles_rad=raw.scan.angles_rad,
        step_um=raw.scan.step_um,
        axis_offset_um=0.0,
        filter_name=recipe.reconstruction.filter,
        padding=recipe.padding,
    )


def rays_of_sinogram(sinogram: Sinogram, *, recipe: Recipe) -> Rays:
    """Return the line integrals of a sinogram that was made ready to be reconstructed."""

    def of(stack: Singles) -> Source:
        return lambda angles, channels: stack[angles, :, channels]

    return Rays(
        values=of(sinogram.values),
        variances=of(sinogram.variance),
        shape=sinogram.values.shape,
        angles_rad=sinogram.angles_rad,
        step_um=sinogram.step_um,
        axis_offset_um=sinogram.axis_offset_um,
        filter_name=recipe.reconstruction.filter,
        padding=recipe.padding,
    )


def _groups(n_angles: int, numbers_per_angle: int) -> list[tuple[int, slice]]:
    """Return the even projections, then the odd ones, in parts that memory holds."""
    size = max(1, _GROUP_BYTES // (4 * max(1, numbers_per_angle)))
    return [
        (parity, slice(start, min(start + 2 * size, n_angles), 2))
        for parity in (0, 1)
        for start in range(parity, n_angles, 2 * size)
    ]


def _voxels(label: Ints) -> _Voxels:
    """Return the voxels in the order of their regions.

    Raises InputError where ``label`` is not a square map, or a number up to the highest is missing.
    """
    if label.ndim != 2 or label.shape[0] != label.shape[1]:
        raise InputError(f"label must be a square map, not of shape {label.shape}.")
    iy, ix = np.nonzero(label >= 0)
    region = label[iy, ix]
    n_voxels = np.bincount(region)
    if np.any(n_voxels == 0):
        raise InputError(
            f"label must hold every region, but {int(np.argmin(n_voxels))} is not in it."
        )
    order = np.argsort(region, kind="stable")
    position = pixel_positions(label.shape[0])
    return _Voxels(
        first=np.concatenate([[0], np.cumsum(n_voxels)]).astype(np.int64),
        x=position[ix[order]],
        y=position[iy[order]],
    )


def _fill(
    weights: Singles,
    voxels: _Voxels,
    rays: Floats,
    axis: float,
    matrix: Singles,
    workers: int | None,
) -> None:
    """Write the weights W of a group of projections, (region, angle, offset)."""

    def task(first: int, last: int) -> None:
        fill_weights(
            weights[first:last],
            voxels.first[first : last + 1],
            voxels.x,
            voxels.y,
            rays,
            axis,
            matrix,
        )

    threaded(task, len(weights), workers=workers)


def _add_product(weights: Singles, rays: Singles, total: Floats, workers: int | None) -> None:
    """Add Σ_rays weights·rays to ``total``, (region, channel)."""
    flat, columns = weights.reshape(len(weights), -1), rays.reshape(-1, rays.shape[-1])

    def task(first: int, last: int) -> None:
        part = slice(first * _REGION_BLOCK, last * _REGION_BLOCK)
        total[part] += flat[part] @ columns

    with single_threaded_algebra():
        threaded(task, -(-len(weights) // _REGION_BLOCK), workers=workers)


@compiled_fast
def fill_weights(
    weights: Singles,
    first: Ints,
    x: Floats,
    y: Floats,
    rays: Floats,
    axis: float,
    matrix: Singles,
) -> None:
    """Overwrite ``weights``, (region, angle, offset), with Fᵀ B_ωᵀ m·w_ω/n of every region.

    ``first`` as in the voxels of all regions; rays (angle, 3) are cos ω, sin ω and w_ω; ``axis`` is
    the offset at which the axis is seen.
    """
    n_offsets = matrix.shape[0]
    mask = np.zeros(n_offsets, np.float64)
    for region in range(weights.shape[0]):
        begin, end = first[region], first[region + 1]
        for a in range(rays.shape[0]):
            cos, sin, share = rays[a, 0], rays[a, 1], rays[a, 2] / (end - begin)
            low, high = n_offsets, 0
            for v in range(begin, end):
                place = min(max(x[v] * cos + y[v] * sin + axis, 0.0), n_offsets - 1.0)
                before = min(int(place), n_offsets - 2)
                right = place - before
                mask[before] += share * (1.0 - right)
                mask[before + 1] += share * right
                low, high = min(low, before), max(high, before + 2)
            row = weights[region, a]
            row[:] = 0.0
            for j in range(low, high):
                taken, filtered = np.float32(mask[j]), matrix[j]
                mask[j] = 0.0
                for i in range(n_offsets):
                    row[i] += taken * filtered[i]
