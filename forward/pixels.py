"""What every pixel of the detector looks at, and how much: computed once, used for each frame.

A pixel at (2θ, χ) counts of a ring with J photons per radian (whole, unpolarised)

    λ = J(2θ) · P(2θ, χ) · ΔΩ · ε / (2π sin2θ),      ΔΩ = A L / R³

with A its area, L the detector's orthogonal distance, R the pixel's own, ε the sensor's efficiency
at its incidence. J is looked up on a grid of nodes (:mod:`forward.angles`) at the mean 2θ of the
pixel, weighted with the 1/sin2θ that thins a ring towards its outside. That a pixel integrates J
over its area is part of J, since the second moment of a square, p²/12, is the same along every
direction. What depends on the ring's azimuth is the fourth cumulant (−p⁴/120 along the pixel's
sides, half that along its diagonals): below 0.1 % of the height of a ring of two pixels FWHM.

Source: PHYSICS 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.angles import AngleGrid
from forward.sensor import relative_efficiency
from xrdct.compiled import compiled_fast
from xrdct.instrument import Beam, Detector, Geometry, detector_plane
from xrdct.plane import Plane, place_m, sight
from xrdct.scattering import polarisation_factor

Singles = NDArray[np.float32]
_GAUSS = 0.5 / np.sqrt(3.0)
"""Two-point Gauss nodes of a pixel, from its middle."""
_ROWS_AT_ONCE = 64
_SMALLEST_RAD = 1e-6
"""Keeps the direct beam's own pixel, which is behind the beam stop, from dividing by zero."""


@dataclass(frozen=True, eq=False)
class PixelMap:
    """Static properties of the pixels, (row, column) unless said."""

    node: Singles
    """Place of the pixel on the grid of angles."""
    weight: Singles
    """P ΔΩ ε / (2π sin2θ) per photon/rad; zero in gaps, behind the beam stop and off the grid."""
    live: NDArray[np.bool_]
    """False in gaps and under the maker's mask."""
    centre_px: tuple[float, float]
    """Row and column (pixel centres are whole numbers) where the direct beam would meet it."""
    slope_column: NDArray[np.float64]
    """tan2θ cosχ of an untilted detector, shape (column,): the horizontal slope of photons."""
    slope_row: NDArray[np.float64]
    """tan2θ sinχ, shape (row,): the vertical one."""


def pixel_map(angles: AngleGrid, *, detector: Detector, geometry: Geometry, beam: Beam) -> PixelMap:
    """Return the map of a detector that truly stands as ``geometry`` says."""
    plane, pixel_m = detector_plane(geometry, detector), detector.pixel_um * 1e-6
    rows, columns = detector.shape
    node, weight = (np.empty((rows, columns), np.float32) for _ in range(2))
    for first in range(0, rows, _ROWS_AT_ONCE):
        part = slice(first, min(first + _ROWS_AT_ONCE, rows))
        numbers = _middles(part.start, part.stop)[:, None], _middles(0, columns)
        two_theta = _mean_two_theta(plane, numbers, pixel_m)
        node[part] = (two_theta - angles.first_rad) / angles.step_rad
        weight[part] = _weight(plane, numbers, pixel_m, detector, beam)
    weight[~detector.live | (node < 0.0) | (node >= angles.n_nodes - 1)] = 0.0
    node = np.clip(node, 0.0, angles.n_nodes - 2)
    middle1_m, middle2_m = place_m(plane, 0.0, 0.0)
    centre_px = float(middle1_m) / pixel_m - 0.5, float(middle2_m) / pixel_m - 0.5
    return PixelMap(
        node=node,
        weight=weight,
        live=detector.live,
        centre_px=centre_px,
        slope_column=(_middles(0, columns) * pixel_m - float(middle2_m)) / plane.distance_m,
        slope_row=(_middles(0, rows) * pixel_m - float(middle1_m)) / plane.distance_m,
    )


def _middles(first: int, stop: int) -> NDArray[np.float64]:
    """Return where pixels of these numbers have their middles, in pixels from the edge."""
    return np.arange(first, stop, dtype=np.float64) + 0.5


Numbers = tuple[NDArray[np.float64], NDArray[np.float64]]


def _mean_two_theta(plane: Plane, numbers: Numbers, pixel_m: float) -> NDArray[np.float64]:
    row, column = numbers
    nodes = [(a, b) for a in (-_GAUSS, _GAUSS) for b in (-_GAUSS, _GAUSS)]
    angles = np.array(
        [sight(plane, (row + a) * pixel_m, (column + b) * pixel_m).two_theta_rad for a, b in nodes]
    )
    share = 1.0 / np.sin(np.maximum(angles, _SMALLEST_RAD))
    return np.asarray((angles * share).sum(axis=0) / share.sum(axis=0))


def _weight(
    plane: Plane,
    numbers: Numbers,
    pixel_m: float,
    detector: Detector,
    beam: Beam,
) -> NDArray[np.float64]:
    row, column = numbers
    seen = sight(plane, row * pixel_m, column * pixel_m)
    solid_angle = pixel_m**2 * seen.cos_incidence / seen.range_m**2
    polarised = polarisation_factor(seen.two_theta_rad, seen.azimuth_rad, degree=beam.polarisation)
    efficiency = detector.efficiency * relative_efficiency(
        np.arccos(seen.cos_incidence), energy_keV=beam.energy_keV, sensor_um=detector.sensor_um
    )
    ring = 2.0 * np.pi * np.sin(np.maximum(seen.two_theta_rad, _SMALLEST_RAD))
    return np.asarray(solid_angle * polarised * efficiency / ring)


@compiled_fast
def expected_frame(
    photons_per_rad: Singles,
    node: Singles,
    weight: Singles,
    factor_row: Singles,
    factor_column: Singles,
    out: Singles,
) -> None:
    """Fill ``out`` (row, column) with expected photons: J looked up and weighted.

    ``photons_per_rad`` is J on the nodes, shape (node,); ``factor_row`` and ``factor_column``
    multiply whole rows and columns.
    """
    n_rows, n_columns = node.shape
    for row in range(n_rows):
        for column in range(n_columns):
            place = node[row, column]
            i = int(place)
            part = place - np.float32(i)
            value = photons_per_rad[i] + part * (photons_per_rad[i + 1] - photons_per_rad[i])
            out[row, column] = value * weight[row, column] * factor_row[row] * factor_column[column]
