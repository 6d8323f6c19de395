"""What a scan shows of the sample between two circles around the rotation axis.

A scan wide enough for the whole sample, or for more of it than another, is reconstructed on its own
coarse pixels; :func:`add_ring` sends what lies between two circles along the rays of any other
scan, with the parallax of every pixel, on that scan's channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from inverse.geometry import view_radius
from inverse.parallax_shift import (
    covered_channels,
    displacement_matrix,
    displacement_nodes_um,
)
from inverse.ray_sums import RayGeometry, RingGrid, add_ray_sums
from inverse.reconstruct import filtered_back_projection
from inverse.sinogram import Sinogram
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_BLOCK = 256
"""Channels of which the displaced images are held at once."""


@dataclass(frozen=True, eq=False)
class Ring:
    """Images of the sample, of which only what lies between two circles counts."""

    values: Singles
    """The quantity per µm, shape (pixel, channel); zero in channels that were not measured."""
    variance: Singles
    """Its variance, same shape; zero where none was asked for."""
    grid: RingGrid
    two_theta_rad: Floats
    """Centre of each channel, shape (channel,)."""
    measured: NDArray[np.bool_]
    """Shape (channel,)."""
    n_angles: int
    """Projections over the half turn from which it was reconstructed."""


def view_radius_um(sinogram: Sinogram) -> float:
    """Return the radius of the circle around the axis that every projection covers.

    Raises InputError where the axis lies beyond the outermost ray, or there are no two rays.
    """
    n_offsets, step_um = sinogram.values.shape[1], sinogram.step_um
    radius = view_radius(n_offsets, step_um=step_um, axis_offset_um=sinogram.axis_offset_um)
    return float(radius * step_um)


def ring_of(
    sinogram: Sinogram,
    *,
    inner_um: float,
    filter_name: str = "ramp",
    padding: str = "zero",
    with_variance: bool = True,
    workers: int | None = None,
) -> Ring:
    """Return what a scan shows from the circle ``inner_um`` up to the end of its own view.

    Filters and paddings as for :func:`inverse.reconstruct.filtered_back_projection`, which also
    says what InputError is raised for; here it is for no measured channel, and for single missing
    values too, which would spoil every ray of their channel.
    """
    measured = sinogram.measured_channels
    missing = int(np.sum(~np.isfinite(sinogram.values[..., measured])))
    if missing or not measured.any():
        raise InputError(
            "A scan used for the surroundings must have measured channels without single missing "
            f"values: it has {int(measured.sum())} with {missing} missing."
        )
    volume = filtered_back_projection(
        sinogram.values[..., measured], angles_rad=sinogram.angles_rad, step_um=sinogram.step_um,
        filter_name=filter_name, padding=padding,
        variance=sinogram.variance[..., measured] if with_variance else None,
        axis_offset_um=sinogram.axis_offset_um, workers=workers,
    )  # fmt: skip
    size = volume.values.shape[0]
    seen = np.isfinite(volume.values[..., 0])
    values = np.zeros((size * size, measured.size), np.float32)
    variance = np.zeros_like(values)
    values[:, measured] = _continued(volume.values, seen)
    if volume.variance is not None:
        variance[:, measured] = _continued(volume.variance, seen)
    return Ring(
        values=values,
        variance=variance,
        grid=RingGrid(size, sinogram.step_um, inner_um, view_radius_um(sinogram)),
        two_theta_rad=sinogram.two_theta_rad,
        measured=measured,
        n_angles=sinogram.angles_rad.size,
    )


def _continued(image: Singles, seen: NDArray[np.bool_]) -> Singles:
    """Return the pixels, (pixel, channel), those beyond the view as the nearest one within it.

    They are only read where a ray is interpolated next to the outer circle.
    """
    iy, ix = distance_transform_edt(~seen, return_distances=False, return_indices=True)
    return np.asarray(image[iy, ix].reshape(-1, image.shape[2]))


def rays_of(sinogram: Sinogram) -> RayGeometry:
    """Return the rays of a scan about the rotation axis."""
    return RayGeometry(sinogram.angles_rad, sinogram.offsets_um - sinogram.axis_offset_um)


def add_ring(
    values: Singles,
    ring: Ring,
    *,
    rays: RayGeometry,
    onto_rad: Floats,
    distance_m: float,
    factor: float,
    parallax: bool = True,
    workers: int | None = None,
) -> None:
    """Add ``factor`` times the line integrals of a ring to ``values``, in place.

    values (angle, offset, channel) on the channels centred on ``onto_rad``; those that the ring has
    not measured become NaN. ``parallax`` displaces the pattern of every pixel by where it lies
    along the ray.
    """
    nodes_um = np.zeros(1)
    if parallax:
        nodes_um = displacement_nodes_um(
            ring.two_theta_rad, reach_um=ring.grid.outer_um, distance_m=distance_m
        )
    matrices = displacement_matrices(
        ring, nodes_um=nodes_um, onto_rad=onto_rad, distance_m=distance_m
    )
    add_displaced(
        values, ring, rays=rays, nodes_um=nodes_um, matrices=matrices, factor=factor,
        workers=workers,
    )  # fmt: skip
    values[..., ~_covered(ring, onto_rad)] = np.nan


def displacement_matrices(
    ring: Ring, *, nodes_um: Floats, onto_rad: Floats, distance_m: float
) -> list[Singles]:
    """Return what a ring's patterns become at every displacement, each (onto, channel)."""
    return [
        displacement_matrix(
            ring.two_theta_rad, onto_rad=onto_rad, measured=ring.measured, displacement_um=node,
            distance_m=distance_m,
        )
        for node in nodes_um.tolist()
    ]  # fmt: skip


