"""The lines of a fit with free intensities, drawn one by one, with the slopes of everything.

A line of 1/d² = u has sinθ = λ√u/2, so ∂2θ/∂u = tanθ/u; it appears at

    arctan(tan2θ · true distance/nominal distance) + zero

with ΓG² = U tan²θ + V tanθ + W + (4 e0 tanθ)² and ΓL = X tanθ + Y/cosθ + K λ/(L cosθ). A change of
these widths with the cell, 0.1 % for 0.1 %, is left out of the slopes. Powers of structured phases
follow each line's own spacing, as in :mod:`inverse.rietveld_shapes`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.cell_parameters import inverse_d_squared, log_volume_slopes
from inverse.model import Instrument
from inverse.pawley_lines import PhaseLines
from inverse.pawley_parameters import (
    DISTANCE,
    SIZE,
    STRAIN,
    ZERO,
    Parameters,
    of_phase,
    profile_of,
)
from inverse.pawley_shapes import Widths, line_shapes, line_widths
from inverse.profile import line_widths_rad
from xrdct.cell import Cell, cell_volume_A3

Floats = NDArray[np.float64]
_DEGREE = float(np.deg2rad(1.0))
_LARGEST_SINE = 0.7
"""Beyond 2θ = 90° no flat detector sees a line: it is kept off the pattern there."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """All lines of all phases for given parameters."""

    shapes: Floats
    """Unit-area profile and its slopes by position, Γ and η, (line, 4, channel)."""
    power: Floats
    """Ring power of structured phases, one for free lines, (line,)."""
    position_rad: Floats
    """(line,)."""
    fwhm_rad: Floats
    """(line,)."""
    slopes: Floats
    """Change of position, Γ, η and ln(power) with each parameter, (4, line, parameter)."""


def draw_lines(
    phases: tuple[PhaseLines, ...],
    values: Floats,
    *,
    parameters: Parameters,
    instrument: Instrument,
    blur: float = 0.0,
) -> Drawing:
    """Return all lines for the refined ``values``, (parameter,).

    ``blur`` broadens all lines as a strain would: a fit can then see further.
    """
    named = parameters.by_name(values)
    parts = [_phase_part(lines, named, parameters, instrument, blur) for lines in phases]
    position = np.concatenate([part.position_rad for part in parts])
    fwhm = np.concatenate([part.widths.fwhm_rad for part in parts])
    geometry = instrument.geometry
    return Drawing(
        shapes=line_shapes(
            position, fwhm_rad=fwhm, mixing=np.concatenate([p.widths.mixing for p in parts]),
            first_channel_rad=float(geometry.two_theta_rad[0]),
            channel_rad=geometry.channel_width_rad, n_channels=geometry.n_channels,
        ),
        power=np.concatenate([part.power for part in parts]),
        position_rad=position,
        fwhm_rad=fwhm,
        slopes=np.concatenate([part.slopes for part in parts], axis=1),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Part:
    """The lines of one phase, as in :class:`Drawing`."""

    position_rad: Floats
    widths: Widths
    power: Floats
    slopes: Floats


def _phase_part(
    lines: PhaseLines,
    named: dict[str, float],
    parameters: Parameters,
    instrument: Instrument,
    blur: float,
) -> _Part:
    free = np.array([named[of_phase(lines.name, name)] for name in lines.law.names])
    cell = lines.law.cell(free)
    theta, position, moves = _positions(lines, cell, named, instrument)
    widths, broadens = _widths(lines, theta, named, instrument, blur)
    power, swells = _powers(lines, cell)
    slopes = np.zeros((4, theta.size, len(parameters.names)))
    for column, name in enumerate(parameters.names):
        own = name.removeprefix(of_phase(lines.name, ""))
        if own in moves:
            slopes[0, :, column] = moves[own]
        if own in broadens:
            slopes[1:3, :, column] = broadens[own]
        if own in swells:
            slopes[3, :, column] = swells[own]
    return _Part(position, widths, power, slopes)


def _positions(
    lines: PhaseLines, cell_A_deg: Cell, named: dict[str, float], instrument: Instrument
) -> tuple[Floats, Floats, dict[str, Floats]]:
    """Return θ and position of the lines, (line,), and the position's slopes by name."""
    u, by_cell = inverse_d_squared(lines.products, cell_A_deg=cell_A_deg)
    sine = 0.5 * instrument.beam.wavelength_A * np.sqrt(u)
    theta = np.arcsin(np.minimum(sine, _LARGEST_SINE))
    double = np.tan(2.0 * theta)
    known = instrument.calibration.distance_m / instrument.geometry.distance_m
    stretch = known * (1.0 + 1e-6 * named[DISTANCE])
    turn = 1.0 / (1.0 + (stretch * double) ** 2)
    by_u = stretch * (1.0 + double**2) * turn * np.tan(theta) / u
    moves = {DISTANCE: 1e-6 * known * double * turn, ZERO: np.full(u.size, _DEGREE)}
    by_free = by_cell @ lines.law.matrix
    moves |= {name: by_u * by_free[:, k] for k, name in enumerate(lines.law.names)}
    return theta, np.arctan(stretch * double) + _DEGREE * named[ZERO], moves


