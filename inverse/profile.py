"""The inverse side's peak: a pseudo-Voigt with Thompson–Cox–Hastings widths.

    Γ⁵ = ΓG⁵ + 2.69269 ΓG⁴ΓL + 2.42843 ΓG³ΓL² + 4.47163 ΓG²ΓL³ + 0.07842 ΓGΓL⁴ + ΓL⁵
    η  = 1.36603 (ΓL/Γ) − 0.47719 (ΓL/Γ)² + 0.11116 (ΓL/Γ)³
    profile = η · Lorentzian(Γ) + (1 − η) · Gaussian(Γ)

What is compared with a channel is the mean of the profile over that channel.

Source: Thompson, Cox & Hastings, J. Appl. Cryst. 20 (1987) 79.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.recipe import Profile
from xrdct.compiled import compiled
from xrdct.errors import InputError

REACH_DEG = 1.5
"""Tails end here, smooth enough for background: the part η Γ/(π · 1.5°) of a line is left out."""

SCHERRER_CONSTANT = 0.9
_REACH_RAD = np.deg2rad(REACH_DEG)

_GAUSSIAN_REACH = 64.0
"""(2Δ/Γ)² beyond which the Gaussian part is below 1e-19 of its height."""

Floats = NDArray[np.float64]


def line_widths_rad(
    two_theta_rad: Floats,
    profile: Profile,
    *,
    wavelength_A: float,
    crystallite_size_nm: float,
    strain: float,
) -> tuple[Floats, Floats]:
    """Return the Gaussian and Lorentzian FWHM of lines at ``two_theta_rad``.

    Strain e0 adds 4 e0 tanθ in quadrature to the Gaussian, size adds K λ/(L cosθ) to the
    Lorentzian. Raises InputError where U, V and W make a width that is not positive.
    """
    squared_deg2 = gaussian_width_squared_deg2(two_theta_rad, profile)
    tan_theta = np.tan(0.5 * two_theta_rad)
    cos_theta = np.cos(0.5 * two_theta_rad)
    gaussian = np.sqrt(np.deg2rad(np.deg2rad(squared_deg2)) + (4.0 * strain * tan_theta) ** 2)
    size_rad = SCHERRER_CONSTANT * wavelength_A / (crystallite_size_nm * 10.0) / cos_theta
    lorentzian = np.deg2rad(profile.X_deg * tan_theta + profile.Y_deg / cos_theta) + size_rad
    return gaussian, lorentzian


def gaussian_width_squared_deg2(two_theta_rad: Floats, profile: Profile) -> Floats:
    """Return the square of the instrument's Gaussian width at lines, in deg².

    Raises InputError where U, V and W make one that is not positive.
    """
    tan_theta = np.tan(0.5 * two_theta_rad)
    squared_deg2 = profile.U_deg2 * tan_theta**2 + profile.V_deg2 * tan_theta + profile.W_deg2
    if np.any(squared_deg2 <= 0.0):
        worst = int(np.argmin(squared_deg2))
        raise InputError(
            "the Gaussian width U tan²θ + V tanθ + W of the instrument must be positive, but "
            f"U = {profile.U_deg2:g}, V = {profile.V_deg2:g}, W = {profile.W_deg2:g} make it "
            f"{squared_deg2[worst]:.3g} deg² at 2θ = {np.rad2deg(two_theta_rad[worst]):.2f}°"
        )
    return np.asarray(squared_deg2)


def total_width_and_mixing(gaussian_rad: Floats, lorentzian_rad: Floats) -> tuple[Floats, Floats]:
    """Return Γ and η of the pseudo-Voigt that stands for the convolution of both."""
    g, lo = gaussian_rad, lorentzian_rad
    fifth = (
        g**5 + 2.69269 * g**4 * lo + 2.42843 * g**3 * lo**2
        + 4.47163 * g**2 * lo**3 + 0.07842 * g * lo**4 + lo**5
    )  # fmt: skip
    fwhm = fifth**0.2
    ratio = lo / fwhm
    return fwhm, 1.36603 * ratio - 0.47719 * ratio**2 + 0.11116 * ratio**3


@compiled
def _pseudo_voigt(distance: float, fwhm: float, mixing: float) -> float:
    reduced = (2.0 * distance / fwhm) ** 2
    lorentz = 2.0 / (np.pi * fwhm) / (1.0 + reduced)
    if reduced > _GAUSSIAN_REACH:
        return mixing * lorentz
    gauss = 2.0 * np.sqrt(np.log(2.0) / np.pi) / fwhm * np.exp(-np.log(2.0) * reduced)
    return float(mixing * lorentz + (1.0 - mixing) * gauss)


@compiled
def add_lines(
    patterns: Floats,
    row: NDArray[np.int64],
    first_channel_rad: float,
    channel_rad: float,
    position_rad: Floats,
    amplitude: Floats,
    fwhm_rad: Floats,
    mixing: Floats,
) -> None:
    """Add lines to ``patterns`` (row, channel), each the mean of its profile over a channel.

    Line l goes to ``patterns[row[l]]``. The mean is taken over three Gauss–Legendre nodes near the
    line; beyond six widths the profile is straight over a channel and its centre serves. Lines end
    1.5° from their position.
    """
    node = np.sqrt(0.6) * 0.5 * channel_rad
    n_channels = patterns.shape[1]
    for line in range(position_rad.size):
        width, eta = fwhm_rad[line], mixing[line]
        target = patterns[row[line]]
        middle = (position_rad[line] - first_channel_rad) / channel_rad
        first = max(0, int(np.floor(middle - _REACH_RAD / channel_rad)))
        last = min(n_channels - 1, int(np.ceil(middle + _REACH_RAD / channel_rad)))
        for c in range(first, last + 1):
            distance = (c - middle) * channel_rad
            value = _pseudo_voigt(distance, width, eta)
            if abs(distance) < 6.0 * width + channel_rad:
                sides = _pseudo_voigt(distance - node, width, eta) + _pseudo_voigt(
                    distance + node, width, eta
                )
                value = (8.0 * value + 5.0 * sides) / 18.0
            target[c] += amplitude[line] * value
