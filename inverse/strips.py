"""Sums over strips through square pixels of any size, and their exact adjoint.

A ray is a strip: the beam's profile, a Gaussian, about the line at offset t. What a pixel of edge p
contributes is the mean length of the beam's path through it: the shadow of the rotated square, a
trapezoid, convolved with the profile,

    w(d) = (p/b)·[R(d + o) − R(d + i) − R(d − i) + R(d − o)]/(o − i),   R(u) = ∫ (u − g)₊ G(g) dg,

with d the distance of its centre from the line, b ≥ s the two of |cos ω| and |sin ω|, o and i the
half widths p(b ± s)/2 of the shadow's foot and top, all in µm, and G the profile. ∫ w dd = p². The
beam is as wide whatever the step of the offsets: a scan of wide steps sees thin lines.

Weights are tabulated (:mod:`inverse.strip_kernels`), their tails cut where the profile has fallen
by 3.5 standard deviations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf

from inverse.geometry import axis_position, checked_angles
from inverse.grids import PixelGrid
from inverse.lanes import LANES
from inverse.strip_kernels import gather_strips, spread_strips
from xrdct.compiled import threaded
from xrdct.errors import InputError
from xrdct.normal import FWHM_PER_SIGMA

_TAIL_SIGMAS = 3.5
_NODES_PER_SIGMA = 24
"""Of the table: linear interpolation then errs by less than 1e-4 of the largest weight."""
_SMALLEST_SLOPE = 1e-6
"""A shadow with steeper sides is a box to double precision, whose formula divides by zero."""
_PIXEL_BLOCK = 256

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class StripProjector:
    """One scan's rays through one grid of pixels."""

    grid: PixelGrid
    n_offsets: int
    step_um: float
    beam_fwhm_um: float
    along_beam: bool
    """Whether weights are multiplied by s, the place of the pixel along the beam in µm: the first
    moment, which the sample's parallax takes."""
    rays: tuple[Floats, ...]
    """For each pixel size, (angle, 4) as in :func:`inverse.strip_kernels.spread_strips`."""
    tables: tuple[Singles, ...]
    """For each pixel size the footprints, (angle, node, tap), in µm."""

    @property
    def shape(self) -> tuple[int, int]:
        """Angles and offsets of the scan."""
        return self.rays[0].shape[0], self.n_offsets

    def forward(self, image: ArrayLike, *, workers: int | None = None) -> Singles:
        """Return A·image, (angle, offset, channel), in the image's quantity times µm.

        image (pixel, channel), in the order of the grid's pixels. Raises InputError for another
        shape.
        """
        given = _checked(image, self.grid.x_um.shape, "image", "(pixel, channel)")
        values, n_angles = _padded(given), self.shape[0]
        sinogram = np.zeros((n_angles, self.n_offsets, values.shape[-1]), np.float32)

        def task(first: int, last: int) -> None:
            part = sinogram[first:last].reshape(-1)
            for k, (rays, table) in enumerate(zip(self.rays, self.tables, strict=True)):
                pixels = self.grid.pixels_of(k)
                spread_strips(
                    values[pixels].reshape(-1), *self.places(pixels), rays[first:last],
                    table[first:last], self.n_offsets, self._lever_um, part,
                )  # fmt: skip

        threaded(task, n_angles, workers=workers)
        return sinogram[..., : given.shape[-1]]

    def adjoint(self, sinogram: ArrayLike, *, workers: int | None = None) -> Singles:
        """Return Aᵀ·sinogram, (pixel, channel): the exact adjoint of :meth:`forward`.

        sinogram (angle, offset, channel). Raises InputError for another shape.
        """
        given = _checked(sinogram, self.shape, "sinogram", "(angle, offset, channel)")
        lines = _padded(given)
        values = np.zeros((self.grid.x_um.size, lines.shape[-1]), np.float32)
        blocks = [
            (k, slice(start, min(start + _PIXEL_BLOCK, int(self.grid.first[k + 1]))))
            for k in range(self.grid.sizes_um.size)
            for start in range(int(self.grid.first[k]), int(self.grid.first[k + 1]), _PIXEL_BLOCK)
        ]

        def task(first: int, last: int) -> None:
            for k, pixels in blocks[first:last]:
                gather_strips(
                    lines.reshape(-1), *self.places(pixels), self.rays[k],
                    self.tables[k], self.n_offsets, self._lever_um, values[pixels].reshape(-1),
                )  # fmt: skip

        threaded(task, len(blocks), workers=workers)
        return values[:, : given.shape[-1]]

    def squared(self) -> StripProjector:
        """Return the projector whose weights are the squares of this one's, to interpolation."""
        return replace(self, tables=tuple(table * table for table in self.tables))

    def moment(self) -> StripProjector:
        """Return the projector of first moments along the beam, s = −x sin ω + y cos ω in µm."""
        return replace(self, along_beam=True)

    @property
    def axis_offset_um(self) -> float:
        """Where the rotation axis is seen, on the scale of the offsets."""
        middle = self.rays[0][0, 2] + 0.5 * self.rays[0][0, 3]
        return float(self.step_um * (middle - 0.5 * (self.n_offsets - 1)))

    def about(self, axis_offset_um: float) -> StripProjector:
        """Return the projector of the same rays, the rotation axis being seen elsewhere."""
        further = (axis_offset_um - self.axis_offset_um) / self.step_um
        moved = tuple(rays + np.array([0.0, 0.0, further, 0.0]) for rays in self.rays)
        return replace(self, rays=moved)

    @property
    def _lever_um(self) -> float:
        """µm per step of a pixel's place along the beam; zero where it does not count."""
        return self.step_um if self.along_beam else 0.0

    def places(self, pixels: slice) -> tuple[Floats, Floats]:
        """Return the positions of some pixels in steps."""
        return self.grid.x_um[pixels] / self.step_um, self.grid.y_um[pixels] / self.step_um


