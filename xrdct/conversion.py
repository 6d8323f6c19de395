"""Photon energy, wavelength, scattering angle, lattice spacing and ring radius, each from another.

Conventions: ``two_theta_rad`` is the full scattering angle; s = sinθ/λ = 1/(2d) and
q = 4π sinθ/λ = 2π/d, both in 1/Å. Every function takes a number or an array and returns the same.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from xrdct.errors import InputError

Value = TypeVar("Value", float, NDArray[np.float64])

HC_KEV_A = 12.398419843
"""Planck constant times speed of light, keV Å (CODATA 2018, exact in the SI)."""


def wavelength_A(energy_keV: Value) -> Value:
    """Return the wavelength λ = hc/E in Å; `InputError` unless E is positive and finite."""
    _require_positive(energy_keV, "a photon energy (keV)")
    return HC_KEV_A / energy_keV


def energy_keV(wavelength_A: Value) -> Value:
    """Return the photon energy E = hc/λ in keV; `InputError` unless λ is positive and finite."""
    _require_positive(wavelength_A, "a wavelength (Å)")
    return HC_KEV_A / wavelength_A


def two_theta_rad(d_A: Value, *, wavelength_A: float) -> Value:
    """Return the scattering angle 2θ = 2 asin(λ/2d) in rad (Bragg's law).

    `InputError` where d is not positive or below λ/2: such planes reflect at no angle.
    """
    _require_positive(d_A, "a lattice spacing (Å)")
    _require_positive(wavelength_A, "a wavelength (Å)")
    sin_theta = wavelength_A / (2.0 * d_A)
    if np.any(sin_theta > 1.0):
        raise InputError(
            f"a lattice spacing must be at least half the wavelength, {wavelength_A / 2:g} Å, "
            f"to reflect: got {np.min(d_A):g} Å"
        )
    angle: Value = 2.0 * np.arcsin(sin_theta)
    return angle


def d_spacing_A(two_theta_rad: Value, *, wavelength_A: float) -> Value:
    """Return the lattice spacing d = λ/(2 sinθ) in Å; `InputError` unless 0 < 2θ ≤ π."""
    return 0.5 / s_per_A(two_theta_rad, wavelength_A=wavelength_A)


def s_per_A(two_theta_rad: Value, *, wavelength_A: float) -> Value:
    """Return s = sinθ/λ in 1/Å, what form factors depend on; `InputError` unless 0 < 2θ ≤ π."""
    _require_positive(two_theta_rad, "a scattering angle (rad)")
    _require_positive(wavelength_A, "a wavelength (Å)")
    if np.any(two_theta_rad > np.pi):
        raise InputError(f"a scattering angle is at most π rad: got {np.max(two_theta_rad):g}")
    s: Value = np.sin(two_theta_rad / 2.0) / wavelength_A
    return s


def q_per_A(two_theta_rad: Value, *, wavelength_A: float) -> Value:
    """Return q = 4π sinθ/λ in 1/Å; `InputError` unless 0 < 2θ ≤ π."""
    return 4.0 * np.pi * s_per_A(two_theta_rad, wavelength_A=wavelength_A)


def two_theta_from_q_rad(q_per_A: Value, *, wavelength_A: float) -> Value:
    """Return 2θ = 2 asin(qλ/4π) in rad; `InputError` unless 0 < q ≤ 4π/λ."""
    _require_positive(q_per_A, "a momentum transfer q (1/Å)")
    return two_theta_rad(2.0 * np.pi / q_per_A, wavelength_A=wavelength_A)


def ring_radius_m(two_theta_rad: Value, *, distance_m: float) -> Value:
    """Return the ring radius r = D tan2θ in m on a flat detector normal to the beam.

    `InputError` unless 0 ≤ 2θ < π/2: backscattered rings never meet the detector.
    """
    _require_positive(distance_m, "a sample-to-detector distance (m)")
    if not np.all((two_theta_rad >= 0.0) & (two_theta_rad < np.pi / 2)):
        raise InputError(
            "a ring meets a detector downstream only for scattering angles from 0 to π/2 rad: got "
            f"{np.min(two_theta_rad):g} to {np.max(two_theta_rad):g}"
        )
    radius: Value = distance_m * np.tan(two_theta_rad)
    return radius


def two_theta_from_radius_rad(radius_m: Value, *, distance_m: float) -> Value:
    """Return 2θ = atan(r/D) in rad, the inverse of `ring_radius_m`; `InputError` unless r ≥ 0."""
    _require_positive(distance_m, "a sample-to-detector distance (m)")
    if not np.all((radius_m >= 0.0) & np.isfinite(radius_m)):
        raise InputError(f"a ring radius (m) must be zero or more: got {np.min(radius_m):g}")
    angle: Value = np.arctan(radius_m / distance_m)
    return angle


def _require_positive(value: float | NDArray[np.float64], what: str) -> None:
    good = np.isfinite(value) & (np.asarray(value) > 0.0)
    if not np.all(good):
        offending = np.asarray(value)[~good].flat[0]
        raise InputError(f"{what} must be positive and finite: got {offending:g}")