def add_displaced(
    values: Singles,
    ring: Ring,
    *,
    rays: RayGeometry,
    nodes_um: Floats,
    matrices: list[Singles],
    factor: float,
    workers: int | None = None,
) -> None:
    """Add ``factor`` times line integrals to ``values``, as :func:`add_ring` does.

    A pattern at the displacement ``nodes_um`` (node,) is the node's matrix times that of the ring.
    """
    n_onto = values.shape[2]
    for first in range(0, n_onto, _BLOCK):
        block = slice(first, min(first + _BLOCK, n_onto))
        images = np.empty(
            (nodes_um.size, ring.values.shape[0], block.stop - block.start), np.float32
        )
        for image, matrix in zip(images, matrices, strict=True):
            image[:] = _product(ring.values, matrix[block])
        add_ray_sums(
            values[:, :, block], images, grid=ring.grid, rays=rays, factor=factor,
            nodes_um=nodes_um, workers=workers,
        )  # fmt: skip


def add_ring_variance(
    variance: Singles,
    ring: Ring,
    *,
    rays: RayGeometry,
    onto_rad: Floats,
    factor: float = 1.0,
    workers: int | None = None,
) -> None:
    """Add ``factor`` times the variance of a ring's line integrals to ``variance``, in place.

    Pixels are taken to be independent, and the parallax is left out. (Noise of filtered back
    projection is not white, but its line integrals happen to have 0.95 times the variance of those
    of white noise: with a spectrum c·|f| up to |f| = ½, the integral over a line is c/4 per pixel
    of its length, the variance of a pixel 2πc/24.)
    """
    matrix = displacement_matrix(
        ring.two_theta_rad, onto_rad=onto_rad, measured=ring.measured, displacement_um=0.0,
        distance_m=1.0,
    )  # fmt: skip
    for first in range(0, onto_rad.size, _BLOCK):
        block = slice(first, first + _BLOCK)
        images = _product(ring.variance, matrix[block] ** 2)[None]
        add_ray_sums(
            variance[:, :, block], images, grid=ring.grid, rays=rays, factor=factor, squared=True,
            workers=workers,
        )  # fmt: skip
    variance[..., ~_covered(ring, onto_rad)] = np.nan


def _covered(ring: Ring, onto_rad: Floats) -> NDArray[np.bool_]:
    return covered_channels(ring.two_theta_rad, onto_rad=onto_rad, measured=ring.measured)


def _product(images: Singles, matrix: Singles) -> Singles:
    """Return ``images`` (pixel, channel) times the transpose of ``matrix`` (onto, channel)."""
    used = np.flatnonzero(matrix.any(axis=0))
    if used.size == 0:
        return np.zeros((images.shape[0], matrix.shape[0]), np.float32)
    columns = slice(int(used[0]), int(used[-1]) + 1)
    return np.asarray(images[:, columns] @ matrix[:, columns].T)
