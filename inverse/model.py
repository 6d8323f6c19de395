"""The inverse side's own pattern model: what a voxel full of one phase should look like.

Patterns are normalised: per µm of pure phase, per incident photon, divided by the transmission,
the detector's acceptance and the channel's width. A phase of cell volume v_c then shows

    1e-6 · Σ_hkl q_hkl · pseudo-Voigt(2θ − 2θ_hkl)        (1/µm/rad)

so that the scale factor that is fitted is the phase's volume fraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.profile import REACH_DEG, add_lines, line_widths_rad, total_width_and_mixing
from inverse.recipe import Calibration
from xrdct.conversion import two_theta_rad
from xrdct.crystal import Crystal
from xrdct.instrument import Beam, Geometry
from xrdct.reflections import powder_reflections
from xrdct.scattering import ring_power_per_m

Floats = NDArray[np.float64]

TEMPLATE_SPACING_A = 1e-3
"""Between patterns that voxels interpolate: a sixteenth of the standard deviation of a narrow peak,
in lattice parameter."""
_BEYOND_DEG = REACH_DEG + 0.5
"""How far beyond the pattern lines are listed: their tails, and an error of the distance of 2 %."""


@dataclass(frozen=True)
class Instrument:
    """The instrument as the analysis knows it."""

    beam: Beam
    geometry: Geometry
    calibration: Calibration


@dataclass(frozen=True, eq=False)
class PhaseLines:
    """The powder lines of several crystals, to be drawn as one pattern each; (line,) each."""

    n_patterns: int
    row: NDArray[np.int64]
    """The pattern to which a line belongs."""
    angle_rad: Floats
    """True 2θ."""
    power_per_um: Floats
    """Ring power q."""
    s_squared_per_A2: Floats
    """(sinθ/λ)², by which displacements damp a line."""


def phase_lines(crystals: Sequence[Crystal], *, beam: Beam, geometry: Geometry) -> PhaseLines:
    """Return the lines of ``crystals`` that reach into the pattern."""
    limit = float(np.deg2rad(geometry.two_theta_max_deg + _BEYOND_DEG))
    found = [
        powder_reflections(crystal, energy_keV=beam.energy_keV, two_theta_max_rad=limit)
        for crystal in crystals
    ]
    powers = [
        ring_power_per_m(lines, cell_volume_A3=crystal.volume_A3, wavelength_A=beam.wavelength_A)
        for lines, crystal in zip(found, crystals, strict=True)
    ]
    d_A = np.concatenate([lines.d_A for lines in found])
    return PhaseLines(
        n_patterns=len(crystals),
        row=np.repeat(np.arange(len(crystals)), [len(lines) for lines in found]),
        angle_rad=np.asarray(two_theta_rad(d_A, wavelength_A=beam.wavelength_A)),
        power_per_um=1e-6 * np.concatenate(powers),
        s_squared_per_A2=1.0 / (2.0 * d_A) ** 2,
    )


def lattice_lines(crystal: Crystal, a_A: Floats, *, beam: Beam, geometry: Geometry) -> PhaseLines:
    """Return the lines of a cubic phase at every lattice parameter of ``a_A``."""
    own_a_A = crystal.cell_A_deg[0]
    scaled = [crystal.scaled(float(a) / own_a_A) for a in a_A]
    return phase_lines(scaled, beam=beam, geometry=geometry)


def draw_patterns(
    lines: PhaseLines,
    *,
    instrument: Instrument,
    crystallite_size_nm: float,
    strain: float,
    b_iso_change_A2: float = 0.0,
) -> Floats:
    """Return the normalised patterns of pure phases, shape (pattern, channel), 1/µm/rad.

    A change ΔB of all displacement parameters multiplies a line with exp(−2 ΔB s²).
    """
    geometry = instrument.geometry
    gaussian, lorentzian = line_widths_rad(
        lines.angle_rad, instrument.calibration.profile,
        wavelength_A=instrument.beam.wavelength_A, crystallite_size_nm=crystallite_size_nm,
        strain=strain,
    )  # fmt: skip
    fwhm, mixing = total_width_and_mixing(gaussian, lorentzian)
    stretch = instrument.calibration.distance_m / geometry.distance_m
    power = lines.power_per_um * np.exp(-2.0 * b_iso_change_A2 * lines.s_squared_per_A2)
    patterns = np.zeros((lines.n_patterns, geometry.n_channels))
    add_lines(
        patterns, lines.row, float(geometry.two_theta_rad[0]), geometry.channel_width_rad,
        np.arctan(np.tan(lines.angle_rad) * stretch), power, fwhm, mixing,
    )  # fmt: skip
    return patterns


def chebyshev_background(n_channels: int, *, n_terms: int) -> Floats:
    """Return Chebyshev polynomials T_0 … over the channels, shape (term, channel)."""
    position = np.linspace(-1.0, 1.0, n_channels)
    terms = np.polynomial.chebyshev.chebvander(position, max(n_terms - 1, 0))[:, :n_terms]
    return np.ascontiguousarray(terms.T, dtype=np.float64)
