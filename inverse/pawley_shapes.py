"""Lines drawn one by one, with their slopes over their whole reach.

The profile is that of :mod:`inverse.profile`, a pseudo-Voigt of width Γ and mixing η, averaged over
each channel. With x the distance from the line and r = (2x/Γ)²,

    ∂L/∂x = −8x/Γ² · L/(1 + r)       ∂L/∂Γ = (2r/(1 + r) − 1) L/Γ
    ∂G/∂x = −8 ln2 x/Γ² · G          ∂G/∂Γ = (2 ln2 r − 1) G/Γ

and Γ, η follow the Gaussian and the Lorentzian width as in Thompson, Cox & Hastings (1987).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.profile import REACH_DEG
from inverse.rietveld_profile import widths_of
from xrdct.compiled import compiled

Floats = NDArray[np.float64]
_REACH_RAD = np.deg2rad(REACH_DEG)
_LN2 = float(np.log(2.0))
_GAUSSIAN_REACH = 64.0
"""(2x/Γ)² beyond which the Gaussian part is below 1e-19 of its height."""

VALUE, BY_POSITION, BY_WIDTH, BY_MIXING = 0, 1, 2, 3
"""Rows of :func:`line_shapes`."""


def line_shapes(
    position_rad: Floats,
    *,
    fwhm_rad: Floats,
    mixing: Floats,
    first_channel_rad: float,
    channel_rad: float,
    n_channels: int,
) -> Floats:
    """Return lines of unit area and their slopes by position, Γ and η, (line, 4, channel).

    Each is the mean over a channel, in 1/rad for the line and its slope by η, else 1/rad². Channels
    are counted from the one whose middle is ``first_channel_rad``. Lines end 1.5° from their
    position, as in :func:`inverse.profile.add_lines`.
    """
    shapes = np.zeros((position_rad.size, 4, n_channels))
    _draw(shapes, first_channel_rad, channel_rad, position_rad, fwhm_rad, mixing)
    return shapes


@dataclass(frozen=True, eq=False)
class Widths:
    """Γ and η of lines and how they follow the widths they are made of; (line,) each.

    The slopes are by the square of the Gaussian width, which U, W and strain add to, and by the
    Lorentzian width.
    """

    fwhm_rad: Floats
    mixing: Floats
    fwhm_by_square: Floats
    """1/rad."""
    fwhm_by_lorentzian: Floats
    mixing_by_square: Floats
    """1/rad²."""
    mixing_by_lorentzian: Floats
    """1/rad."""


def line_widths(gaussian_rad: Floats, lorentzian_rad: Floats) -> Widths:
    """Return Γ and η, with slopes, of lines with positive Gaussian widths."""
    made = np.empty((6, gaussian_rad.size))
    _make_widths(gaussian_rad, lorentzian_rad, made)
    fwhm, mixing, fwhm_by_square, mixing_by_square, fwhm_by_lorentzian, by_lorentzian = made
    return Widths(
        fwhm_rad=fwhm,
        mixing=mixing,
        fwhm_by_square=fwhm_by_square,
        fwhm_by_lorentzian=fwhm_by_lorentzian,
        mixing_by_square=mixing_by_square,
        mixing_by_lorentzian=by_lorentzian,
    )


@compiled
def _make_widths(gaussian_rad: Floats, lorentzian_rad: Floats, made: Floats) -> None:
    for line in range(gaussian_rad.size):
        each = widths_of(gaussian_rad[line], lorentzian_rad[line])
        for row in range(6):
            made[row, line] = each[row]


@compiled
def _add_profile(
    x: float, fwhm: float, mixing: float, weight: float, shape: Floats, c: int
) -> None:
    """Add ``weight`` times the profile at x and its slopes to channel ``c`` of ``shape``."""
    r = (2.0 * x / fwhm) ** 2
    lorentz = weight * 2.0 / (np.pi * fwhm) / (1.0 + r)
    shape[0, c] += mixing * lorentz
    shape[1, c] += mixing * lorentz * 8.0 * x / fwhm**2 / (1.0 + r)
    shape[2, c] += mixing * lorentz * (2.0 * r / (1.0 + r) - 1.0) / fwhm
    shape[3, c] += lorentz
    if r > _GAUSSIAN_REACH:
        return
    gauss = weight * 2.0 * np.sqrt(_LN2 / np.pi) / fwhm * np.exp(-_LN2 * r)
    rest = (1.0 - mixing) * gauss
    shape[0, c] += rest
    shape[1, c] += rest * 8.0 * _LN2 * x / fwhm**2
    shape[2, c] += rest * (2.0 * _LN2 * r - 1.0) / fwhm
    shape[3, c] -= gauss


@compiled
def _draw(
    shapes: Floats,
    first_channel_rad: float,
    channel_rad: float,
    position_rad: Floats,
    fwhm_rad: Floats,
    mixing: Floats,
) -> None:
    # Three Gauss–Legendre nodes near the line, the middle of the channel beyond: as in add_lines.
    node = np.sqrt(0.6) * 0.5 * channel_rad
    n_channels = shapes.shape[2]
    for line in range(position_rad.size):
        width, eta = fwhm_rad[line], mixing[line]
        middle = (position_rad[line] - first_channel_rad) / channel_rad
        first = max(0, int(np.floor(middle - _REACH_RAD / channel_rad)))
        last = min(n_channels - 1, int(np.ceil(middle + _REACH_RAD / channel_rad)))
        for c in range(first, last + 1):
            x = (c - middle) * channel_rad
            if abs(x) < 6.0 * width + channel_rad:
                _add_profile(x, width, eta, 8.0 / 18.0, shapes[line], c)
                _add_profile(x - node, width, eta, 5.0 / 18.0, shapes[line], c)
                _add_profile(x + node, width, eta, 5.0 / 18.0, shapes[line], c)
            else:
                _add_profile(x, width, eta, 1.0, shapes[line], c)
