"""Short-range order against the rule that it only moves power, published positions and xraylib."""

import numpy as np
import pytest
import xraylib

from forward.amorphous import (
    PEEK_CELL_A,
    bragg_order,
    elastic_per_m_sr,
    inelastic_per_m_sr,
    structure_factor,
)
from phantoms.cell_materials import substance
from xrdct.composition import number_density_per_A3
from xrdct.conversion import q_per_A, two_theta_from_q_rad, two_theta_rad, wavelength_A
from xrdct.errors import InputError
from xrdct.formfactor import anomalous_dispersion
from xrdct.scattering import independent_atom_per_m_sr, polarisation_factor

ENERGY_KEV = 50.0
WAVELENGTH_A = wavelength_A(ENERGY_KEV)
AMORPHOUS = ["PEEK", "PFA", "electrolyte", "glass", "carbon", "PVDF"]


def angles_of(q):
    return two_theta_from_q_rad(np.asarray(q, float), wavelength_A=WAVELENGTH_A)


def independent(name, angles):
    return independent_atom_per_m_sr(
        substance(name).composition, two_theta_rad=angles, energy_keV=ENERGY_KEV,
        density_g_per_cm3=substance(name).density_g_per_cm3,
    )  # fmt: skip


@pytest.mark.parametrize("crystallinity", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", ["PEEK", "PFA"])
def test_order_of_polymers_moves_power_and_makes_none(name, crystallinity):
    # Law: ∫ elastic dΩ up to q = 15/Å, where halos and peaks have ended, is that of independent
    # atoms, whatever the crystallinity. The trapezoidal rule on 0.0025/Å (a tenth of a peak's σ) is
    # good to 1e-6; the weights' energy (100 against 50 keV) changes |f|² by 2f′/f0 ≈ 1e-3 of the
    # *difference* of two places, and by less than 1e-4 in this sum.
    angles = np.linspace(1e-4, angles_of(15.0), 6000)
    solid_angle = 2 * np.pi * np.sin(angles)
    found = elastic_per_m_sr(
        name, two_theta_rad=angles, energy_keV=ENERGY_KEV, crystallinity=crystallinity
    )
    assert np.all(found > 0.0)
    total = np.trapezoid(found * solid_angle, angles)
    expected = np.trapezoid(independent(name, angles) * solid_angle, angles)
    assert total == pytest.approx(expected, rel=1e-4)
    # It does move: below 1/Å most of it has gone.
    low = angles < angles_of(0.8)
    lost = np.trapezoid((found * solid_angle)[low], angles[low])
    assert lost < 0.6 * np.trapezoid((independent(name, angles) * solid_angle)[low], angles[low])


@pytest.mark.parametrize("name", AMORPHOUS)
def test_structure_factor_between_its_limits(name):
    # Limits: a few per cent of S at q → 0 (compressibility), independent atoms at large q.
    angles = angles_of([0.01, 10.0, 14.0])
    ratio = elastic_per_m_sr(name, two_theta_rad=angles, energy_keV=ENERGY_KEV) / independent(
        name, angles
    )
    assert 0.0 < ratio[0] < 0.06
    np.testing.assert_allclose(ratio[1:], 1.0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "q"),
    [("PEEK", 2 * np.pi / 4.7), ("electrolyte", 1.5), ("glass", 1.55), ("carbon", 1.8)],
)
def test_halos_stand_where_they_are_published(name, q):
    # Published positions of the maximum; the rising edge of the hole adds up to half a σ (0.12).
    grid = np.arange(0.5, 4.0, 0.005)
    angles = angles_of(grid)
    ratio = elastic_per_m_sr(name, two_theta_rad=angles, energy_keV=ENERGY_KEV) / independent(
        name, angles
    )
    assert grid[np.argmax(ratio)] == pytest.approx(q, abs=0.12)


def test_crystalline_peaks_stand_at_published_spacings():
    # Published d of PEEK (110), (111), (200), (211), and PFA's 4.95 Å, to their last digit.
    peaks = np.array([q for q, _, _ in bragg_order("PEEK", crystallite_nm=10.0).halos])
    np.testing.assert_allclose(2 * np.pi / peaks, [4.67, 4.23, 3.88, 3.08], atol=0.0051)
    assert PEEK_CELL_A == (7.75, 5.86, 10.0)
    (pfa,) = bragg_order("PFA", crystallite_nm=30.0).halos
    assert 2 * np.pi / pfa[0] == pytest.approx(4.95)


