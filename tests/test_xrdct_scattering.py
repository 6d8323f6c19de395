"""Scattered photons against xraylib's own routes, closed forms, limits and laws."""

import numpy as np
import pytest
import xraylib
from hypothesis import given, settings
from hypothesis import strategies as st

from xrdct.composition import number_density_per_A3
from xrdct.conversion import s_per_A, wavelength_A
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.formfactor import anomalous_dispersion, atomic_form_factor
from xrdct.reflections import powder_reflections
from xrdct.scattering import (
    ELECTRON_RADIUS_M,
    compton_per_m_sr,
    disorder_diffuse_per_m_sr,
    independent_atom_per_m_sr,
    polarisation_factor,
    ring_power_per_m,
    thermal_diffuse_per_m_sr,
)

ENERGY_KEV = 50.0
WAVELENGTH_A = wavelength_A(ENERGY_KEV)
PEEK = {"C": 19.0, "H": 12.0, "O": 3.0}


def unpolarised(two_theta):
    return polarisation_factor(two_theta, np.full(two_theta.shape, np.pi / 4), degree=0.0)


@settings(max_examples=30, deadline=None)
@given(angle=st.floats(0.0, np.pi), degree=st.floats(-1.0, 1.0))
def test_polarisation_averages_over_azimuth_to_the_unpolarised_factor(angle, degree):
    # Law: the mean of cos2χ over a full turn is zero; on a regular grid exactly.
    azimuth = np.linspace(0.0, 2 * np.pi, 36, endpoint=False)
    factor = polarisation_factor(np.full(36, angle), azimuth, degree=degree)
    assert factor.mean() == pytest.approx((1 + np.cos(angle) ** 2) / 2, rel=1e-12)
    assert np.all(factor >= -1e-15)


@pytest.mark.parametrize("azimuth", [0.0, 0.4, np.pi / 2])
@pytest.mark.parametrize("angle", [0.1, 0.25, 1.2])
def test_full_polarisation_is_thomson_scattering_of_xraylib(angle, azimuth):
    # Independent code: DCSP_Thoms is in barn/sr, with φ = 0 in the plane of polarisation.
    expected = xraylib.DCSP_Thoms(angle, azimuth) * 1e-28 / ELECTRON_RADIUS_M**2
    found = polarisation_factor(angle, azimuth, degree=1.0)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-12)
    # Vertical polarisation is horizontal, turned by 90°.
    assert polarisation_factor(angle, azimuth, degree=-1.0) == pytest.approx(
        polarisation_factor(angle, azimuth + np.pi / 2, degree=1.0), rel=1e-12, abs=1e-15
    )


def test_compton_scattering_of_peek_is_that_of_xraylibs_compound():
    # Another route through xraylib: by mass fraction, cm²/(g sr), with its own compound parser.
    # Its atomic weights and ours are the same table, so both agree to rounding.
    angles = np.radians([0.5, 3.0, 13.0, 60.0, 170.0])
    found = compton_per_m_sr(
        PEEK, two_theta_rad=angles, energy_keV=ENERGY_KEV, density_g_per_cm3=1.3
    )
    cm2_per_g = [xraylib.DCS_Compt_CP("C19H12O3", ENERGY_KEV, angle) for angle in angles]
    expected = np.array(cm2_per_g) * 1.3 * 100.0
    np.testing.assert_allclose(found * unpolarised(angles), expected, rtol=2e-5)


@pytest.mark.parametrize("azimuth", [0.0, 0.7, np.pi / 2])
def test_polarisation_factor_serves_compton_scattering_at_small_angles(azimuth):
    # Independent: xraylib's polarised Klein–Nishina cross section. The neglected term is
    # (1 − k'/k)²/2 of P: with E/mc² = 0.098 and 1 − cos15° = 0.034, 6e-6.
    angles = np.radians(np.array([2.0, 7.0, 15.0]))
    crystal = load_crystal("LiMn2O4")
    found = compton_per_m_sr(crystal, two_theta_rad=angles, energy_keV=ENERGY_KEV)
    found = found * polarisation_factor(angles, np.full(3, azimuth), degree=1.0)
    expected = [
        100.0
        * sum(
            density * xraylib.DCSPb_Compt(xraylib.SymbolToAtomicNumber(e), 50.0, angle, azimuth)
            for e, density in number_density_per_A3(crystal).items()
        )
        for angle in angles
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["LiMn2O4", "Al"])
def test_compton_scattering_integrates_to_its_total_cross_section(name):
    # xraylib tabulates the total on its own (CSb_Compt): within 1 % of the integral.
    crystal = load_crystal(name)
    angles = np.linspace(1e-3, np.pi, 400)
    per_m_sr = compton_per_m_sr(crystal, two_theta_rad=angles, energy_keV=ENERGY_KEV)
    total = np.trapezoid(per_m_sr * unpolarised(angles) * 2 * np.pi * np.sin(angles), angles)
    expected = 100.0 * sum(
        density * xraylib.CSb_Compt(xraylib.SymbolToAtomicNumber(element), ENERGY_KEV)
        for element, density in number_density_per_A3(crystal).items()
    )
    assert total == pytest.approx(expected, rel=0.01)


