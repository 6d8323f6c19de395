"""Bragg and diffuse scattering together are what independent atoms scatter."""

import numpy as np
import pytest

from xrdct.conversion import s_per_A, two_theta_rad, wavelength_A
from xrdct.crystal import load_crystal
from xrdct.reflections import powder_reflections
from xrdct.scattering import (
    disorder_diffuse_per_m_sr,
    independent_atom_per_m_sr,
    polarisation_factor,
    ring_power_per_m,
    thermal_diffuse_per_m_sr,
)

ENERGY_KEV = 50.0
WAVELENGTH_A = wavelength_A(ENERGY_KEV)


def unpolarised(two_theta):
    return polarisation_factor(two_theta, np.full(two_theta.shape, np.pi / 4), degree=0.0)


def bragg_per_m(crystal, *, d_min_A, weight):
    """Return Σ q P w(s) over the rings down to d_min."""
    found = powder_reflections(crystal, energy_keV=ENERGY_KEV, d_min_A=d_min_A)
    power = ring_power_per_m(found, cell_volume_A3=crystal.volume_A3, wavelength_A=WAVELENGTH_A)
    two_theta = two_theta_rad(found.d_A, wavelength_A=WAVELENGTH_A)
    return np.sum(power * unpolarised(two_theta) * weight(0.5 / found.d_A))


def integral_per_m(per_m_sr, *, from_s, to_s, weight):
    """Return ∫ I P w(s) dΩ, by the trapezoidal rule in 2θ."""
    limits = 2 * np.arcsin(np.array([from_s, to_s]) * WAVELENGTH_A)
    grid = np.linspace(*limits, 4001)
    solid_angle = 2 * np.pi * np.sin(grid)
    weights = weight(s_per_A(grid, wavelength_A=WAVELENGTH_A))
    return np.trapezoid(per_m_sr(grid) * unpolarised(grid) * weights * solid_angle, grid)


def diffuse(crystal):
    arguments = {"energy_keV": ENERGY_KEV}
    return lambda grid: (
        thermal_diffuse_per_m_sr(crystal, two_theta_rad=grid, **arguments)
        + disorder_diffuse_per_m_sr(crystal, two_theta_rad=grid, **arguments)
    )


def independent(crystal):
    return lambda grid: independent_atom_per_m_sr(
        crystal, two_theta_rad=grid, energy_keV=ENERGY_KEV
    )


@pytest.mark.parametrize(
    ("name", "b_scale"),
    [
        ("LiMn2O4", 0.0),
        ("LiMn2O4", 1.0),
        ("Al", 0.0),
        ("Si", 0.0),
        ("Li2MnO3", 1.0),
        ("LiMnO2-rocksalt", 0.0),
        ("LiMnO2-rocksalt", 1.0),
    ],
)
def test_all_elastic_scattering_adds_up_to_that_of_independent_atoms(name, b_scale):
    # Law (Poisson summation): Σ_h |F|² G(h) = V ∫ Σ f² G + terms from pairs of atoms a distance r
    # apart, which carry the Fourier transform of f² G at r. With a Gaussian window of σ_h = 2·0.22
    # 1/Å that is exp(−2π² σ_h² r²) ≤ 2e-6 for r ≥ 1.85 Å, and the window's tails beyond the limits
    # are e^(−½·5.9²) = 3e-8 of its top, times at most 1e3 as f² is larger there: 3e-5.
    crystal = load_crystal(name).with_b_scale(b_scale)

    def window(s):
        return np.exp(-0.5 * ((s - 1.3) / 0.22) ** 2)

    bragg = bragg_per_m(crystal, d_min_A=0.5 / 2.2, weight=window)
    lost = integral_per_m(diffuse(crystal), from_s=0.01, to_s=2.2, weight=window)
    whole = integral_per_m(independent(crystal), from_s=0.01, to_s=2.2, weight=window)
    assert bragg + lost == pytest.approx(whole, rel=3e-5)
    if b_scale == 0.0 and name != "LiMnO2-rocksalt":
        assert lost == 0.0


@pytest.mark.parametrize(("name", "ratio"), [("LiMn2O4", 0.999), ("Al", 1.035), ("Si", 0.958)])
def test_rings_in_a_sharp_window_sum_to_the_independent_atom_integral(name, ratio):
    # Figures of an earlier program for B = 0 and d from 0.37 to 3 Å. How the window's sharp ends
    # cut the first and last rings moves them: 1 % covers half of the last ring.
    crystal = load_crystal(name).with_b_scale(0.0)

    def window(s):
        return (s >= 0.5 / 3.0).astype(float)

    bragg = bragg_per_m(crystal, d_min_A=0.37, weight=window)
    whole = integral_per_m(independent(crystal), from_s=0.5 / 3.0, to_s=0.5 / 0.37, weight=window)
    assert bragg / whole == pytest.approx(ratio, abs=0.01)
