"""Powder lines of a crystal: where they are and how strongly they reflect.

Structure factor, in electrons:

    F(h) = Σ_sites Σ_positions o (f0(s) + f′ + i f″) exp(−B s²) exp(2πi h·x),   s = sinθ/λ = 1/(2d)

(International Tables B, ch. 1.2, and C, ch. 6.1.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdct.cell import reciprocal_metric_per_A2
from xrdct.conversion import d_spacing_A, wavelength_A
from xrdct.crystal import Crystal
from xrdct.errors import InputError
from xrdct.formfactor import atomic_form_factor, check_energy
from xrdct.powder_lines import Positions, PowderLines, powder_lines, site_sums

_ABSENT_SHARE = 1e-12
"""Share of |F(000)|² below which a line is absent but for rounding."""


@dataclass(frozen=True, eq=False)
class Reflections:
    """Powder lines in order of falling d; arrays of shape (line,) unless said otherwise."""

    hkl: NDArray[np.int64]
    """One reflection of the line, (line, 3)."""
    d_A: NDArray[np.float64]
    """Lattice spacing, Å."""
    multiplicity: NDArray[np.float64]
    """Number of reflections in the line, m."""
    f_squared_e2: NDArray[np.float64]
    """Mean |F|² of these, e²: m|F|² is what the line scatters with."""
    names: tuple[str, ...]
    """Indices as text, such as '1 1 1'; where lines coincide, those of one of them."""

    def __len__(self) -> int:
        return len(self.names)


def powder_reflections(
    crystal: Crystal,
    *,
    energy_keV: float,
    two_theta_max_rad: float | None = None,
    d_min_A: float | None = None,
) -> Reflections:
    """Return the lines with 2θ ≤ ``two_theta_max_rad``, or d ≥ ``d_min_A``: give one of them.

    Lines whose d agree within 1e-6 are one: their multiplicities and their m|F|² add. Lines absent
    by symmetry, or because every atom cancels, are left out.

    `InputError` for neither or both limits, an energy without tables, or a pattern too long.
    """
    check_energy(energy_keV)
    d_min = _smallest_spacing_A(
        energy_keV=energy_keV, two_theta_max_rad=two_theta_max_rad, d_min_A=d_min_A
    )
    s_max = 0.5 / d_min
    lines = powder_lines(
        crystal.cell_A_deg,
        space_group=crystal.space_group,
        positions=_positions(crystal),
        s_max_per_A=s_max,
    )
    s = lines.s_times_a / crystal.cell_A_deg[0]
    s = s[: np.searchsorted(s, s_max * (1.0 + 1e-9), side="right")]
    multiplicity, intensity = _intensity(crystal, lines, s_per_A=s, energy_keV=energy_keV)
    present = intensity > multiplicity * _ABSENT_SHARE * _forward_e2(crystal, energy_keV=energy_keV)
    return Reflections(
        hkl=lines.hkl[: s.size][present],
        d_A=0.5 / s[present],
        multiplicity=multiplicity[present],
        f_squared_e2=intensity[present] / multiplicity[present],
        names=tuple(lines.names[i] for i in np.flatnonzero(present)),
    )


def structure_factors_e(
    crystal: Crystal, *, hkl: NDArray[np.int64], energy_keV: float
) -> NDArray[np.complex128]:
    """Return F of each reflection in electrons, (reflection,), for ``hkl`` (reflection, 3)."""
    metric = reciprocal_metric_per_A2(crystal.cell_A_deg)
    s = 0.5 * np.sqrt(np.einsum("ri,ij,rj->r", hkl, metric, hkl))
    sums = site_sums(hkl, space_group=crystal.space_group, positions=_positions(crystal))
    amplitudes = _site_amplitudes_e(crystal, s_per_A=s, energy_keV=energy_keV)
    total: NDArray[np.complex128] = np.sum(sums * amplitudes, axis=1)
    return total


def _positions(crystal: Crystal) -> Positions:
    return tuple(site.xyz for site in crystal.sites)


def _smallest_spacing_A(
    *, energy_keV: float, two_theta_max_rad: float | None, d_min_A: float | None
) -> float:
    if (two_theta_max_rad is None) == (d_min_A is None):
        raise InputError("give either the largest scattering angle or the smallest lattice spacing")
    if two_theta_max_rad is not None:
        return d_spacing_A(two_theta_max_rad, wavelength_A=wavelength_A(energy_keV))
    if d_min_A is None or not 0.0 < d_min_A < np.inf:
        raise InputError(f"the smallest lattice spacing (Å) must be positive: got {d_min_A}")
    return d_min_A


def _intensity(
    crystal: Crystal, lines: PowderLines, *, s_per_A: NDArray[np.float64], energy_keV: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return m and m|F|² (e²) of the first ``s_per_A.size`` lines."""
    n_lines = s_per_A.size
    if n_lines == 0:
        return np.zeros(0), np.zeros(0)
    n_families = np.searchsorted(lines.line_of_family, n_lines)
    family_line = lines.line_of_family[:n_families]
    amplitudes = _site_amplitudes_e(crystal, s_per_A=s_per_A, energy_keV=energy_keV)
    f = np.sum(lines.site_sums[:n_families] * amplitudes[family_line], axis=1)
    multiplicity = lines.multiplicity[:n_families]
    starts = lines.first_family[:n_lines]
    return (
        np.add.reduceat(multiplicity, starts),
        np.add.reduceat(multiplicity * (f.real**2 + f.imag**2), starts),
    )


def _site_amplitudes_e(
    crystal: Crystal, *, s_per_A: NDArray[np.float64], energy_keV: float
) -> NDArray[np.complex128]:
    """Return Σ o f exp(−B s²) of one position of each site, (s, site), electrons."""
    factors = {
        element: atomic_form_factor(element, s_per_A=s_per_A, energy_keV=energy_keV)
        for element in crystal.composition
    }
    amplitudes = np.zeros((s_per_A.size, len(crystal.sites)), dtype=np.complex128)
    for column, site in enumerate(crystal.sites):
        for element, occupancy in site.occupancies:
            amplitudes[:, column] += occupancy * factors[element]
        amplitudes[:, column] *= np.exp(-site.b_iso_A2 * s_per_A**2)
    return amplitudes


def _forward_e2(crystal: Crystal, *, energy_keV: float) -> float:
    """Return |F(000)|², e²: the scale against which a line counts as absent."""
    forward = _site_amplitudes_e(crystal, s_per_A=np.zeros(1), energy_keV=energy_keV)
    multiplicities = np.array([site.multiplicity for site in crystal.sites])
    return float(np.abs(np.sum(forward[0] * multiplicities)) ** 2)
