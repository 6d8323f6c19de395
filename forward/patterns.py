"""The pattern library: photons per µm of each material state and photon of beam.

For a state of ring powers q_hkl (1/m) the photons of a whole, unpolarised ring are, per µm and
incident photon,

    1e-6 · Σ_hkl q_hkl · g(2θ − 2θ_hkl)

per radian of 2θ, or averaged over a channel times its width (:class:`forward.angles.AngleGrid`).
Compton and thermal diffuse scattering of the same material are added. What of a ring is detected
(:func:`xrdct.instrument.ring_acceptance`, efficiency) is a factor ``gain`` of each node.

A second library holds the derivative by the displacement along the beam that scaling the cell does
not carry (:mod:`forward.parallax`): the residual shift, and the change of ring power and density
that the scaling wrongly implied. Where grains are to be counted, the middle of every line is kept
apart (:class:`LineCores`), so that its rings can be made of spots.

Source: PHYSICS 1 and 2; Warren, X-ray Diffraction, ch. 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.angles import AngleGrid
from forward.instrument import TrueInstrument
from forward.line_profile import line_profiles
from forward.parallax import mean_scaling, residual_shift_per_um
from forward.resolution import RingWidths, Sensor, ring_widths
from forward.settings import Accuracy, Effects
from forward.states import REFERENCE_A, Family, StateGrid
from phantoms.sample import SPINEL, Sample
from phantoms.stoichiometry import spinel_crystal, x_from_lattice
from xrdct.attenuation import linear_attenuation_per_um
from xrdct.conversion import d_spacing_A, two_theta_rad
from xrdct.crystal import Crystal
from xrdct.instrument import Beam
from xrdct.reflections import powder_reflections
from xrdct.scattering import (
    compton_per_m_sr,
    disorder_diffuse_per_m_sr,
    ring_power_per_m,
    thermal_diffuse_per_m_sr,
)

_BEYOND_RAD = np.deg2rad(2.0)
"""How far beyond the last angle lines are listed: their tails reach in."""
_CORE_FWHM = 2.5
"""Half width of a line's core in widths of the line: it holds 96 % of usual lines, less where size
broadens them."""


@dataclass(frozen=True, eq=False)
class LineCore:
    """The middle of one line of one family, apart from the rest of the library."""

    ring: str
    """Phase and indices: rings of the same name nearly coincide."""
    first_state: int
    first_node: int
    values_per_um: NDArray[np.float32]
    """Shape (state of the family, node): zero outside each state's own core."""
    multiplicity: int
    theta_rad: NDArray[np.float64]
    """Bragg angle, shape (state,)."""
    grain_um: float
    derivative_per_um2: NDArray[np.float32]
    """Change of the values by displacement along the beam, (state of the family, node)."""

    @property
    def states(self) -> slice:
        """Where the family's states lie among all."""
        return slice(self.first_state, self.first_state + self.values_per_um.shape[0])

    @property
    def nodes(self) -> slice:
        """Where the core lies on the grid of angles."""
        return slice(self.first_node, self.first_node + self.values_per_um.shape[1])


@dataclass(frozen=True, eq=False)
class PatternLibrary:
    """Patterns of all states, per µm of solid and photon of beam."""

    pattern_per_um: NDArray[np.float32]
    """Shape (state, node); without what is in ``cores``."""
    derivative_per_um2: NDArray[np.float32]
    """Derivative by the displacement along the beam, shape (state, node)."""
    attenuation_per_um: NDArray[np.float64]
    """Linear attenuation coefficient, shape (state,)."""
    gain: NDArray[np.float64]
    """Detected share of each node's ring, shape (node,); contained in all patterns."""
    cores: tuple[LineCore, ...] = ()
    """Lines that are made of spots."""


