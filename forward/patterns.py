"""The pattern library: detected photons per µm of each material state and photon of beam.

For a state of ring powers q_hkl (1/m) the photons in channel c are, per µm and incident photon,

    1e-6 · η · A_c · Σ_hkl q_hkl · ḡ_c(2θ_hkl) · Δ2θ

with A_c the polarisation-weighted fraction of the ring that is detected
(:func:`xrdct.instrument.ring_acceptance`) and ḡ_c the channel's mean profile. Compton and thermal
diffuse scattering of the same material are added. A second library holds the derivative by the
displacement along the beam that scaling the cell does not carry (:mod:`forward.parallax`): the
residual shift, and the change of ring power and density that the scaling wrongly implied.

Source: PHYSICS 1 and 2; Warren, X-ray Diffraction, ch. 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.instrument import TrueInstrument
from forward.parallax import mean_scaling, residual_shift_per_um
from forward.resolution import ring_widths
from forward.settings import Accuracy, Effects
from forward.states import REFERENCE_A, Family, StateGrid
from forward.voigt import channel_profile
from phantoms.sample import SPINEL, Sample
from phantoms.stoichiometry import spinel_crystal, x_from_lattice
from xrdct.attenuation import linear_attenuation_per_um
from xrdct.conversion import d_spacing_A, two_theta_rad
from xrdct.crystal import Crystal
from xrdct.instrument import Beam, Detector, Geometry, ring_acceptance
from xrdct.reflections import powder_reflections
from xrdct.scattering import (
    compton_per_m_sr,
    disorder_diffuse_per_m_sr,
    ring_power_per_m,
    thermal_diffuse_per_m_sr,
)

_NUDGE_RAD = 2e-6
"""Step of the numerical derivative of a profile: a hundredth of a line's width."""


@dataclass(frozen=True, eq=False)
class PatternLibrary:
    """Patterns of all states, per µm of solid and photon of beam."""

    pattern_per_um: NDArray[np.float32]
    """Shape (state, channel)."""
    derivative_per_um2: NDArray[np.float32]
    """Derivative by the displacement along the beam, shape (state, channel)."""
    attenuation_per_um: NDArray[np.float64]
    """Linear attenuation coefficient, shape (state,)."""
    acceptance: NDArray[np.float64]
    """Detected fraction of each channel's ring, shape (channel,)."""


@dataclass(frozen=True, eq=False)
class _Lines:
    """The powder lines of a family's states, each of shape (state, line)."""

    position_rad: NDArray[np.float64]
    power_per_m: NDArray[np.float64]


def state_crystal(family: Family, *, node: int, spacing: float, sample: Sample) -> Crystal:
    """Return the crystal of one state.

    A spinel state has the lithium content that the law a(x, y) gives at its lattice parameter.
    """
    scale = float(np.exp(node * spacing))
    if family.phase != SPINEL:
        return sample.crystals[family.phase].scaled(scale)
    a_A = REFERENCE_A * scale
    return spinel_crystal(x=float(x_from_lattice(a_A, y=family.y)), y=family.y, a_A=a_A)


def pattern_library(
    grid: StateGrid,
    *,
    sample: Sample,
    detector: Detector,
    geometry: Geometry,
    effects: Effects,
    accuracy: Accuracy,
    truth: TrueInstrument,
) -> PatternLibrary:
    """Compute the pattern of every state of ``grid`` on the channels of the nominal geometry."""
    beam = truth.beam
    acceptance = ring_acceptance(geometry, detector=detector, polarisation=beam.polarisation)
    patterns, derivatives, attenuation = [], [], []
    for family in grid.families:
        crystals = [
            state_crystal(family, node=family.first_node + i, spacing=grid.spacing, sample=sample)
            for i in range(family.n_states)
        ]
        crystals = [crystal.with_b_scale(truth.b_iso_factor) for crystal in crystals]
        pattern, derivative = _family_patterns(
            family, crystals, spacing=grid.spacing, truth=truth, detector=detector,
            geometry=geometry, accuracy=accuracy,
        )  # fmt: skip
        if effects.diffuse:
            pattern += _diffuse(crystals, beam=beam, geometry=geometry)
        patterns.append(pattern)
        derivatives.append(derivative)
        attenuation += [
            linear_attenuation_per_um(crystal, energy_keV=beam.energy_keV) for crystal in crystals
        ]
    gain = 1e-6 * detector.efficiency * acceptance
    empty = np.zeros((0, geometry.n_channels))
    return PatternLibrary(
        pattern_per_um=(np.concatenate([empty, *patterns]) * gain).astype(np.float32),
        derivative_per_um2=(np.concatenate([empty, *derivatives]) * gain).astype(np.float32),
        attenuation_per_um=np.array(attenuation),
        acceptance=acceptance,
    )


