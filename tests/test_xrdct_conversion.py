"""Energy, wavelength, angle, spacing and radius: published figures, and inverses."""

import numpy as np
import pytest
import scipy.constants as constants
from hypothesis import given, settings
from hypothesis import strategies as st

from xrdct import conversion
from xrdct.errors import InputError

ENERGIES_KEV = st.floats(5.0, 200.0)
LAWS = settings(max_examples=30, deadline=None)


def test_wavelength_follows_from_the_defining_constants():
    # h, c and e are exact in the SI; the constant is written to 11 digits.
    expected = constants.h * constants.c / (50e3 * constants.e) * 1e10
    assert conversion.wavelength_A(50.0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("d_A", "two_theta_deg"),
    [
        (5.431179 / np.sqrt(3), 28.441),  # NIST SRM 640e certificate, Si (111)
        (4.156826 / np.sqrt(2), 30.385),  # NIST SRM 660c certificate, LaB6 (110)
    ],
)
def test_certified_line_positions_at_copper_k_alpha(d_A, two_theta_deg):
    # The certificates print 2θ to 0.001°: half a unit of the last digit, and rounding of Kα1.
    found = np.degrees(conversion.two_theta_rad(d_A, wavelength_A=1.5405929))
    assert found == pytest.approx(two_theta_deg, abs=0.001)


@LAWS
@given(energy=ENERGIES_KEV, reach=st.floats(1.001, 50.0))
def test_each_conversion_undoes_its_inverse(energy, reach):
    # Law. asin loses 1/cosθ digits near backscattering: at reach 1.001 that is a factor 22.
    wavelength = conversion.wavelength_A(energy)
    d = reach * wavelength / 2.0
    angle = conversion.two_theta_rad(d, wavelength_A=wavelength)
    q = conversion.q_per_A(angle, wavelength_A=wavelength)
    assert conversion.energy_keV(wavelength) == pytest.approx(energy, rel=1e-14)
    assert conversion.d_spacing_A(angle, wavelength_A=wavelength) == pytest.approx(d, rel=1e-13)
    assert q == pytest.approx(2.0 * np.pi / d, rel=1e-13)
    assert conversion.two_theta_from_q_rad(q, wavelength_A=wavelength) == pytest.approx(
        angle, rel=1e-12
    )


@LAWS
@given(angle=st.floats(1e-4, 1.5), distance=st.floats(0.05, 5.0))
def test_ring_radius_undoes_its_inverse(angle, distance):
    radius = conversion.ring_radius_m(angle, distance_m=distance)
    found = conversion.two_theta_from_radius_rad(radius, distance_m=distance)
    assert found == pytest.approx(angle, rel=1e-13)


def test_ring_radius_at_45_degrees_is_the_distance():
    # Closed form: tan 45° = 1, and a ring on the beam axis has no radius.
    assert conversion.ring_radius_m(np.pi / 4, distance_m=0.6) == pytest.approx(0.6, rel=1e-15)
    assert conversion.ring_radius_m(0.0, distance_m=0.6) == 0.0


def test_s_is_half_the_inverse_spacing():
    # Closed form: s = sinθ/λ = 1/(2d).
    angle = conversion.two_theta_rad(2.0, wavelength_A=0.25)
    assert conversion.s_per_A(angle, wavelength_A=0.25) == pytest.approx(0.25, rel=1e-15)


def test_arrays_are_converted_element_by_element():
    # Definition of a vectorised function: the shape is kept, each element is as alone.
    d = np.array([[4.76, 2.06], [1.46, 0.9]])
    angles = conversion.two_theta_rad(d, wavelength_A=0.248)
    radii = conversion.ring_radius_m(angles, distance_m=0.6)
    assert angles.shape == radii.shape == d.shape
    for index in np.ndindex(d.shape):
        assert angles[index] == conversion.two_theta_rad(float(d[index]), wavelength_A=0.248)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: conversion.wavelength_A(0.0), r"photon energy \(keV\) must be positive.*0"),
        (lambda: conversion.wavelength_A(float("nan")), "must be positive and finite: got nan"),
        (lambda: conversion.energy_keV(-1.0), r"wavelength \(Å\) must be positive.*-1"),
        (lambda: conversion.two_theta_rad(np.array([2.0, -3.0]), wavelength_A=0.2), "got -3"),
        (lambda: conversion.two_theta_rad(0.1, wavelength_A=0.25), "at least half the wavelength"),
        (lambda: conversion.two_theta_rad(2.0, wavelength_A=np.inf), "finite: got inf"),
        (lambda: conversion.d_spacing_A(4.0, wavelength_A=0.2), "at most π rad: got 4"),
        (lambda: conversion.s_per_A(0.0, wavelength_A=0.2), r"scattering angle \(rad\) must be"),
        (lambda: conversion.two_theta_from_q_rad(0.0, wavelength_A=0.2), "momentum transfer"),
        (lambda: conversion.ring_radius_m(2.0, distance_m=0.6), "downstream only"),
        (lambda: conversion.ring_radius_m(0.1, distance_m=0.0), r"distance \(m\) must be positive"),
        (lambda: conversion.two_theta_from_radius_rad(-0.1, distance_m=0.6), "zero or more"),
    ],
)
def test_impossible_values_are_refused_with_the_rule_and_the_value(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


@pytest.mark.parametrize("bad", [-1e-9, float("inf"), float("nan")])
def test_a_ring_has_a_radius_of_zero_or_more(bad):
    # Limit: the beam itself, r = 0, is seen at 2θ = 0; every place on the detector is somewhere.
    assert conversion.two_theta_from_radius_rad(0.0, distance_m=0.5) == 0.0
    for radius_m in (bad, np.array([0.1, bad])):
        with pytest.raises(InputError, match=r"ring radius \(m\) must be zero or more"):
            conversion.two_theta_from_radius_rad(radius_m, distance_m=0.5)


def test_a_spacing_that_reflects_at_no_angle_is_told_the_least_that_does():
    # Limit: d = λ/2 reflects straight back.
    assert conversion.two_theta_rad(0.7, wavelength_A=1.4) == pytest.approx(np.pi, rel=1e-7)
    with pytest.raises(InputError, match=r"half the wavelength, 0\.7 Å, to reflect: got 0\.6 Å"):
        conversion.two_theta_rad(np.array([0.65, 0.6, 2.0]), wavelength_A=1.4)