def test_peak_of_peek_coincides_with_spinel_111_of_a_slightly_lithiated_particle():
    # Published coincidence: (110) with (111) of a spinel of a = 8.09 Å, within a quarter of a
    # 172 µm pixel at 0.6 m, while the fully lithiated spinel's (8.205 Å) is 2 to 4 pixels away.
    q = bragg_order("PEEK", crystallite_nm=10.0).halos[0][0]
    peek = float(angles_of([q])[0])
    pixels = {
        a: (two_theta_rad(a / np.sqrt(3.0), wavelength_A=WAVELENGTH_A) - peek) * 0.6 / 172e-6
        for a in (8.09, 8.205)
    }
    assert abs(pixels[8.09]) < 0.25
    assert 2.0 < abs(pixels[8.205]) < 4.0


def test_width_of_peaks_is_scherrers():
    # Closed form: FWHM(2θ) = K λ/(L cosθ), K = 0.9. At 50 nm the peak stands alone; its half height
    # is measured above a line through the feet (6σ away), whose curvature is 1e-3 of the peak.
    order = bragg_order("PEEK", crystallite_nm=50.0)
    q0, sigma, _ = order.halos[0]
    top, left, right, *feet = structure_factor(
        order,
        composition=substance("PEEK").composition,
        q_per_A=q0 + sigma * np.array([0.0, -1.17741, 1.17741, -6.0, 6.0]),
    )
    base = 0.5 * sum(feet)
    assert (0.5 * (left + right) - base) / (top - base) == pytest.approx(0.5, abs=2e-3)
    theta = np.arcsin(q0 * WAVELENGTH_A / (4 * np.pi))
    fwhm = np.ptp(angles_of([q0 - 1.17741 * sigma, q0 + 1.17741 * sigma]))
    assert fwhm == pytest.approx(0.9 * WAVELENGTH_A / (500.0 * np.cos(theta)), rel=1e-4)


@pytest.mark.parametrize("azimuth", [0.0, 0.6, np.pi / 2])
def test_carbon_far_out_scatters_as_xraylibs_polarised_cross_sections(azimuth):
    # Independent: xraylib's DCSPb_Rayl and DCSPb_Compt of a linearly polarised beam, where S = 1.
    # We add f′ (2f′/f0 of the elastic part, computed); Compton's extra term is (1 − k′/k)²/2
    # relative to P: at 25° (0.098 · 0.094)²/2 = 4e-5, over P ≥ cos²25° = 0.82.
    angle = np.radians(25.0)
    assert q_per_A(angle, wavelength_A=WAVELENGTH_A) > 10.0
    carbon = substance("carbon")
    density = number_density_per_A3(carbon.composition, density_g_per_cm3=carbon.density_g_per_cm3)[
        "C"
    ]
    elastic = xraylib.DCSPb_Rayl(6, ENERGY_KEV, angle, azimuth)
    compton = xraylib.DCSPb_Compt(6, ENERGY_KEV, angle, azimuth)
    factor = polarisation_factor(np.array([angle]), np.array([azimuth]), degree=1.0)
    arguments = {"two_theta_rad": np.array([angle]), "energy_keV": ENERGY_KEV}
    found_elastic = elastic_per_m_sr("carbon", **arguments) * factor
    found_compton = inelastic_per_m_sr("carbon", **arguments) * factor
    f0 = xraylib.FF_Rayl(6, np.sin(angle / 2) / WAVELENGTH_A)
    bound = 2.5 * abs(anomalous_dispersion("C", energy_keV=ENERGY_KEV)) / f0 + 1e-5
    assert found_elastic[0] == pytest.approx(100.0 * density * elastic, rel=bound)
    assert found_compton[0] == pytest.approx(100.0 * density * compton, rel=2e-4)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: elastic_per_m_sr("Al", two_theta_rad=np.array([0.1]), energy_keV=50.0),
            "short-range order is known of PEEK, .* not of 'Al'",
        ),
        (lambda: bragg_order("glass", crystallite_nm=10.0), "not of 'glass'"),
        (lambda: bragg_order("PEEK", crystallite_nm=0.0), r"size \(nm\) must be positive: got 0"),
    ],
)
def test_what_has_no_such_order_is_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