def strip_projector(
    grid: PixelGrid,
    *,
    angles_rad: ArrayLike,
    n_offsets: int,
    step_um: float,
    beam_fwhm_um: float,
    axis_offset_um: float = 0.0,
) -> StripProjector:
    """Return the projector of a scan: ``n_offsets`` centred offsets at each angle.

    Raises InputError where angles are no list of numbers, or a length is not positive.
    """
    angles = checked_angles(angles_rad)
    axis = axis_position(n_offsets, step_um=step_um, axis_offset_um=axis_offset_um)
    if not (np.isfinite(beam_fwhm_um) and beam_fwhm_um > 0.0):
        raise InputError(f"beam_fwhm_um must be positive and finite, not {beam_fwhm_um}.")
    sigma_um = beam_fwhm_um / FWHM_PER_SIGMA
    rays, tables = [], []
    for size_um in grid.sizes_um:
        reach_um = _reach_um(float(size_um), angles, sigma_um)
        columns = (
            np.cos(angles), np.sin(angles), axis - reach_um / step_um, 2.0 * reach_um / step_um,
        )  # fmt: skip
        rays.append(np.stack(columns, axis=1))
        tables.append(_table(float(size_um), angles, reach_um, sigma_um, step_um))
    return StripProjector(grid, n_offsets, step_um, beam_fwhm_um, False, tuple(rays), tuple(tables))


def footprint_um(
    distance_um: ArrayLike, *, size_um: float, angle_rad: ArrayLike, sigma_um: float
) -> Floats:
    """Return w(d) of the module's formula, in µm, for broadcastable distances and angles.

    ``sigma_um`` is the standard deviation of the beam's profile.
    """
    d = np.asarray(distance_um, dtype=np.float64)
    narrow, wide = _sides(np.asarray(angle_rad, dtype=np.float64))
    foot, top = 0.5 * size_um * (wide + narrow), 0.5 * size_um * (wide - narrow)
    ramps = (
        _smooth_ramp(d + foot, sigma_um)
        - _smooth_ramp(d + top, sigma_um)
        - _smooth_ramp(d - top, sigma_um)
        + _smooth_ramp(d - foot, sigma_um)
    )
    return np.asarray(ramps / (wide * narrow))


def _sides(angles_rad: Floats) -> tuple[Floats, Floats]:
    """Return the smaller and the larger of |cos ω| and |sin ω|."""
    cos, sin = np.abs(np.cos(angles_rad)), np.abs(np.sin(angles_rad))
    return np.maximum(np.minimum(cos, sin), _SMALLEST_SLOPE), np.maximum(cos, sin)


def _smooth_ramp(u: Floats, sigma: float) -> Floats:
    """Return ∫ max(u − g, 0) G(g) dg of a Gaussian of standard deviation ``sigma``."""
    z = u / (sigma * np.sqrt(2.0))
    bell = sigma / np.sqrt(2.0 * np.pi) * np.exp(-z * z)
    return np.asarray(0.5 * u * (1.0 + erf(z)) + bell)


def _reach_um(size_um: float, angles_rad: Floats, sigma_um: float) -> Floats:
    """Return the distance beyond which a pixel leaves a strip alone, (angle,)."""
    narrow, wide = _sides(angles_rad)
    return np.asarray(0.5 * size_um * (narrow + wide) + _TAIL_SIGMAS * sigma_um)


def _table(
    size_um: float, angles_rad: Floats, reach_um: Floats, sigma_um: float, step_um: float
) -> Singles:
    """Return the footprints of pixels of one size, (angle, node, tap).

    Node and tap stand for the distance (node/n_nodes + tap)·step − reach; the last node, a whole
    step, closes the interpolation.
    """
    n_nodes = int(np.ceil(_NODES_PER_SIGMA * step_um / sigma_um))
    n_taps = int(np.floor(2.0 * reach_um.max() / step_um)) + 1
    place = np.arange(n_nodes + 1)[:, None] / n_nodes + np.arange(n_taps)
    table = np.empty((angles_rad.size, *place.shape), np.float32)
    for a, (angle, reach) in enumerate(zip(angles_rad, reach_um, strict=True)):
        distance = place * step_um - reach
        weight = footprint_um(distance, size_um=size_um, angle_rad=angle, sigma_um=sigma_um)
        table[a] = np.maximum(weight, 0.0)
    return table


def _padded(values: NDArray[np.floating]) -> Singles:
    """Return the values as singles with whole groups of channels, zeros in those added."""
    missing = -values.shape[-1] % LANES
    widths = [(0, 0)] * (values.ndim - 1) + [(0, missing)]
    return np.ascontiguousarray(np.pad(values, widths), dtype=np.float32)


def _checked(
    values: ArrayLike, shape: tuple[int, ...], name: str, axes: str
) -> NDArray[np.floating]:
    """Return the array, or raise InputError where its axes but the last are not ``shape``."""
    array = np.asarray(values)
    if array.ndim != len(shape) + 1 or array.shape[:-1] != shape or array.dtype.kind not in "iuf":
        raise InputError(
            f"{name} must be an array of numbers with the axes {axes}, {shape} and any number of "
            f"channels, not one of shape {array.shape} and type {array.dtype}."
        )
    return array
