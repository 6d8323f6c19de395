"""Profiles of powder lines, against quadrature, moments and limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import voigt_profile

from forward.angles import AngleGrid, channel_grid, node_grid
from forward.line_profile import line_profiles
from forward.resolution import RingWidths, Sensor, ring_widths
from forward.sensor import attenuation_per_um, parallax_mean_um, parallax_variance_um2
from xrdct.instrument import Beam, Detector, Geometry, detector_plane
from xrdct.plane import sight

STEP = 3e-5
REACH = 6e-3
POSITION = 0.0512


def nodes(*, step_rad=STEP, averaged=False, n=1200, first_rad=0.0325):
    return AngleGrid(
        first_rad=first_rad, step_rad=step_rad, n_nodes=n, distance_m=0.7, stretch=1.0,
        averaged=averaged,
    )  # fmt: skip


def line(*, sigma=1.2e-4, gamma=2e-5, pixel=2.4e-4, scale=1.1e-5, lengths=6.0):
    """Widths of one line, in radians; defaults are those of the twin's detector at 0.7 m."""
    return RingWidths(
        gaussian_sigma_rad=np.array([sigma]),
        lorentzian_hwhm_rad=np.array([gamma]),
        pixel_rad=np.array([pixel]),
        sensor_scale_rad=np.array([scale]),
        sensor_lengths=lengths,
    )


def profile(grid, widths, *, position=POSITION, reach=REACH):
    values, slopes = line_profiles(
        grid, position_rad=np.array([position]), widths=widths, reach_rad=reach
    )
    return values[0], slopes[0]


def by_quadrature(x, widths, *, position=POSITION, box=0.0, less_variance=0.0):
    """Gauss–Legendre means of a Voigt function over depth, pixel and channel."""
    sigma = np.sqrt(widths.gaussian_sigma_rad[0] ** 2 - less_variance)
    lengths, scale = widths.sensor_lengths, widths.sensor_scale_rad[0]
    z, w = np.polynomial.legendre.leggauss(24)
    depth = 0.5 * lengths * (z + 1.0)
    depth_weight = 0.5 * lengths * w * np.exp(-depth) / -np.expm1(-lengths)
    total = np.zeros(x.size)
    for d, wd in zip(depth * scale, depth_weight, strict=True):
        for zp, wp in zip(z, w, strict=True):
            shift = position + d + 0.5 * zp * widths.pixel_rad[0]
            if box == 0.0:
                total += 0.5 * wd * wp * voigt_profile(
                    x - shift, sigma, widths.lorentzian_hwhm_rad[0]
                )  # fmt: skip
                continue
            for zc, wc in zip(z, w, strict=True):
                total += 0.25 * wd * wp * wc * voigt_profile(
                    x - shift - 0.5 * zc * box, sigma, widths.lorentzian_hwhm_rad[0]
                )  # fmt: skip
    return total


def spread(widths):
    """Variance of all but the Lorentzian: Gaussian, box p²/12 and truncated exponential."""
    y = widths.sensor_lengths
    depth = widths.sensor_scale_rad[0] ** 2 * (1.0 - (0.5 * y / np.sinh(0.5 * y)) ** 2)
    return widths.gaussian_sigma_rad[0] ** 2 + widths.pixel_rad[0] ** 2 / 12.0 + depth


def wrapped_error(widths, *, reach=REACH, extra=0.0):
    """Bound of what the transform's images keep after the pure Lorentzian is taken off.

    A convolution of variance s² raises a tail γ/(πΔ²) by 3 s²/Δ² of itself; images lie at least a
    reach away, and their sum is below 2 ζ(4) times the nearest's.
    """
    gamma, variance = widths.lorentzian_hwhm_rad[0], spread(widths) + extra
    return 2.0 * 1.0823 * gamma / (np.pi * reach**2) * 3.0 * variance / reach**2 * 1.5


CASES = [
    line(),
    line(gamma=0.0),
    line(scale=0.0),
    line(sigma=6e-5, gamma=8e-5, scale=6e-5, lengths=1.5),
    line(pixel=1e-9, sigma=2e-4, gamma=1e-6),
]


@pytest.mark.parametrize("widths", CASES)
def test_nodes_against_quadrature(widths):
    # Independent: scipy's Voigt function (Faddeeva) averaged over box and depth. The model's
    # Gaussian is narrower by the h²/6 that linear interpolation will add.
    grid = nodes()
    values, _ = profile(grid, widths)
    near = np.abs(grid.two_theta_rad - POSITION) < 0.9 * REACH
    exact = by_quadrature(grid.two_theta_rad[near], widths, less_variance=STEP**2 / 6.0)
    bound = wrapped_error(widths) + 1e-12 * exact.max()
    assert np.abs(values[near] - exact).max() < bound
    assert bound < 1e-4 * exact.max()


