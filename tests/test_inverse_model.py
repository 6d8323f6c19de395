"""Patterns of pure phases: where the lines are, how strong, and what the background is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inverse.model import (
    Instrument,
    chebyshev_background,
    draw_patterns,
    lattice_lines,
    phase_lines,
)
from inverse.recipe import Calibration, Profile
from xrdct.crystal import load_crystal
from xrdct.instrument import Beam, Geometry
from xrdct.reflections import powder_reflections
from xrdct.scattering import ring_power_per_m

BEAM = Beam()
SPINEL = load_crystal("LiMn2O4")
SHARP = Profile(W_deg2=1e-5)  # FWHM 0.0032°, Gaussian: no tails to overlap
FINE = Geometry(n_channels=12_000, two_theta_min_deg=2.5, two_theta_max_deg=12.5)


def pattern(crystal, *, geometry=FINE, distance_m=0.7, profile=SHARP, size_nm=1e9, **more):
    instrument = Instrument(BEAM, geometry, Calibration(profile=profile, distance_m=distance_m))
    lines = phase_lines([crystal], beam=BEAM, geometry=geometry)
    return draw_patterns(
        lines, instrument=instrument, crystallite_size_nm=size_nm, strain=0.0, **more
    )[0]


def around(hkl, *, a_A, distance_m=0.7):
    """Channels of a line, by Bragg's law with the cubic d = a/√(h² + k² + l²)."""
    d_A = a_A / np.sqrt(sum(index**2 for index in hkl))
    angle = 2.0 * np.arcsin(BEAM.wavelength_A / (2.0 * d_A))
    expected = np.arctan(distance_m / FINE.distance_m * np.tan(angle))
    return expected, np.abs(FINE.two_theta_rad - expected) < np.deg2rad(0.03)


@pytest.mark.parametrize("hkl", [(1, 1, 1), (3, 1, 1), (4, 0, 0), (5, 3, 1), (4, 4, 0)])
@given(a_A=st.floats(8.0, 8.3), ppm=st.floats(-2000.0, 2000.0))
def test_lines_lie_where_bragg_and_the_calibrated_distance_put_them(hkl, a_A, ppm):
    # Closed form. The mean angle of a symmetric line over channels a quarter of its FWHM wide is
    # exact to 1e-9 of a channel (aliasing of a Gaussian, exp(−2π²σ²/h²)).
    distance_m = 0.7 * (1.0 + 1e-6 * ppm)
    drawn = pattern(SPINEL.scaled(a_A / SPINEL.cell_A_deg[0]), distance_m=distance_m)
    expected, near = around(hkl, a_A=a_A, distance_m=distance_m)
    found = np.average(FINE.two_theta_rad[near], weights=drawn[near])
    assert found == pytest.approx(expected, abs=1e-6 * FINE.channel_width_rad)


@pytest.mark.parametrize("hkl", [(1, 1, 1), (3, 1, 1), (4, 0, 0), (5, 3, 1), (4, 4, 0)])
def test_lines_hold_the_ring_power(hkl):
    # Truth: xrdct.scattering, per metre; patterns are per µm and per radian. Area by the sum over
    # channels, exact for a Gaussian as above; the sharp lines' area outside ±0.03° is 1e-16.
    lines = powder_reflections(SPINEL, energy_keV=BEAM.energy_keV, d_min_A=1.0)
    power = ring_power_per_m(lines, cell_volume_A3=SPINEL.volume_A3, wavelength_A=BEAM.wavelength_A)
    a_A = SPINEL.cell_A_deg[0]
    _, near = around(hkl, a_A=a_A)
    number = int(np.argmin(np.abs(lines.d_A - a_A / np.sqrt(sum(i**2 for i in hkl)))))
    area = pattern(SPINEL)[near].sum() * FINE.channel_width_rad
    assert area == pytest.approx(1e-6 * power[number], rel=1e-6)


@given(change=st.floats(-0.3, 1.5))
def test_a_change_of_b_iso_is_one_of_every_site(change):
    # Independent path: structure factors with B + ΔB on every site.
    warmer = SPINEL.with_sites(
        type(site)(site.label, site.occupancies, site.xyz, site.b_iso_A2 + change,
                   site.multiplicity)
        for site in SPINEL.sites
    )  # fmt: skip
    np.testing.assert_allclose(
        pattern(SPINEL, b_iso_change_A2=change), pattern(warmer), rtol=1e-9, atol=1e-12
    )


def test_patterns_over_the_lattice_parameter_are_those_of_each():
    # Law: drawing many is drawing each alone.
    a_A = np.array([8.05, 8.2, 8.31])
    lines = lattice_lines(SPINEL, a_A, beam=BEAM, geometry=FINE)
    instrument = Instrument(BEAM, FINE, Calibration(profile=SHARP, distance_m=0.7))
    together = draw_patterns(lines, instrument=instrument, crystallite_size_nm=1e9, strain=0.0)
    for row, a in enumerate(a_A):
        alone = pattern(SPINEL.scaled(a / SPINEL.cell_A_deg[0]))
        np.testing.assert_allclose(together[row], alone, rtol=1e-9)


@pytest.mark.parametrize("last_deg", [8.6, 10.3, 12.4, 12.55])
def test_lines_beyond_the_end_still_reach_into_the_pattern(last_deg):
    # Law: the channels of a pattern do not know where it was cut off.
    wide = Geometry(n_channels=1600, two_theta_min_deg=1.5, two_theta_max_deg=17.5)
    n_channels = round((last_deg - 1.5) * 100)
    cut = Geometry(
        n_channels=n_channels, two_theta_min_deg=1.5, two_theta_max_deg=1.5 + 0.01 * n_channels
    )
    long, short = (
        pattern(SPINEL, geometry=g, profile=Profile(), size_nm=100.0) for g in (wide, cut)
    )
    np.testing.assert_allclose(short, long[:n_channels], rtol=1e-9)


def test_background_terms_are_chebyshev_polynomials():
    # Closed form: T_n(cos t) = cos n t.
    position = np.linspace(-1.0, 1.0, 77)
    terms = chebyshev_background(77, n_terms=6)
    for n, term in enumerate(terms):
        np.testing.assert_allclose(term, np.cos(n * np.arccos(position)), atol=1e-12)


def test_a_crystal_without_lines_in_reach_has_an_empty_pattern():
    # Limit: all rings of Al (first at 6.1°) lie far outside.
    low = Geometry(n_channels=64, two_theta_min_deg=1.0, two_theta_max_deg=3.0)
    assert not pattern(load_crystal("Al"), geometry=low).any()
