"""Learn the instrument from a calibrant: its distance and its peak widths.

The pattern of a powder of known cell is fitted with free line intensities and a Chebyshev
background (both linear, eliminated by least squares), and as non-linear parameters the ratio of
true to nominal distance and the Thompson–Cox–Hastings widths U, V, W, X, Y.

Source: the usual practice with NIST SRM 660; variable projection as in :mod:`inverse.refine`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from inverse.model import (
    Instrument,
    PhaseLines,
    chebyshev_background,
    draw_patterns,
    phase_lines,
)
from inverse.recipe import Calibration, Profile
from xrdct.crystal import Crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

Floats = NDArray[np.float64]
_BACKGROUND_TERMS = 6
_START_DEG = 0.02
_WIDEST_DEG = 1.0


def calibrate(
    pattern: Floats,
    *,
    variance: Floats,
    calibrant: Crystal,
    beam: Beam,
    geometry: Geometry,
    crystallite_size_nm: float,
) -> Calibration:
    """Return distance and profile that fit a calibrant's pattern, shape (channel,), best.

    ``crystallite_size_nm`` is the calibrant's certified size; what it broadens is not ascribed to
    the instrument. Raises InputError where no widths fit.
    """
    listed = phase_lines([calibrant], beam=beam, geometry=geometry)
    inside = (listed.angle_rad > geometry.two_theta_rad[0]) & (
        listed.angle_rad < geometry.two_theta_rad[-1]
    )
    count = int(inside.sum())
    lines = PhaseLines(
        n_patterns=count,
        row=np.arange(count),
        angle_rad=listed.angle_rad[inside],
        power_per_um=np.ones(count),
        s_squared_per_A2=listed.s_squared_per_A2[inside],
    )
    background = chebyshev_background(geometry.n_channels, n_terms=_BACKGROUND_TERMS)
    usable = (variance > 0.0) & np.isfinite(pattern)
    weight = np.where(usable, 1.0 / np.sqrt(np.where(usable, variance, 1.0)), 0.0)
    observed = np.where(usable, pattern, 0.0) * weight

    def residual(parameters: Floats) -> Floats:
        shapes = draw_patterns(
            lines,
            instrument=Instrument(beam, geometry, _calibration(parameters, geometry)),
            crystallite_size_nm=crystallite_size_nm,
            strain=0.0,
        )
        design = np.concatenate([shapes, background]).T * weight[:, None]
        basis, _ = np.linalg.qr(design)
        return np.asarray(observed - basis @ (basis.T @ observed))

    # ppm of distance, then the widths of a wide and a narrow part, all of order one
    start = np.array([0.0, 0.1, 1.0, 0.1, 0.1])
    limits = ([-5e4, 0.0, 0.05, 0.0, 0.0], [5e4, 500.0, _WIDEST_DEG / _START_DEG, 500.0, 500.0])
    fit = least_squares(residual, start, bounds=limits, x_scale=[100.0, 1.0, 0.1, 1.0, 0.1])
    if not fit.success or not np.isfinite(fit.cost):
        raise InputError(f"the calibrant's pattern could not be fitted: {fit.message}")
    return _calibration(fit.x, geometry)


def _calibration(parameters: Floats, geometry: Geometry) -> Calibration:
    ppm, bandwidth_like, constant, strain_like, size_like = (float(p) for p in parameters)
    return Calibration(
        profile=Profile(
            U_deg2=bandwidth_like * _START_DEG**2 * 10.0,
            W_deg2=(constant * _START_DEG) ** 2,
            X_deg=strain_like * _START_DEG,
            Y_deg=size_like * _START_DEG,
        ),
        distance_m=geometry.distance_m * (1.0 + 1e-6 * ppm),
    )
