"""The pseudo-Voigt of the inverse side, against closed forms, quadrature and the Voigt function."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import erf, voigt_profile

from forward.resolution import ring_widths
from inverse.profile import (
    REACH_DEG,
    _pseudo_voigt,
    add_lines,
    line_widths_rad,
    total_width_and_mixing,
)
from inverse.recipe import Profile
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

SIGMA_PER_FWHM = 1.0 / np.sqrt(8.0 * np.log(2.0))
shares = st.floats(0.0, 1.0)
widths = st.floats(0.05, 20.0)


def drawn(position, *, n_channels=400, channel=1e-4, width=5e-4, mixing=0.4, amplitude=1.0):
    """One line on one pattern of channels centred at 0, ``channel``, 2 · ``channel``, …"""
    patterns = np.zeros((1, n_channels))
    add_lines(
        patterns, np.zeros(1, np.int64), 0.0, channel, np.array([position]),
        np.array([amplitude]), np.array([width]), np.array([mixing]),
    )  # fmt: skip
    return patterns[0]


def area_within(reach, *, width, mixing):
    """Closed form of the profile's area from −reach to reach."""
    lorentz = 2.0 / np.pi * np.arctan(2.0 * reach / width)
    return mixing * lorentz + (1.0 - mixing) * erf(reach / (width * SIGMA_PER_FWHM * np.sqrt(2.0)))


@given(width=widths, mixing=shares)
def test_area_is_one(width, mixing):
    # Closed form of the tails beyond 50 widths; quad's own error is below 1e-10.
    inside, _ = quad(_pseudo_voigt, 0.0, 50.0 * width, args=(width, mixing), points=[width],
                     epsabs=1e-11)  # fmt: skip
    assert 2.0 * inside == pytest.approx(
        area_within(50.0 * width, width=width, mixing=mixing), abs=1e-9
    )
    assert area_within(1e9, width=1.0, mixing=mixing) == pytest.approx(1.0, abs=1e-9)


@given(width=widths, mixing=shares)
def test_full_width_at_half_maximum_is_the_width(width, mixing):
    # Closed form: both parts are at half their height at Γ/2.
    half = _pseudo_voigt(0.5 * width, width, mixing)
    assert half == pytest.approx(0.5 * _pseudo_voigt(0.0, width, mixing), rel=1e-12)
    assert half == _pseudo_voigt(-0.5 * width, width, mixing)


@given(gaussian=widths, lorentzian=widths, factor=st.floats(1e-4, 1e4))
def test_width_and_mixing_scale_and_have_their_limits(gaussian, lorentzian, factor):
    # Laws: Γ is homogeneous, η depends on the ratio alone; limits: one part absent.
    fwhm, mixing = total_width_and_mixing(np.array([gaussian]), np.array([lorentzian]))
    scaled, same = total_width_and_mixing(
        np.array([gaussian * factor]), np.array([lorentzian * factor])
    )
    np.testing.assert_allclose(scaled, factor * fwhm, rtol=1e-12)
    np.testing.assert_allclose(same, mixing, rtol=1e-12)
    assert max(gaussian, lorentzian) <= fwhm[0] <= gaussian + lorentzian
    pure, of_one_kind = total_width_and_mixing(np.array([gaussian, 0.0]), np.array([0.0, gaussian]))
    np.testing.assert_allclose(pure, gaussian, rtol=1e-12)
    np.testing.assert_allclose(of_one_kind, [0.0, 1.0], atol=1e-12)