@dataclass(frozen=True, eq=False)
class _Lines:
    """The powder lines of a family's states."""

    position_rad: NDArray[np.float64]
    """True 2θ, shape (state, line)."""
    power_per_m: NDArray[np.float64]
    """Shape (state, line)."""
    multiplicity: NDArray[np.int64]
    """Shape (line,)."""
    names: tuple[str, ...]


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
    angles: AngleGrid,
    gain: NDArray[np.float64],
    pixel_um: float,
    sensor: Sensor | None,
    effects: Effects,
    accuracy: Accuracy,
    truth: TrueInstrument,
) -> PatternLibrary:
    """Compute the pattern of every state of ``grid`` on ``angles``, times ``gain`` (node,)."""
    patterns, derivatives, attenuation = [], [], []
    cores: list[LineCore] = []
    for family in grid.families:
        crystals = [
            state_crystal(family, node=family.first_node + i, spacing=grid.spacing, sample=sample)
            for i in range(family.n_states)
        ]
        crystals = [crystal.with_b_scale(truth.b_iso_factor) for crystal in crystals]
        drawn = _FamilyPatterns(
            family, crystals, spacing=grid.spacing, beam=truth.beam, angles=angles, gain=gain,
            pixel_um=pixel_um, sensor=sensor, reach_rad=float(np.deg2rad(accuracy.voigt_reach_deg)),
        )  # fmt: skip
        drawn.add_lines(apart=effects.grains and family.grain_um is not None)
        if effects.diffuse:
            drawn.pattern += _diffuse(crystals, beam=truth.beam, angles=angles) * drawn.per_um
        patterns.append(drawn.pattern.astype(np.float32))
        derivatives.append(drawn.derivative.astype(np.float32))
        cores += drawn.cores
        attenuation += [
            linear_attenuation_per_um(crystal, energy_keV=truth.beam.energy_keV)
            for crystal in crystals
        ]
    empty = np.zeros((0, angles.n_nodes), np.float32)
    return PatternLibrary(
        pattern_per_um=np.concatenate([empty, *patterns]),
        derivative_per_um2=np.concatenate([empty, *derivatives]),
        attenuation_per_um=np.array(attenuation),
        gain=gain,
        cores=tuple(cores),
    )


def _family_lines(crystals: list[Crystal], *, beam: Beam, limit_rad: float) -> _Lines:
    """Lines of all states of a family, in the same order: where one is absent its power is zero."""
    d_min_A = d_spacing_A(limit_rad, wavelength_A=beam.wavelength_A)
    cells_A = np.array([crystal.cell_A_deg[0] for crystal in crystals])
    found = [
        powder_reflections(
            crystal, energy_keV=beam.energy_keV, d_min_A=float(d_min_A * cell / cells_A[-1])
        )
        for crystal, cell in zip(crystals, cells_A, strict=True)
    ]
    known = {
        name: (d / cell, int(m))
        for lines, cell in zip(found, cells_A, strict=True)
        for name, d, m in zip(lines.names, lines.d_A, lines.multiplicity, strict=True)
    }
    column = {name: i for i, name in enumerate(known)}
    d_A = np.array([d for d, _ in known.values()])[None, :] * cells_A[:, None]
    power = np.zeros(d_A.shape)
    for row, (lines, crystal) in enumerate(zip(found, crystals, strict=True)):
        power[row, [column[name] for name in lines.names]] = ring_power_per_m(
            lines, cell_volume_A3=crystal.volume_A3, wavelength_A=beam.wavelength_A
        )
    return _Lines(
        position_rad=np.asarray(two_theta_rad(d_A, wavelength_A=beam.wavelength_A)),
        power_per_m=power,
        multiplicity=np.array([m for _, m in known.values()]),
        names=tuple(known),
    )