def _family_lines(crystals: list[Crystal], *, beam: Beam, geometry: Geometry) -> _Lines:
    """Lines of all states of a family, in the same order: where one is absent its power is zero."""
    limit_rad = np.deg2rad(geometry.two_theta_max_deg) * 1.05
    d_min_A = d_spacing_A(limit_rad, wavelength_A=beam.wavelength_A)
    cells_A = np.array([crystal.cell_A_deg[0] for crystal in crystals])
    found = [
        powder_reflections(
            crystal, energy_keV=beam.energy_keV, d_min_A=float(d_min_A * cell / cells_A[-1])
        )
        for crystal, cell in zip(crystals, cells_A, strict=True)
    ]
    d_per_cell = {
        name: d / cell
        for lines, cell in zip(found, cells_A, strict=True)
        for name, d in zip(lines.names, lines.d_A, strict=True)
    }
    column = {name: i for i, name in enumerate(d_per_cell)}
    d_A = np.array(list(d_per_cell.values()))[None, :] * cells_A[:, None]
    power = np.zeros(d_A.shape)
    for row, (lines, crystal) in enumerate(zip(found, crystals, strict=True)):
        power[row, [column[name] for name in lines.names]] = ring_power_per_m(
            lines, cell_volume_A3=crystal.volume_A3, wavelength_A=beam.wavelength_A
        )
    return _Lines(np.asarray(two_theta_rad(d_A, wavelength_A=beam.wavelength_A)), power)


def _family_patterns(
    family: Family,
    crystals: list[Crystal],
    *,
    spacing: float,
    truth: TrueInstrument,
    detector: Detector,
    geometry: Geometry,
    accuracy: Accuracy,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a family's patterns and their derivatives by displacement, (state, channel)."""
    lines = _family_lines(crystals, beam=truth.beam, geometry=geometry)
    centres = geometry.two_theta_rad
    scaling = mean_scaling(centres)
    width, power = geometry.channel_width_rad, lines.power_per_m
    implied = -scaling * 1e-6 / geometry.distance_m * np.gradient(power, spacing, axis=0)
    pattern = np.zeros((len(crystals), geometry.n_channels))
    derivative = np.zeros_like(pattern)
    for line in range(lines.position_rad.shape[1]):
        angle = lines.position_rad[:, line]
        position = np.arctan(np.tan(angle) * truth.distance_m / geometry.distance_m)
        widths = ring_widths(
            angle, beam=truth.beam, geometry=geometry, pixel_um=detector.pixel_um,
            crystallite_size_nm=family.crystallite_size_nm, strain=family.strain,
        )  # fmt: skip
        ahead, behind = (
            channel_profile(
                centres, position_rad=position + nudge, widths=widths,
                channel_width_rad=width, reach_rad=np.deg2rad(accuracy.voigt_reach_deg),
            )
            for nudge in (_NUDGE_RAD, -_NUDGE_RAD)
        )  # fmt: skip
        profile = 0.5 * width * (ahead + behind)
        slope = 0.5 * width * (ahead - behind) / _NUDGE_RAD
        shift = residual_shift_per_um(position, distance_m=geometry.distance_m, scaling=scaling)
        pattern += profile * power[:, line, None]
        derivative += profile * implied[:, line, None]
        derivative += slope * (power[:, line] * shift)[:, None]
    return pattern, derivative


def _diffuse(crystals: list[Crystal], *, beam: Beam, geometry: Geometry) -> NDArray[np.float64]:
    """Return the diffuse scattering into whole rings, per metre, at the family's middle state.

    Smooth in 2θ, and changing by less than a per cent along a family.
    """
    middle = crystals[len(crystals) // 2]
    angles, energy = geometry.two_theta_rad, beam.energy_keV
    per_sr = (
        compton_per_m_sr(middle, two_theta_rad=angles, energy_keV=energy)
        + thermal_diffuse_per_m_sr(middle, two_theta_rad=angles, energy_keV=energy)
        + disorder_diffuse_per_m_sr(middle, two_theta_rad=angles, energy_keV=energy)
    )
    solid_angle = 2.0 * np.pi * np.sin(angles) * geometry.channel_width_rad
    return np.asarray(per_sr * solid_angle)[None, :]
