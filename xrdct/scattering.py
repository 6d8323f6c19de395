"""Photons scattered by a material, per photon of beam, path length and solid angle.

Everything here but `polarisation_factor` is *without* polarisation: multiply by it. Lengths are
metres where a name says ``per_m``. A path of L metres through the material in a beam of N photons
scatters N L times the figure.

    Bragg ring               ring_power_per_m          into the whole ring
    Compton                  compton_per_m_sr          per steradian, as all below
    thermal diffuse          thermal_diffuse_per_m_sr
    occupational disorder    disorder_diffuse_per_m_sr
    independent atoms        independent_atom_per_m_sr

Bragg, thermal and disorder scattering share out what independent atoms would scatter.
"""

from __future__ import annotations

import numpy as np
import xraylib
from numpy.typing import NDArray

from xrdct.composition import Material, number_density_per_A3
from xrdct.conversion import Value, s_per_A, two_theta_rad, wavelength_A
from xrdct.crystal import Crystal, atomic_number
from xrdct.errors import InputError
from xrdct.formfactor import SMALLEST_S_PER_A, atomic_form_factor, check_energy
from xrdct.reflections import Reflections

ELECTRON_RADIUS_M = 2.8179403262e-15
_PER_M_PER_BARN_PER_A3 = 100.0
_PER_M_PER_E2_PER_A3 = ELECTRON_RADIUS_M**2 * 1e30


def polarisation_factor(two_theta_rad: Value, azimuth_rad: Value, *, degree: float) -> Value:
    """Return P = ½[1 + cos²2θ − p cos2χ sin²2θ], the share of r_e² that polarisation leaves.

    χ is the azimuth around the beam from the horizontal, p the ``degree`` of polarisation: 1 wholly
    horizontal, −1 wholly vertical, 0 none. `InputError` unless −1 ≤ p ≤ 1.

    Source: Als-Nielsen & McMorrow, *Elements of Modern X-ray Physics*, ch. 1.
    """
    if not -1.0 <= degree <= 1.0:
        raise InputError(f"a degree of polarisation must lie within −1 to 1: got {degree:g}")
    sin2 = np.sin(two_theta_rad) ** 2
    factor: Value = 0.5 * (2.0 - sin2 - degree * np.cos(2.0 * azimuth_rad) * sin2)
    return factor


def ring_power_per_m(
    reflections: Reflections, *, cell_volume_A3: float, wavelength_A: float
) -> NDArray[np.float64]:
    """Return q = r_e² λ³ m|F|² / (4 v² sinθ) of each line, (line,), 1/m, without polarisation.

    A powder of volume V in a flux density Φ scatters Φ V q P photons per second into the ring.
    `InputError` if a line is out of reach of the wavelength or the volume not positive.

    Source: Warren, *X-ray Diffraction*, ch. 4; International Tables C, ch. 6.2.
    """
    if not 0.0 < cell_volume_A3 < np.inf:
        raise InputError(f"a cell volume (Å³) must be positive: got {cell_volume_A3:g}")
    sin_theta = np.sin(two_theta_rad(reflections.d_A, wavelength_A=wavelength_A) / 2.0)
    intensity_e2 = reflections.multiplicity * reflections.f_squared_e2
    factor = _PER_M_PER_E2_PER_A3 * wavelength_A**3 / (4.0 * cell_volume_A3**2)
    return factor * intensity_e2 / sin_theta


def compton_per_m_sr(
    material: Material,
    *,
    two_theta_rad: NDArray[np.float64],
    energy_keV: float,
    density_g_per_cm3: float | None = None,
) -> NDArray[np.float64]:
    """Return inelastic scattering, shape of ``two_theta_rad``, 1/(m sr), no polarisation.

    xraylib's unpolarised `DCSb_Compt` (Klein–Nishina times the incoherent scattering function),
    divided by ½(1 + cos²2θ). Times `polarisation_factor` it is exact for an unpolarised beam; for
    a polarised one it misses a term of order (1 − k′/k)²/2 relative to P: 1e-5 at 50 keV and 15°.
    ``density_g_per_cm3`` and `InputError` as for `number_density_per_A3`; angles are 0 < 2θ ≤ π.
    """
    check_energy(energy_keV)
    densities = number_density_per_A3(material, density_g_per_cm3=density_g_per_cm3)
    total_barn = np.zeros(two_theta_rad.size)
    angles = _tabulated_angles_rad(two_theta_rad, energy_keV=energy_keV).ravel().tolist()
    for element, per_A3 in densities.items():
        atom = atomic_number(element)
        barn = [xraylib.DCSb_Compt(atom, energy_keV, angle) for angle in angles]
        total_barn += per_A3 * np.array(barn)
    unpolarised = 0.5 * (1.0 + np.cos(two_theta_rad) ** 2)
    total = _PER_M_PER_BARN_PER_A3 * total_barn.reshape(two_theta_rad.shape)
    return total / unpolarised