@pytest.mark.parametrize("widths", CASES[:4])
def test_channels_against_quadrature(widths):
    # As before, with the box of a channel; nothing is interpolated, so nothing is taken off. The
    # transform samples eight times a channel, fine enough for the narrowest line here.
    width = 2.2e-4
    grid = nodes(step_rad=width, averaged=True, n=160)
    values, _ = profile(grid, widths)
    near = np.abs(grid.two_theta_rad - POSITION) < 2e-3
    exact = by_quadrature(grid.two_theta_rad[near], widths, box=width)
    bound = wrapped_error(widths, extra=width**2 / 12.0) + 1e-11 * exact.max()
    assert np.abs(values[near] - exact).max() < bound


@given(
    sigma=st.floats(6e-5, 3e-4), pixel=st.floats(0.0, 5e-4), scale=st.floats(0.0, 8e-5),
    lengths=st.floats(0.3, 12.0), phase=st.floats(0.0, 1.0),
)  # fmt: skip
def test_area_mean_and_variance(sigma, pixel, scale, lengths, phase):
    # Closed forms: one; the position and the truncated exponential's mean; the sum of variances.
    # Sums over nodes are exact for what has no frequencies beyond 1/h: at k = 2π/h the Gaussian
    # alone is exp(−79) or less. Interpolated linearly, nodes regain the h²/6.
    widths = line(sigma=sigma, gamma=0.0, pixel=pixel, scale=scale, lengths=lengths)
    grid = nodes()
    position = POSITION + phase * STEP
    values, _ = profile(grid, widths, position=position)
    x = grid.two_theta_rad - position
    mean = np.sum(x * values) * STEP
    variance = np.sum((x - mean) ** 2 * values) * STEP + STEP**2 / 6.0
    y = lengths
    assert np.sum(values) * STEP == pytest.approx(1.0, abs=1e-12)
    expected = scale * (1.0 - y * np.exp(-y) / -np.expm1(-y))
    assert mean == pytest.approx(expected, abs=1e-12)
    assert widths.sensor_mean_rad[0] == pytest.approx(expected, rel=1e-12)
    assert variance == pytest.approx(spread(widths), rel=1e-9)


def test_tails_hold_the_rest_of_the_area():
    # Closed form: a Lorentzian leaves (2/π) atan(γ/Δ)/… beyond ±Δ; nodes over ±Δ hold
    # (2/π) atan(Δ/γ), to the trapezoid's rounding at the ends and 3 s²/Δ² of what is outside.
    widths = line(gamma=5e-5)
    grid = nodes(n=1001, first_rad=POSITION - 500 * STEP - 0.5 * STEP)
    values, _ = profile(grid, widths, position=POSITION)
    half = 500.5 * STEP
    # the window is centred on the position; sensor's mean moves the profile inside it by little
    moved = widths.sensor_mean_rad[0] - 0.5 * STEP
    inside = sum(np.arctan((half + sign * moved) / 5e-5) for sign in (-1.0, 1.0)) / np.pi
    outside = 1.0 - inside
    assert np.sum(values) * STEP == pytest.approx(
        inside, abs=outside * 3.0 * (spread(widths) + STEP**2) / half**2 * 2.0
    )


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("widths", CASES)
def test_slope_is_the_derivative_by_position(widths, averaged):
    # Limit: central difference over δ, whose error is δ²/6 of the third derivative, below
    # height/σ³ (max |He₃ φ| = 0.55/σ⁴ of a Gaussian of height 0.4/σ). γ only smooths.
    grid = nodes(step_rad=2e-4, averaged=True, n=180) if averaged else nodes()
    _, slope = profile(grid, widths)
    delta = 1e-7
    above, below = (profile(grid, widths, position=POSITION + s * delta)[0] for s in (1.0, -1.0))
    numeric = (above - below) / (2.0 * delta)
    # the narrowest factor alone bounds the derivative of any convolution with it
    sigma = float(widths.gaussian_sigma_rad[0])
    bound = delta**2 / 6.0 * 0.56 / sigma**4 + 1e-14 * above.max() / delta * 10.0
    assert np.abs(slope - numeric).max() < bound
    assert bound < 1e-4 * np.abs(slope).max()