def _widths(
    lines: PhaseLines, theta: Floats, named: dict[str, float], instrument: Instrument, blur: float
) -> tuple[Widths, dict[str, Floats]]:
    """Return the widths of lines at θ, and the slopes of Γ and η by name, (2, line) each."""
    profile = profile_of(named, instrument.calibration.profile)
    wavelength_A = instrument.beam.wavelength_A
    strain = 1e-3 * np.sqrt(named[of_phase(lines.name, STRAIN)])
    gaussian, sized = line_widths_rad(
        2.0 * theta, profile, wavelength_A=wavelength_A, crystallite_size_nm=100.0,
        strain=float(np.hypot(strain, blur)),
    )  # fmt: skip
    _, unsized = line_widths_rad(
        2.0 * theta, profile, wavelength_A=wavelength_A, crystallite_size_nm=np.inf, strain=0.0
    )
    size_rad = sized - unsized
    lorentzian = unsized + named[of_phase(lines.name, SIZE)] * size_rad
    widths = line_widths(gaussian, lorentzian)
    by_square = np.stack([widths.fwhm_by_square, widths.mixing_by_square])
    by_lorentzian = np.stack([widths.fwhm_by_lorentzian, widths.mixing_by_lorentzian])
    tangent = np.tan(theta)
    return widths, {
        "U_deg2": by_square * (_DEGREE * tangent) ** 2,
        "W_deg2": by_square * _DEGREE**2,
        STRAIN: by_square * (4e-3 * tangent) ** 2,
        "X_deg": by_lorentzian * _DEGREE * tangent,
        "Y_deg": by_lorentzian * _DEGREE / np.cos(theta),
        SIZE: by_lorentzian * size_rad,
    }


def _powers(lines: PhaseLines, cell_A_deg: Cell) -> tuple[Floats, dict[str, Floats]]:
    """Return the power of each line, (line,), and the slopes of its logarithm by name."""
    if lines.log_power is None:
        return np.ones(len(lines.products)), {}
    u, by_cell = inverse_d_squared(lines.products, cell_A_deg=cell_A_deg)
    shrunk = lines.volume_A3 / cell_volume_A3(cell_A_deg)
    longer = 2.0 * np.sqrt(lines.s_squared_per_A2 / u)
    c0, c1, c2 = lines.log_power.T + np.array([[0.0], [6.0], [-3.0]])
    epsilon = longer - 1.0
    by_u = -0.5 * (c1 + 2.0 * c2 * epsilon) * longer / u
    by_free = by_u[:, None] * (by_cell @ lines.law.matrix)
    swelling = log_volume_slopes(cell_A_deg) @ lines.law.matrix
    slopes = {name: by_free[:, k] - 2.0 * swelling[k] for k, name in enumerate(lines.law.names)}
    return np.exp(c0 + epsilon * (c1 + epsilon * c2)) * shrunk**2, slopes