@given(lorentzian=st.floats(0.01, 0.99))
def test_pseudo_voigt_stands_for_the_voigt_function(lorentzian):
    # Truth: scipy's Voigt function. The approximation of Thompson, Cox & Hastings is known to
    # deviate by at most 1.3 % of the height, and to miss the true FWHM by less than 0.5 %.
    gaussian = 1.0 - lorentzian
    fwhm, mixing = total_width_and_mixing(np.array([gaussian]), np.array([lorentzian]))

    def voigt(x):
        return voigt_profile(x, gaussian * SIGMA_PER_FWHM, 0.5 * lorentzian)

    x = np.linspace(-5.0, 5.0, 501)
    approximation = np.array([_pseudo_voigt(value, fwhm[0], mixing[0]) for value in x])
    assert np.abs(approximation - voigt(x)).max() < 0.013 * voigt(0.0)
    half = brentq(lambda value: voigt(value) - 0.5 * voigt(0.0), 0.1, 2.0)
    assert fwhm[0] == pytest.approx(2.0 * half, rel=5e-3)


@given(ratio=st.floats(0.05, 0.6), mixing=shares, shift=st.floats(-0.5, 0.5))
def test_channels_hold_the_mean_of_the_profile(ratio, mixing, shift):
    # Truth: adaptive quadrature over each channel. Bounds, for channels of h = ratio · Γ and a
    # height f0: three Gauss–Legendre nodes err by h⁶ f⁽⁶⁾/2016000, with f⁽⁶⁾ ≤ 46080 f0/Γ⁶ (of the
    # Lorentzian; the Gaussian's is smaller); beyond 6 Γ the centre errs by h² f″/24 with
    # f″ ≤ 1.5 Γ² f0/(6 Γ)⁴.
    channel, width = 1e-4, 1e-4 / ratio
    centre = 200.0 * channel + shift * channel
    pattern = drawn(centre, channel=channel, width=width, mixing=mixing)
    height = _pseudo_voigt(0.0, width, mixing)
    bound = height * max(46080.0 / 2016000.0 * ratio**6, 1.5 / 24.0 / 6.0**4 * ratio**2)
    far = int(6.0 / ratio) + 3
    for number in {200, 201, 199, 203, 197, 200 + far // 2, 200 + min(far, 190)}:
        low, high = (number - 0.5) * channel - centre, (number + 0.5) * channel - centre
        mean = quad(_pseudo_voigt, low, high, args=(width, mixing), epsabs=0, epsrel=1e-10)[0]
        assert pattern[number] == pytest.approx(mean / channel, abs=bound + 1e-9 * height)


@given(width=st.floats(4e-4, 2e-3), mixing=shares, amplitude=st.floats(0.1, 10.0))
def test_sum_over_channels_is_the_amplitude_but_for_the_tails(width, mixing, amplitude):
    # Closed form: the area within the reach; its last channel begins within the reach and may end
    # one and a half channels beyond it, on either side. Channels of at most Γ/4 err by 6e-6 of the
    # height each (see above), the few that matter together by 1e-5 of the area.
    channel, reach = 1e-4, np.deg2rad(REACH_DEG)
    pattern = drawn(500.3 * channel, n_channels=1001, channel=channel, width=width, mixing=mixing,
                    amplitude=amplitude)  # fmt: skip
    expected = area_within(reach, width=width, mixing=mixing)
    tail = 3.0 * channel * _pseudo_voigt(reach, width, mixing)
    assert pattern.sum() * channel == pytest.approx(amplitude * expected, rel=tail + 1e-5)
    assert expected > 1.0 - mixing * width / (np.pi * reach) - 1e-9


@given(shift=st.integers(-60, 60), mixing=shares)
def test_a_line_moved_by_whole_channels_is_the_same_line_moved(shift, mixing):
    # Law: translation; and what moves out of the pattern is lost, not folded back.
    here, there = drawn(200.25e-4, mixing=mixing), drawn((200.25 + shift) * 1e-4, mixing=mixing)
    kept = slice(max(0, shift), 400 + min(0, shift))
    came_from = slice(max(0, -shift), 400 + min(0, -shift))
    np.testing.assert_allclose(there[kept], here[came_from], rtol=1e-9)


@pytest.mark.parametrize("position", [-0.02, 0.0599, -0.0263, 0.0663, -1.0, 1.0])
def test_lines_outside_the_pattern_leave_their_tails_only(position):
    # Closed form: within the reach the Lorentzian's tail, beyond it nothing.
    reach, centres = np.deg2rad(REACH_DEG), np.arange(400) * 1e-4
    distance = centres - position
    expected = 0.4 * (2.5e-4 / np.pi) / (distance**2 + 2.5e-4**2)
    pattern = drawn(position)
    surely = np.abs(distance) < reach - 1e-4
    np.testing.assert_allclose(pattern[surely], expected[surely], rtol=1e-4)
    assert not pattern[np.abs(distance) > reach + 1e-4].any()


def test_lines_add_up_in_their_own_patterns():
    # Law: superposition, row by row.
    rows, position = np.array([1, 0, 1]), np.array([0.01, 0.02, 0.0125])
    amplitude, width = np.array([1.0, 2.0, 3.0]), np.array([3e-4, 5e-4, 8e-4])
    mixing = np.array([0.1, 0.5, 0.9])
    patterns = np.zeros((3, 400))
    add_lines(patterns, rows, 0.0, 1e-4, position, amplitude, width, mixing)
    for row in range(3):
        expected = sum(
            (drawn(p, width=w, mixing=m, amplitude=a)
             for p, a, w, m, r in zip(position, amplitude, width, mixing, rows, strict=True)
             if r == row),
            np.zeros(400),
        )  # fmt: skip
        np.testing.assert_allclose(patterns[row], expected, rtol=1e-12)


def test_instrument_widths_follow_caglioti_in_degrees():
    # Closed form, by hand at tanθ = 0.1: U·0.01 + V·0.1 + W and X·0.1 + Y/cosθ.
    two_theta = np.array([2.0 * np.arctan(0.1)])
    profile = Profile(U_deg2=0.5, V_deg2=-0.01, W_deg2=0.002, X_deg=0.3, Y_deg=0.04)
    gaussian, lorentzian = line_widths_rad(
        two_theta, profile, wavelength_A=0.25, crystallite_size_nm=1e12, strain=0.0
    )
    assert np.rad2deg(gaussian[0]) ** 2 == pytest.approx(0.005 - 0.001 + 0.002, rel=1e-12)
    assert np.rad2deg(lorentzian[0]) == pytest.approx(0.03 + 0.04 * np.sqrt(1.01), rel=1e-9)


@given(strain=st.floats(0.0, 5e-3), size=st.floats(20.0, 2000.0))
def test_sample_broadening_is_that_of_the_simulation(strain, size):
    # Independent code: the forward side's physical widths, an ideal beam and detector aside.
    angles = np.deg2rad(np.array([3.0, 8.0, 14.0]))
    beam = Beam(bandwidth=0.0, divergence_mrad=0.0, width_um=1e-6, height_um=1e-6)
    truth = ring_widths(angles, beam=beam, distance_m=Geometry().distance_m, pixel_um=172.0,
                        crystallite_size_nm=size, strain=strain)  # fmt: skip
    tiny = Profile(W_deg2=1e-20)
    gaussian, lorentzian = line_widths_rad(
        angles, tiny, wavelength_A=beam.wavelength_A, crystallite_size_nm=size, strain=strain
    )
    # absolute tolerance: the spot and W that cannot be zero, 1e-12 rad
    np.testing.assert_allclose(
        gaussian, truth.gaussian_sigma_rad / SIGMA_PER_FWHM, rtol=1e-9, atol=1e-11
    )
    np.testing.assert_allclose(lorentzian, 2.0 * truth.lorentzian_hwhm_rad, rtol=1e-9)


def test_widths_that_are_not_positive_are_refused():
    profile = Profile(U_deg2=0.0, V_deg2=-0.1, W_deg2=0.001)
    with pytest.raises(InputError, match=r"must be positive, but U = 0, V = -0.1, W = 0.001"):
        line_widths_rad(
            np.deg2rad([2.0, 10.0]), profile, wavelength_A=0.25, crystallite_size_nm=200.0,
            strain=0.0,
        )  # fmt: skip