@pytest.mark.parametrize("widths", CASES)
def test_tail_alone_is_as_good_as_stated(widths):
    # Stated: beyond the reach γ/(πΔ²) differs from the truth by less than 3 (s/Δ)² of itself, s²
    # the variance of all but the Lorentzian. Truth: the same line with four times the reach.
    grid = nodes(n=2400, first_rad=POSITION - 1200 * STEP)
    gamma = widths.lorentzian_hwhm_rad[0]
    reach = 2e-3
    short, _ = profile(grid, widths, reach=reach)
    long, _ = profile(grid, widths, reach=4.0 * reach)
    distance = grid.two_theta_rad - POSITION - widths.sensor_mean_rad[0]
    tail = (np.abs(distance) > reach + STEP) & (np.abs(distance) < 3.0 * reach)
    x = distance[tail]
    stated = 3.0 * spread(widths) / x**2 * gamma / (np.pi * x**2)
    # the next order: third cumulant of the depth (2 scale³, 4/Δ³ of the tail), fourth 5!/4!
    scale, s2 = widths.sensor_scale_rad[0], spread(widths)
    further = gamma / (np.pi * x**2) * (8.0 * scale**3 / np.abs(x) ** 3 + 15.0 * s2**2 / x**4)
    rounding = 1e-13 * long.max() + wrapped_error(widths, reach=4.0 * reach - 3.0 * reach)
    assert np.all(np.abs(short[tail] - long[tail]) < stated + further + rounding)


def test_profile_joins_its_tail_smoothly():
    # Limit: the step where the tail takes over is the 3 (s/Δ)² stated, 5e-3 of the tail here, and
    # the profile goes on falling to both sides.
    widths, reach = line(gamma=6e-5), 4e-3
    grid = nodes(n=2400, first_rad=POSITION - 1200 * STEP)
    values, _ = profile(grid, widths, reach=reach)
    distance = grid.two_theta_rad - POSITION
    assert np.all(np.diff(values[distance < -1e-3]) > 0.0)
    assert np.all(np.diff(values[distance > 1e-3]) < 0.0)


def test_all_states_at_once_are_as_one_by_one():
    # Law: states do not know of each other; a line of many positions is computed on one window.
    grid = nodes()
    many = POSITION + 1e-4 * np.arange(5)
    wide = [line(sigma=1e-4 + 2e-5 * i, gamma=1e-5 * i) for i in range(5)]
    together = RingWidths(
        *(
            np.concatenate([getattr(w, name) for w in wide])
            for name in (
                "gaussian_sigma_rad", "lorentzian_hwhm_rad", "pixel_rad", "sensor_scale_rad",
            )
        ),
        sensor_lengths=6.0,
    )  # fmt: skip
    values, slopes = line_profiles(grid, position_rad=many, widths=together, reach_rad=REACH)
    for i in range(5):
        one, slope = profile(grid, wide[i], position=many[i])
        near = np.abs(grid.two_theta_rad - many[i]) < 0.9 * REACH
        bound = wrapped_error(wide[i], reach=REACH) * 2.0 + 1e-12 * one.max()
        assert np.abs(values[i] - one)[near].max() < bound
        assert np.abs(slopes[i] - slope)[near].max() < bound / 5e-5


def test_lines_off_the_grid_leave_their_tails_on_it():
    # Limit: a line beyond either end of the angles is still seen by its Lorentzian.
    grid, gamma = nodes(), 2e-5
    ends = grid.first_rad, grid.first_rad + grid.step_rad * (grid.n_nodes - 1)
    widths = line(gamma=gamma, scale=0.0)
    for position in (ends[0] - 0.01, ends[1] + 0.01, ends[0] + 1e-5, ends[1] - 1e-5):
        values, slopes = profile(grid, widths, position=position)
        distance = grid.two_theta_rad - position
        far = np.abs(distance) > 2e-3
        tail = gamma / (np.pi * distance[far] ** 2)
        near_by = 1.0 + 3.0 * spread(widths) / distance[far] ** 2
        np.testing.assert_allclose(values[far], tail, rtol=1.1 * float(near_by.max() - 1.0))
        assert np.all(np.sign(slopes[far]) == np.sign(distance[far]))