class _FamilyPatterns:
    """The patterns of one family's states while they are drawn, line by line."""

    def __init__(
        self,
        family: Family,
        crystals: list[Crystal],
        *,
        spacing: float,
        beam: Beam,
        angles: AngleGrid,
        gain: NDArray[np.float64],
        pixel_um: float,
        sensor: Sensor | None,
        reach_rad: float,
    ) -> None:
        self.family, self.beam, self.angles = family, beam, angles
        self.pixel_um, self.sensor, self.reach_rad = pixel_um, sensor, reach_rad
        limit_rad = float(angles.two_theta_rad[-1]) + _BEYOND_RAD
        self.lines = _family_lines(crystals, beam=beam, limit_rad=limit_rad)
        self.per_um = 1e-6 * gain
        self.scaling = mean_scaling(angles.two_theta_rad)
        implied = np.gradient(self.lines.power_per_m, spacing, axis=0)
        self.implied = -self.scaling * 1e-6 / angles.distance_m * implied
        self.pattern = np.zeros((len(crystals), angles.n_nodes))
        """Photons per µm and photon of beam."""
        self.derivative = np.zeros_like(self.pattern)
        self.cores: list[LineCore] = []

    def add_lines(self, *, apart: bool) -> None:
        """Draw all lines; keep their cores ``apart`` from the pattern if asked."""
        for line in range(self.lines.multiplicity.size):
            self._add_line(line, apart=apart)

    def _add_line(self, line: int, *, apart: bool) -> None:
        power = self.lines.power_per_m[:, line, None]
        angle = self.lines.position_rad[:, line]
        position = np.arctan(np.tan(angle) * self.angles.stretch)
        widths = ring_widths(
            angle, beam=self.beam, distance_m=self.angles.distance_m, pixel_um=self.pixel_um,
            crystallite_size_nm=self.family.crystallite_size_nm, strain=self.family.strain,
            sensor=self.sensor,
        )  # fmt: skip
        if self.angles.sensor_corrected:
            position = position - widths.sensor_mean_rad
        profile, slope = line_profiles(
            self.angles, position_rad=position, widths=widths, reach_rad=self.reach_rad
        )
        shift = residual_shift_per_um(
            position, distance_m=self.angles.distance_m, scaling=self.scaling
        )
        unit = self.angles.width_rad * self.per_um
        change = (profile * self.implied[:, line, None] + slope * power * shift[:, None]) * unit
        profile *= power * unit
        if apart and power.any():
            middle_rad = position + widths.sensor_mean_rad
            self._set_apart(line, profile, change, middle_rad, widths)
        self.pattern += profile
        self.derivative += change

    def _set_apart(
        self,
        line: int,
        profile: NDArray[np.float64],
        change: NDArray[np.float64],
        middle_rad: NDArray[np.float64],
        widths: RingWidths,
    ) -> None:
        """Move the core of a line out of ``profile`` and of its ``change`` by displacement."""
        reach_rad = _CORE_FWHM * widths.fwhm_rad
        angles = self.angles.two_theta_rad
        low, high = np.searchsorted(
            angles, [(middle_rad - reach_rad).min(), (middle_rad + reach_rad).max()]
        )
        if low == high:
            return
        window = profile[:, low:high]
        inside = np.abs(angles[None, low:high] - middle_rad[:, None]) <= reach_rad[:, None]
        self.cores.append(
            LineCore(
                ring=f"{self.family.phase} {self.lines.names[line]}",
                first_state=self.family.first_state,
                first_node=int(low),
                values_per_um=np.where(inside, window, 0.0).astype(np.float32),
                multiplicity=int(self.lines.multiplicity[line]),
                theta_rad=0.5 * self.lines.position_rad[:, line],
                grain_um=self.family.grain_um or 0.0,
                derivative_per_um2=np.where(inside, change[:, low:high], 0.0).astype(np.float32),
            )
        )
        window[inside] = 0.0
        change[:, low:high][inside] = 0.0


def _diffuse(crystals: list[Crystal], *, beam: Beam, angles: AngleGrid) -> NDArray[np.float64]:
    """Return the diffuse scattering into whole rings, per metre, at the family's middle state.

    Smooth in 2θ, and changing by less than a per cent along a family.
    """
    middle = crystals[len(crystals) // 2]
    two_theta, energy = angles.two_theta_rad, beam.energy_keV
    per_sr = (
        compton_per_m_sr(middle, two_theta_rad=two_theta, energy_keV=energy)
        + thermal_diffuse_per_m_sr(middle, two_theta_rad=two_theta, energy_keV=energy)
        + disorder_diffuse_per_m_sr(middle, two_theta_rad=two_theta, energy_keV=energy)
    )
    solid_angle = 2.0 * np.pi * np.sin(two_theta) * angles.width_rad
    return np.asarray(per_sr * solid_angle)[None, :]