def test_independent_atoms_scatter_as_xraylibs_rayleigh_cross_section():
    # xraylib's DCSb_Rayl has f0 alone: we differ by 2f′/f0, at most 2·0.062/6 up to s = 1, plus
    # (f″/f0)² = 3e-4 and the 1e-6 of the constants.
    crystal = load_crystal("LiMn2O4")
    angles = np.radians(np.array([1.0, 5.0, 13.0, 28.0]))
    found = independent_atom_per_m_sr(crystal, two_theta_rad=angles, energy_keV=ENERGY_KEV)
    densities = number_density_per_A3(crystal)
    expected = [
        100.0
        * sum(
            density * xraylib.DCSb_Rayl(xraylib.SymbolToAtomicNumber(element), ENERGY_KEV, angle)
            for element, density in densities.items()
        )
        for angle in angles
    ]
    ratio = found * unpolarised(angles) / expected
    f = atomic_form_factor(
        "Mn", s_per_A=s_per_A(angles, wavelength_A=WAVELENGTH_A), energy_keV=ENERGY_KEV
    )
    dispersion = anomalous_dispersion("Mn", energy_keV=ENERGY_KEV)
    assert np.all(np.abs(ratio - 1) < 2 * np.abs(dispersion) / np.abs(f))
    assert np.all(np.abs(ratio - 1) > 0.1 * dispersion.real / np.abs(f))  # f′ is there


def test_thermal_diffuse_scattering_between_its_limits():
    # Limits: nothing without motion; all of the independent atoms' with much of it; and to first
    # order in B it is n r_e² f² 2Bs².
    crystal = load_crystal("Al")
    angles = np.radians(np.array([5.0, 15.0, 40.0]))
    s = s_per_A(angles, wavelength_A=WAVELENGTH_A)

    def thermal(scale):
        return thermal_diffuse_per_m_sr(
            crystal.with_b_scale(scale), two_theta_rad=angles, energy_keV=ENERGY_KEV
        )

    whole = independent_atom_per_m_sr(crystal, two_theta_rad=angles, energy_keV=ENERGY_KEV)
    assert np.all(thermal(0.0) == 0.0)
    np.testing.assert_allclose(thermal(1e-6) / whole, 2 * 0.85e-6 * s**2, rtol=1e-5)
    np.testing.assert_allclose(thermal(1.0) / whole, 1 - np.exp(-2 * 0.85 * s**2), rtol=1e-12)


def test_disorder_scattering_of_a_half_and_half_site():
    # Closed form (Laue): n c(1 − c)|f_Mn − f_Li|² with c = ½ and four such sites a cell; 5° → 30°.
    crystal = load_crystal("LiMnO2-rocksalt")
    angles = np.radians(np.array([5.0, 30.0]))
    s = s_per_A(angles, wavelength_A=WAVELENGTH_A)
    found = disorder_diffuse_per_m_sr(crystal, two_theta_rad=angles, energy_keV=ENERGY_KEV)
    manganese, lithium = (
        atomic_form_factor(element, s_per_A=s, energy_keV=ENERGY_KEV) for element in ("Mn", "Li")
    )
    expected = 4 / (crystal.volume_A3 * 1e-30) * 0.25 * np.abs(manganese - lithium) ** 2
    np.testing.assert_allclose(found, ELECTRON_RADIUS_M**2 * expected, rtol=1e-12)
    ordered = disorder_diffuse_per_m_sr(
        load_crystal("LiMn2O4"), two_theta_rad=angles, energy_keV=ENERGY_KEV
    )
    np.testing.assert_allclose(ordered, 0.0, atol=1e-10)