@pytest.mark.parametrize("widths", CASES[:4])
def test_channels_are_means_of_interpolated_nodes(widths):
    # Law: what an integration would average within a channel is the piecewise linear curve through
    # the nodes. Its mean over a channel is the trapezoid sum, of transfer (kh/2) cot(kh/2) =
    # 1 − k²h²/12 − k⁴h⁴/720; the h²/6 of variance taken off is exp(k²h²/12). The product is
    # 1 − 0.00486 k⁴h⁴, times a fourth derivative below 3/√(2π) σ⁻⁵.
    parts, width = 16, 2.4e-4
    channel = nodes(step_rad=width, averaged=True, n=140, first_rad=0.04)
    fine = nodes(step_rad=width / parts, n=140 * parts + 1, first_rad=0.04 - 0.5 * width)
    means, _ = profile(channel, widths, position=0.0561)
    values, _ = profile(fine, widths, position=0.0561)
    segments = 0.5 * (values[:-1] + values[1:])
    averaged = segments.reshape(140, parts).mean(axis=1)
    sigma = float(widths.gaussian_sigma_rad[0])
    fourth = 0.00486 * (width / parts) ** 4 * 3.0 * 0.4 / sigma**5
    near = np.abs(channel.two_theta_rad - 0.0561) < 0.9 * REACH
    bound = fourth + 3.0 * wrapped_error(widths, extra=width**2 / 12.0) + 1e-11 * means.max()
    assert np.abs(averaged - means)[near].max() < bound
    assert bound < 1e-3 * means.max()


def test_interpolation_at_random_phases_has_the_true_width():
    # Law: linear interpolation convolves, on average over phases, with a triangle of variance h²/6
    # and fourth cumulant −h⁴/60; nodes lack the former. Five nodes to a pixel, of 2 % of the
    # variance. Sums over samples of smooth functions are exact.
    step, n_phases = 5e-5, 32
    widths = line(gamma=0.0)
    x = np.linspace(-2e-3, 2e-3, 161)
    mean = np.zeros(x.size)
    for phase in range(n_phases):
        grid = nodes(step_rad=step, n=720, first_rad=0.0325 + step * phase / n_phases)
        values, _ = profile(grid, widths)
        mean += np.interp(POSITION + x, grid.two_theta_rad, values) / n_phases
    centre = mean @ x / mean.sum()
    assert mean @ (x - centre) ** 2 / mean.sum() == pytest.approx(spread(widths), rel=1e-5)
    fourth = step**4 / 60.0 / 24.0 * 3.0 * 0.4 / widths.gaussian_sigma_rad[0] ** 5
    exact = by_quadrature(POSITION + x, widths)
    assert np.abs(mean - exact).max() < fourth
    narrow = by_quadrature(POSITION + x, widths, less_variance=step**2 / 6.0)
    assert np.abs(mean - narrow).max() > 10.0 * fourth  # the test can fail


def test_lines_sharper_than_nodes_stay_positive():
    # Limit: nothing but a pixel's box. Nodes lie on its edges or not; a perfect beam must not give
    # negative photons (rounding and the tails' images aside).
    beam = Beam(divergence_mrad=0.0, bandwidth=0.0)
    detector = Detector()
    grid = node_grid(Geometry(), detector=detector)
    position = np.array([0.05003, 0.1207])
    widths = ring_widths(
        position, beam=beam, distance_m=0.7, pixel_um=detector.pixel_um, crystallite_size_nm=200.0,
        strain=0.0,
    )  # fmt: skip
    values, _ = line_profiles(grid, position_rad=position, widths=widths, reach_rad=6e-3)
    assert values.min() > -1e-5 * values.max()


@given(two_theta=st.floats(0.02, 0.3), distance=st.floats(0.2, 2.0), energy=st.floats(30.0, 90.0))
@settings(max_examples=20)
def test_depth_has_the_moments_of_the_sensor(two_theta, distance, energy):
    # Law of another module (forward.sensor, of µm on the sensor) times d2θ/dr = cos²2θ/D. That one
    # cuts the path at t/cosα, this one at t: with µt = Y the means differ by less than
    # Y e^{−Y} (1/cosα − 1) Y of the scale.
    sensor = Sensor(attenuation_per_um(energy), 1000.0)
    widths = ring_widths(
        np.array([two_theta]), beam=Beam(energy_keV=energy), distance_m=distance, pixel_um=172.0,
        crystallite_size_nm=200.0, strain=0.0, sensor=sensor,
    )  # fmt: skip
    to_rad = np.cos(two_theta) ** 2 / (distance * 1e6)
    y = sensor.attenuation_per_um * 1000.0
    slack = y**2 * np.exp(-y) / (1.0 - np.exp(-y)) ** 2 * (1.0 / np.cos(two_theta) - 1.0)
    mean = parallax_mean_um(two_theta, energy_keV=energy, sensor_um=1000.0) * to_rad
    scale = widths.sensor_scale_rad[0]
    assert widths.sensor_mean_rad[0] == pytest.approx(float(mean), abs=slack * scale + 1e-15)
    variance = parallax_variance_um2(two_theta, energy_keV=energy, sensor_um=1000.0) * to_rad**2
    depth = spread(widths) - widths.gaussian_sigma_rad[0] ** 2 - widths.pixel_rad[0] ** 2 / 12.0
    assert depth == pytest.approx(float(variance), abs=y * slack * scale**2 + 1e-9 * scale**2)