def independent_atom_per_m_sr(
    material: Material,
    *,
    two_theta_rad: NDArray[np.float64],
    energy_keV: float,
    density_g_per_cm3: float | None = None,
) -> NDArray[np.float64]:
    """Return r_e² Σ n_e |f_e|², shape of ``two_theta_rad``, 1/(m sr), without polarisation.

    The elastic scattering of atoms that know nothing of each other; times a structure factor S(q)
    it is that of a liquid or glass. Arguments and `InputError` as for `compton_per_m_sr`.
    """
    s = s_per_A(two_theta_rad, wavelength_A=wavelength_A(energy_keV))
    densities = number_density_per_A3(material, density_g_per_cm3=density_g_per_cm3)
    total = np.zeros(s.shape)
    for element, per_A3 in densities.items():
        f = atomic_form_factor(element, s_per_A=s, energy_keV=energy_keV)
        total += per_A3 * np.abs(f) ** 2
    return _PER_M_PER_E2_PER_A3 * total


def thermal_diffuse_per_m_sr(
    crystal: Crystal, *, two_theta_rad: NDArray[np.float64], energy_keV: float
) -> NDArray[np.float64]:
    """Return r_e² Σ n |⟨f⟩|² (1 − exp(−2Bs²)) over sites, shape of ``two_theta_rad``, 1/(m sr).

    What thermal motion takes from the Bragg lines, spread as if atoms moved independently
    (Einstein model). ⟨f⟩ is the mean over a site's occupants. Without polarisation.
    """
    s = s_per_A(two_theta_rad, wavelength_A=wavelength_A(energy_keV))
    total = np.zeros(s.shape)
    for site in crystal.sites:
        mean, _ = _site_moments(site.occupancies, s=s, energy_keV=energy_keV)
        total += site.multiplicity * np.abs(mean) ** 2 * -np.expm1(-2.0 * site.b_iso_A2 * s**2)
    return _PER_M_PER_E2_PER_A3 / crystal.volume_A3 * total


def disorder_diffuse_per_m_sr(
    crystal: Crystal, *, two_theta_rad: NDArray[np.float64], energy_keV: float
) -> NDArray[np.float64]:
    """Return r_e² Σ n (⟨|f|²⟩ − |⟨f⟩|²) over sites, shape of ``two_theta_rad``, 1/(m sr).

    Laue's monotonic scattering of sites that elements or vacancies share at random: zero where
    every site is full of one element, large for Li and Mn on one site. Without polarisation.

    Source: Warren, *X-ray Diffraction*, ch. 12.
    """
    s = s_per_A(two_theta_rad, wavelength_A=wavelength_A(energy_keV))
    total = np.zeros(s.shape)
    for site in crystal.sites:
        mean, mean_square = _site_moments(site.occupancies, s=s, energy_keV=energy_keV)
        total += site.multiplicity * (mean_square - np.abs(mean) ** 2)
    return _PER_M_PER_E2_PER_A3 / crystal.volume_A3 * total


def _tabulated_angles_rad(
    two_theta_rad: NDArray[np.float64], *, energy_keV: float
) -> NDArray[np.float64]:
    """Return the angles, those before the tables begin (0.03° at 50 keV) moved to where they do."""
    wavelength = wavelength_A(energy_keV)
    s_per_A(two_theta_rad, wavelength_A=wavelength)  # refuses impossible angles
    smallest = 2.0 * np.arcsin(SMALLEST_S_PER_A * wavelength) * (1.0 + 1e-6)
    angles: NDArray[np.float64] = np.maximum(two_theta_rad, smallest)
    return angles


def _site_moments(
    occupancies: tuple[tuple[str, float], ...], *, s: NDArray[np.float64], energy_keV: float
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Return ⟨f⟩ and ⟨|f|²⟩ over the occupants of a site, vacancies counting as zero."""
    mean = np.zeros(s.shape, dtype=np.complex128)
    mean_square = np.zeros(s.shape)
    for element, occupancy in occupancies:
        f = atomic_form_factor(element, s_per_A=s, energy_keV=energy_keV)
        mean += occupancy * f
        mean_square += occupancy * np.abs(f) ** 2
    return mean, mean_square
