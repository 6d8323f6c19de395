"""Learn the instrument from a calibrant: its distance and its peak widths.

The pattern of a powder of known cell is fitted with free line intensities and a Chebyshev
background (both linear, eliminated by least squares), and as non-linear parameters the ratio of
true to nominal distance and the Thompson–Cox–Hastings widths U, W, X, Y. V stays zero: it stands
for the asymmetric foci of neutron guides and has no place at a synchrotron.

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
from xrdct.compiled import single_threaded_algebra
from xrdct.crystal import Crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

Floats = NDArray[np.float64]
_BACKGROUND_TERMS = 6
_FEWEST_LINES = 3
"""The distance is one parameter of position, and widths need a change with angle."""
_MARGIN_RAD = np.deg2rad(0.3)
"""Lines this far outside the pattern still reach into it, or enter it with another distance."""
_SIGNIFICANT = 25.0
"""χ² that the lines must take away for each parameter they bring, in units of what is left for
each channel; noise takes away about one."""
_START_DEG = 0.02
_NONLINEAR = ("distance", "U", "W", "X", "Y")
_START = np.array([0.0, 0.1, 1.0, 0.1, 0.1])
"""ppm of distance, then widths with their units chosen so that all are of order one."""
_LOWER = np.array([-5e4, 0.0, 0.05, 0.0, 0.0])
_UPPER = np.array([5e4, 500.0, 50.0, 50.0, 50.0])
"""5 % of distance, widths of a degree."""


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
    the instrument. Channels with NaN or no variance are ignored.

    Raises InputError where fewer than three lines lie in the pattern, where too few channels are
    usable, where no lines show, and where the fit ends at a limit (5 % of distance, 1° of width).
    """
    lines = _separate_lines(calibrant, beam=beam, geometry=geometry)
    background = chebyshev_background(geometry.n_channels, n_terms=_BACKGROUND_TERMS)
    usable = (variance > 0.0) & np.isfinite(variance) & np.isfinite(pattern)
    n_parameters = lines.n_patterns + _BACKGROUND_TERMS + len(_NONLINEAR)
    if usable.sum() <= n_parameters:
        raise InputError(
            f"a calibrant with {lines.n_patterns} lines needs more than {n_parameters} usable "
            f"channels, but its pattern has {usable.sum()}"
        )
    weight = np.where(usable, 1.0 / np.sqrt(np.where(usable, variance, 1.0)), 0.0)
    observed = np.where(usable, pattern, 0.0) * weight

    def residual(parameters: Floats) -> Floats:
        shapes = draw_patterns(
            lines,
            instrument=Instrument(beam, geometry, _calibration(parameters, geometry)),
            crystallite_size_nm=crystallite_size_nm,
            strain=0.0,
        )
        return _unexplained(observed, np.concatenate([shapes, background]) * weight)

    with single_threaded_algebra():
        fit = least_squares(
            residual, _START, bounds=(_LOWER, _UPPER), x_scale=[100.0, 1.0, 0.1, 1.0, 0.1]
        )
    background_alone = float(np.sum(_unexplained(observed, background * weight) ** 2))
    per_channel = max(2.0 * fit.cost / (usable.sum() - n_parameters), 1.0)
    if background_alone - 2.0 * fit.cost < _SIGNIFICANT * n_parameters * per_channel:
        raise InputError(f"no lines of {calibrant.name} show in the calibrant's pattern")
    stuck = [n for n, x, top in zip(_NONLINEAR, fit.x, _UPPER, strict=True) if abs(x) > 0.99 * top]
    if stuck or not fit.success:
        raise InputError(
            f"the calibrant's pattern could not be fitted with the lines of {calibrant.name}: "
            + (f"{', '.join(stuck)} ran to a limit" if stuck else fit.message)
        )
    return _calibration(fit.x, geometry)


def _separate_lines(calibrant: Crystal, *, beam: Beam, geometry: Geometry) -> PhaseLines:
    """Return the lines in or near the pattern, each of unit power and a pattern of its own."""
    listed = phase_lines([calibrant], beam=beam, geometry=geometry)
    first_rad, *_, last_rad = geometry.two_theta_rad
    outside_rad = np.maximum(first_rad - listed.angle_rad, listed.angle_rad - last_rad)
    inside = int(np.sum(outside_rad < 0.0))
    if inside < _FEWEST_LINES:
        raise InputError(
            f"a calibrant needs at least {_FEWEST_LINES} lines in the pattern, but "
            f"{calibrant.name} has {inside} between {geometry.two_theta_min_deg:g}° and "
            f"{geometry.two_theta_max_deg:g}°"
        )
    near = outside_rad < _MARGIN_RAD
    count = int(near.sum())
    return PhaseLines(
        n_patterns=count,
        row=np.arange(count),
        angle_rad=listed.angle_rad[near],
        power_per_um=np.ones(count),
        s_squared_per_A2=listed.s_squared_per_A2[near],
    )


def _unexplained(observed: Floats, design: Floats) -> Floats:
    """Return what of a weighted pattern no mixture of ``design``, (pattern, channel), explains."""
    basis, _ = np.linalg.qr(design.T)
    return np.asarray(observed - basis @ (basis.T @ observed))


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