@pytest.mark.parametrize("size_nm", [20.0, 200.0, 2000.0])
@pytest.mark.parametrize("two_theta", [0.05, 0.2])
def test_stated_full_width_is_that_of_the_profile(size_nm, two_theta):
    # Stated: within a few per cent. Truth: where the profile falls to half its height.
    sensor = Sensor(6.25e-3, 1000.0)
    widths = ring_widths(
        np.array([two_theta]), beam=Beam(), distance_m=0.7, pixel_um=172.0,
        crystallite_size_nm=size_nm, strain=1e-4, sensor=sensor,
    )  # fmt: skip
    grid = nodes(step_rad=2e-6, n=8001, first_rad=two_theta - 8e-3)
    values, _ = profile(grid, widths, position=two_theta)
    above = grid.two_theta_rad[values > 0.5 * values.max()]
    assert widths.fwhm_rad[0] == pytest.approx(above[-1] - above[0], rel=0.04)


def test_widths_are_those_of_the_formulas():
    # Closed forms (Warren ch. 13): each contribution alone, FWHM, in quadrature; Scherrer K = 0.9.
    theta = 0.06
    nothing = Beam(bandwidth=0.0, divergence_mrad=0.0, width_um=1e-6, height_um=1e-6)
    common = {
        "distance_m": 0.7, "pixel_um": 172.0, "crystallite_size_nm": 100.0, "strain": 0.0,
    }  # fmt: skip

    def fwhm(beam, **more):
        widths = ring_widths(np.array([2.0 * theta]), beam=beam, **(common | more))
        return widths.gaussian_sigma_rad[0] * 2.0 * np.sqrt(2.0 * np.log(2.0)), widths

    each = {
        "bandwidth": (nothing.model_copy(update={"bandwidth": 1e-3}), {}, 2e-3 * np.tan(theta)),
        "divergence": (nothing.model_copy(update={"divergence_mrad": 0.5}), {}, 5e-4),
        "strain": (nothing, {"strain": 1e-3}, 4e-3 * np.tan(theta)),
        "spot": (
            nothing.model_copy(update={"width_um": 30.0, "height_um": 30.0}), {},
            30e-6 / 0.7 * np.cos(2.0 * theta) ** 2,
        ),
    }  # fmt: skip
    for beam, more, expected in each.values():
        assert fwhm(beam, **more)[0] == pytest.approx(expected, rel=1e-6)
    _, widths = fwhm(nothing)
    scherrer = 0.9 * nothing.wavelength_A / (1000.0 * np.cos(theta))
    assert 2.0 * widths.lorentzian_hwhm_rad[0] == pytest.approx(scherrer, rel=1e-12)
    pixel = 172e-6 / 0.7 * np.cos(2.0 * theta) ** 2
    assert widths.pixel_rad[0] == pytest.approx(pixel, rel=1e-12)


def test_nodes_reach_over_the_whole_detector():
    # Geometry: from 0.3° to beyond the farthest corner, an eighth of a pixel apart; tilted as well.
    detector = Detector()
    for tilt in (0.0, 0.15):
        geometry = Geometry(distance_m=0.5, poni1_m=0.05, rot1_rad=tilt, rot2_rad=-tilt)
        grid = node_grid(geometry, detector=detector)
        rows, columns = (np.array([0.0, 0.5, 1.0]) * n * 172e-6 for n in detector.shape)
        seen = sight(detector_plane(geometry, detector), rows[:, None], columns)
        assert grid.two_theta_rad[-1] > seen.two_theta_rad.max() + grid.step_rad * 0.5
        assert grid.two_theta_rad[-3] < seen.two_theta_rad.max()
        assert grid.first_rad == pytest.approx(np.deg2rad(0.3), rel=1e-12)
        assert grid.step_rad == pytest.approx(172e-6 / 0.5 / 8.0, rel=1e-12)
        assert (grid.stretch, grid.width_rad, grid.averaged) == (1.0, 1.0, False)


def test_channels_are_those_of_the_nominal_geometry():
    geometry = Geometry(n_channels=300)
    grid = channel_grid(geometry, true_distance_m=0.7007)
    np.testing.assert_allclose(grid.two_theta_rad, geometry.two_theta_rad, rtol=1e-13)
    assert grid.stretch == pytest.approx(1.001, rel=1e-12)
    assert grid.width_rad == geometry.channel_width_rad
    assert grid.averaged