def test_angles_before_the_tables_begin_scatter_like_their_beginning():
    # f0 has reached Z there (Mn: 25.00 at s = 0.001 and at 0), and Compton scattering has vanished.
    tiny = np.array([1e-9, 1e-5])
    crystal = load_crystal("LiMn2O4")
    forward = independent_atom_per_m_sr(crystal, two_theta_rad=tiny, energy_keV=ENERGY_KEV)
    compton = compton_per_m_sr(crystal, two_theta_rad=tiny, energy_keV=ENERGY_KEV)
    f_forward = {"Li": 3.0, "Mn": 25.0, "O": 8.0}
    expected = ELECTRON_RADIUS_M**2 * sum(
        density * 1e30 * np.abs(z + anomalous_dispersion(element, energy_keV=ENERGY_KEV)) ** 2
        for element, density in number_density_per_A3(crystal).items()
        for z in [f_forward[element]]
    )
    np.testing.assert_allclose(forward, expected, rtol=1e-3)
    assert np.all(compton < 1e-4 * forward)


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.9, 1.1))
def test_ring_power_of_a_scaled_cell(factor):
    # Law: sinθ = λ/2d turns q = r_e² λ³ m|F|²/(4V² sinθ) into q/(d m|F|²) = r_e² λ²/2V², the same
    # for every line of a cell, whatever |F|² is; V grows with the cube of the scale.
    crystal = load_crystal("CeO2")
    scaled = crystal.scaled(factor)

    def reduced(c):
        found = powder_reflections(c, energy_keV=ENERGY_KEV, d_min_A=c.cell_A_deg[0] / 5.1)
        q = ring_power_per_m(found, cell_volume_A3=c.volume_A3, wavelength_A=WAVELENGTH_A)
        return q / (found.d_A * 1e-10) / (found.multiplicity * found.f_squared_e2)

    np.testing.assert_allclose(reduced(scaled) * factor**6, reduced(crystal), rtol=1e-12)
    wavelength_m, volume_m3 = WAVELENGTH_A * 1e-10, crystal.volume_A3 * 1e-30
    expected = 0.5 * (ELECTRON_RADIUS_M * wavelength_m / volume_m3) ** 2
    np.testing.assert_allclose(reduced(crystal), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: polarisation_factor(0.1, 0.0, degree=1.2), "within −1 to 1: got 1.2"),
        (
            lambda: ring_power_per_m(
                powder_reflections(load_crystal("Al"), energy_keV=50.0, d_min_A=1.0),
                cell_volume_A3=0.0,
                wavelength_A=0.25,
            ),
            "cell volume .* must be positive: got 0",
        ),
        (
            lambda: compton_per_m_sr(
                PEEK,
                two_theta_rad=np.array([0.0, 0.1]),
                energy_keV=50.0,
                density_g_per_cm3=1.3,
            ),
            r"scattering angle \(rad\) must be positive",
        ),
    ],
)
def test_impossible_scattering_is_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


@pytest.mark.parametrize("bad", [-1.0 - 1e-9, 1.0 + 1e-9, float("nan")])
def test_a_beam_is_polarised_wholly_at_most(bad):
    # Limit: beyond ±1 the factor would be negative at 2θ = 90°; at ±1 it is 0 there along or
    # across, and 1 the other way (written out).
    right = np.pi / 2
    for degree, azimuth in ((1.0, 0.0), (-1.0, right)):
        assert polarisation_factor(right, azimuth, degree=degree) == pytest.approx(0.0, abs=1e-15)
        assert polarisation_factor(right, azimuth + right, degree=degree) == pytest.approx(1.0)
    with pytest.raises(InputError, match="within −1 to 1"):
        polarisation_factor(right, 0.0, degree=bad)


@pytest.mark.parametrize("bad", [-1.0, 0.0, float("inf"), float("nan")])
def test_a_cell_has_some_volume_and_an_end(bad):
    lines = powder_reflections(load_crystal("Al"), energy_keV=50.0, d_min_A=2.0)
    with pytest.raises(InputError, match="must be positive: got"):
        ring_power_per_m(lines, cell_volume_A3=bad, wavelength_A=WAVELENGTH_A)
