"""The rays of a window and of the wider scans, as one joint estimate takes them.

Pixels are single steps out to ``FINE_REACH`` times the window's radius and wider from there to the
sample's edge. A ray counts with the inverse of

    (its photons' share of the noise) + Σ over the wide pixels of path · v,

v being the variance per µm that a wide pixel leaves out (:mod:`inverse.joint_variance`), measured
in a first image of the window: its mean over the coefficients. That image's own noise and streaks
are in v, which is therefore an upper bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.compression import Compression, ray_noise
from inverse.grids import PixelGrid, graded_grid
from inverse.joint_problem import RayData, ray_part
from inverse.joint_variance import left_out_per_um, model_error_variance
from inverse.reach import sample_reach, warn_of_reach
from inverse.reconstruct import filtered_back_projection
from inverse.sinogram import Sinogram
from inverse.strips import strip_projector
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

FINE_REACH = 1.5
"""Streaks come from near by more than from far: single steps there cost little and help."""


@dataclass(frozen=True, eq=False)
class JointScans:
    """All scans on one grid."""

    grid: PixelGrid
    rays: tuple[RayData, ...]
    """The window's first."""
    noise: tuple[Floats, ...]
    """Variance of each ray's coefficients by its photons alone, (angle, offset) for each scan."""

    def half(self, start: int) -> tuple[RayData, ...]:
        """Return every other projection of every scan, from 0 or from 1 on."""
        return tuple(ray_part(scan, slice(start, None, 2)) for scan in self.rays)


def joint_scans(
    window: Sinogram,
    *,
    others: Sequence[Sinogram],
    shapes: Compression,
    outer_pixel_steps: int,
    width_um: float | None,
    beam_fwhm_um: float,
    workers: int | None = None,
) -> JointScans:
    """Return the rays of all scans in coefficients, with their weights.

    ``width_um`` is the sample's diameter, by default the one that the widest scan shows.

    Warns (:class:`inverse.reach.ReachWarning`) where that is by transmission alone. Raises
    InputError where a scan has other channels than the window, where a ray's pattern is missing in
    part, and where the sample's width cannot be told.
    """
    for other in others:
        if not np.array_equal(other.two_theta_rad, window.two_theta_rad):
            raise InputError(
                f"scans that are estimated together must share their channels, but one has "
                f"{other.two_theta_rad.size} and the window {window.two_theta_rad.size}, or "
                "they stand at other angles."
            )
    widest = max((window, *others), key=lambda scan: float(np.ptp(scan.offsets_um)))
    reach_um = _reach_um(widest) if width_um is None else 0.5 * width_um
    grid = window_grid(window, reach_um=reach_um, outer_pixel_steps=outer_pixel_steps)
    values = [shapes.compress(scan.values) for scan in (window, *others)]
    per_um = _left_out_per_um(window, values[0], grid, workers)
    rays, noise = [], []
    for scan, coefficients in zip((window, *others), values, strict=True):
        projector = strip_projector(
            grid, angles_rad=scan.angles_rad, n_offsets=scan.values.shape[1],
            step_um=scan.step_um, beam_fwhm_um=beam_fwhm_um, axis_offset_um=scan.axis_offset_um,
        )  # fmt: skip
        of_photons = ray_noise(shapes, scan.variance).astype(np.float64)
        path_um = projector.forward(np.ones((grid.x_um.size, 1)), workers=workers)[..., 0]
        used = np.isfinite(coefficients[..., 0]) & (of_photons > 0.0) & (path_um > 0.0)
        variance = of_photons + model_error_variance(projector, per_um)
        weight = np.where(used, 1.0 / np.where(used, variance, 1.0), 0.0).astype(np.float32)
        rays.append(RayData(projector, coefficients, weight))
        noise.append(np.where(used, of_photons, 0.0))
    return JointScans(grid, tuple(rays), tuple(noise))


def _reach_um(widest: Sinogram) -> float:
    reach = sample_reach(widest)
    if not reach.seen:
        warn_of_reach(reach.radius_um, key="truncation.width_um")
    return reach.radius_um


def window_grid(window: Sinogram, *, reach_um: float, outer_pixel_steps: int) -> PixelGrid:
    """Return pixels of one step about the window, and of several out to ``reach_um``."""
    n_offsets, step_um = window.values.shape[1], window.step_um
    inner_um = 0.5 * n_offsets * step_um
    outer_um, fine_um = max(reach_um, inner_um), FINE_REACH * inner_um
    rings: list[tuple[int, float]] = [(1, min(outer_um, fine_um))]
    if outer_um > fine_um and outer_pixel_steps > 1:
        rings.append((outer_pixel_steps, outer_um))
    elif outer_um > fine_um:
        rings = [(1, outer_um)]
    return graded_grid(n_offsets, step_um=step_um, rings=rings)


def _left_out_per_um(
    window: Sinogram, values: Singles, grid: PixelGrid, workers: int | None
) -> Floats:
    """Return v of each size of pixels, the mean over the coefficients, (size,)."""
    factors = np.rint(grid.sizes_um / grid.sizes_um[0]).astype(int)
    if factors.size == 1:
        return np.zeros(1)
    image = filtered_back_projection(
        values, angles_rad=window.angles_rad, step_um=window.step_um,
        axis_offset_um=window.axis_offset_um, workers=workers,
    ).values  # fmt: skip
    wide = [
        float(left_out_per_um(image, factor=int(k), step_um=window.step_um).mean())
        for k in factors[1:]
    ]
    return np.array([0.0, *wide])
