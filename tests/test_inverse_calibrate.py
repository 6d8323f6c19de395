"""Calibration, against the inverse's own model, the simulation, and input that holds no lines."""

from dataclasses import replace

import numpy as np
import pytest

from forward.calibrant import Calibrant, measure_calibrant
from forward.instrument import Unknowns, true_instrument
from forward.settings import Accuracy, Effects
from inverse.calibrate import calibrate
from inverse.model import Instrument, chebyshev_background, draw_patterns, phase_lines
from inverse.profile import line_widths_rad, total_width_and_mixing
from inverse.recipe import Calibration, Profile
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Detector, Geometry, ring_acceptance

BEAM, GEOMETRY = Beam(), Geometry()
LAB6 = load_crystal("LaB6")
SIZE_NM = 800.0
PROFILE = Profile(U_deg2=2e-3, W_deg2=4e-4, X_deg=0.005, Y_deg=0.003)
PEAK = 1e4


def drawn(ppm, *, profile=PROFILE, geometry=GEOMETRY):
    """Expected counts: every line of LaB6, also beyond the pattern, on a curved background."""
    instrument = Instrument(
        BEAM, geometry, Calibration(profile=profile, distance_m=0.7 * (1.0 + 1e-6 * ppm))
    )
    lines = phase_lines([LAB6], beam=BEAM, geometry=geometry)
    pattern = draw_patterns(lines, instrument=instrument, crystallite_size_nm=SIZE_NM, strain=0.0)[
        0
    ]
    background = [0.05, -0.02, 0.01] @ chebyshev_background(geometry.n_channels, n_terms=3)
    return PEAK * (pattern / pattern.max() + background)


def calibrated(counts, *, variance=None, crystal=LAB6, geometry=GEOMETRY):
    return calibrate(
        counts, variance=counts if variance is None else variance, calibrant=crystal, beam=BEAM,
        geometry=geometry, crystallite_size_nm=SIZE_NM,
    )  # fmt: skip


def ppm_of(calibration):
    return (calibration.distance_m / 0.7 - 1.0) * 1e6


def widths_of(profile):
    """Γ and η at three angles: what of U, W, X and Y can be told apart."""
    gaussian, lorentzian = line_widths_rad(
        np.deg2rad([4.0, 9.0, 14.0]), profile, wavelength_A=BEAM.wavelength_A,
        crystallite_size_nm=SIZE_NM, strain=0.0,
    )  # fmt: skip
    return np.array(total_width_and_mixing(gaussian, lorentzian))


@pytest.mark.parametrize("ppm", [-5000.0, 0.0, 200.0, 10_000.0])
@pytest.mark.parametrize(
    "profile",
    [PROFILE, Profile(W_deg2=2e-3), Profile(U_deg2=0.02, W_deg2=3e-4), Profile(Y_deg=0.02)],
    ids=["mixed", "constant", "growing", "lorentzian"],
)
def test_what_the_model_made_is_recovered(ppm, profile):
    # Truth: the numbers that made the pattern. The search ends when χ² changes by less than 1e-8
    # of itself or parameters by 1e-8: below 0.05 ppm (0.4 µÅ of lattice parameter)
    # and 0.1 % of a width.
    found = calibrated(drawn(ppm, profile=profile))
    assert ppm_of(found) == pytest.approx(ppm, abs=0.05)
    np.testing.assert_allclose(widths_of(found.profile), widths_of(profile), rtol=1e-3, atol=1e-3)


def expected_covariance(profile, ppm=0.0):
    """Covariance of distance (ppm), U, W, X, Y; line powers and background are eliminated."""
    lines = phase_lines([LAB6], beam=BEAM, geometry=GEOMETRY)
    near = lines.angle_rad < GEOMETRY.two_theta_rad[-1] + np.deg2rad(0.3)
    count = int(near.sum())
    each = replace(
        lines, n_patterns=count, row=np.arange(count), angle_rad=lines.angle_rad[near],
        power_per_um=lines.power_per_um[near], s_squared_per_A2=lines.s_squared_per_A2[near],
    )  # fmt: skip
    counts = drawn(ppm)
    background = chebyshev_background(GEOMETRY.n_channels, n_terms=6)
    top = draw_patterns(
        lines, instrument=Instrument(BEAM, GEOMETRY, Calibration(profile=profile, distance_m=0.7)),
        crystallite_size_nm=SIZE_NM, strain=0.0,
    ).max()  # fmt: skip

    def shapes(p):
        own = Profile(U_deg2=p[1], W_deg2=p[2], X_deg=p[3], Y_deg=p[4])
        instrument = Instrument(
            BEAM, GEOMETRY, Calibration(profile=own, distance_m=0.7 * (1.0 + 1e-6 * p[0]))
        )
        return PEAK / top * draw_patterns(
            each, instrument=instrument, crystallite_size_nm=SIZE_NM, strain=0.0
        )  # fmt: skip

    here = np.array([ppm, profile.U_deg2, profile.W_deg2, profile.X_deg, profile.Y_deg])
    slopes = [
        (shapes(here + step) - shapes(here - step)).sum(axis=0) / (2.0 * step.sum())
        for step in np.diag([1.0, 1e-5, 1e-6, 1e-5, 1e-5])
    ]
    root_weight = 1.0 / np.sqrt(counts)
    basis, _ = np.linalg.qr((np.vstack([shapes(here), background]) * root_weight).T)
    common = np.array(slopes) * root_weight
    common -= (common @ basis) @ basis.T
    return np.linalg.inv(common @ common.T)


def test_distance_scatters_as_least_squares_says():
    # Statistics over N noisy patterns: z has mean 0 ± 1/√N and standard deviation 1 ± 1/√(2N), each
    # within 5.33 of these (false alarm 1e-7). Bounds on widths keep some of them from scattering
    # freely, which only makes the distance better known: one-sided for the standard deviation.
    n, expected = 60, drawn(200.0)
    rng = np.random.default_rng(7)
    found = [
        ppm_of(calibrated(rng.poisson(expected).astype(float), variance=expected)) for _ in range(n)
    ]
    z = (np.array(found) - 200.0) / np.sqrt(expected_covariance(PROFILE, 200.0)[0, 0])
    assert abs(z.mean()) < 5.33 / np.sqrt(n)
    assert 0.5 < z.std() < 1.0 + 5.33 / np.sqrt(2 * n)


@pytest.mark.parametrize("ppm", [-300.0, 0.0, 300.0])
@pytest.mark.parametrize("noise", [False, True])
def test_the_simulated_calibrant_tells_the_true_distance(ppm, noise):
    # Truth: the forward simulation, physical widths and all, which knows nothing of this profile.
    # Bound: 1 ppm, which moves a lattice parameter by 8 µÅ.
    detector = Detector()
    truth = true_instrument(
        Unknowns(distance_ppm=(ppm, ppm), bandwidth_factor=(1.2, 1.2)), beam=BEAM,
        detector=Detector(), geometry=GEOMETRY, seed=0,
    )  # fmt: skip
    measured = measure_calibrant(
        Calibrant(crystallite_size_nm=SIZE_NM), beam=BEAM, detector=detector, geometry=GEOMETRY,
        truth=truth, effects=Effects(noise=noise), accuracy=Accuracy(), seed=3,
    )  # fmt: skip
    acceptance = ring_acceptance(GEOMETRY, detector=detector, polarisation=BEAM.polarisation)
    gain = np.where(acceptance > 0.0, 1.0 / np.maximum(acceptance, 1e-9), 0.0)
    found = calibrated(measured.counts * gain, variance=measured.counts * gain**2)
    assert ppm_of(found) == pytest.approx(ppm, abs=1.0)


@pytest.mark.parametrize("last_deg", [13.68, 13.70, 13.72, 13.75])
def test_a_line_across_the_end_of_the_pattern_does_no_harm(last_deg):
    # Truth as above; the line at 13.704° is cut, or lies just outside and reaches in. Left out of
    # the fit, its flank is taken for background and for the tails of others.
    geometry = Geometry(two_theta_max_deg=last_deg)
    found = calibrated(drawn(100.0, geometry=geometry), geometry=geometry)
    assert ppm_of(found) == pytest.approx(100.0, abs=0.05)
    np.testing.assert_allclose(widths_of(found.profile), widths_of(PROFILE), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_channels_that_are_not_measured_do_not_count(hole):
    # Law: the same truth from what remains, a whole line missing.
    counts = drawn(150.0)
    variance = counts.copy()
    counts[
        (GEOMETRY.two_theta_rad > np.deg2rad(4.7)) & (GEOMETRY.two_theta_rad < np.deg2rad(5))
    ] = hole
    variance[600:640] = 0.0
    counts[600:640] = 1e9
    found = calibrated(counts, variance=variance)
    assert ppm_of(found) == pytest.approx(150.0, abs=0.05)


def test_the_calibrants_own_size_is_not_ascribed_to_the_instrument():
    # Truth: the same pattern read with another certified size must give another Y, by Scherrer:
    # 0.9 λ (1/L − 1/L′) in degrees. W and U are left alone.
    counts = drawn(0.0)
    as_infinite = calibrate(
        counts, variance=counts, calibrant=LAB6, beam=BEAM, geometry=GEOMETRY,
        crystallite_size_nm=1e9,
    )  # fmt: skip
    scherrer_deg = np.rad2deg(0.9 * BEAM.wavelength_A / (SIZE_NM * 10.0))
    found = as_infinite.profile.Y_deg - calibrated(counts).profile.Y_deg
    assert found == pytest.approx(scherrer_deg, rel=1e-2)


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        (np.zeros(1024), "no lines of LaB6 show"),
        (np.full(1024, 40.0), "no lines of LaB6 show"),
        (np.linspace(900.0, 400.0, 1024), "no lines of LaB6 show"),
        (np.random.default_rng(0).poisson(1000.0, 1024).astype(float), "no lines of LaB6 show"),
        (np.full(1024, np.nan), "more than 27 usable channels, but its pattern has 0"),
    ],
    ids=["zeros", "flat", "slope", "noise", "nothing"],
)
def test_patterns_without_lines_are_refused(pattern, rule):
    with pytest.raises(InputError, match=rule):
        calibrated(pattern, variance=np.maximum(np.nan_to_num(pattern), 1.0))


def test_lines_wider_than_any_instrument_makes_are_refused():
    # Rule of the docstring: up to a degree. Such a pattern is not that of a focused calibrant.
    with pytest.raises(InputError, match=r"lines of LaB6: .*W.* ran to a limit"):
        calibrated(drawn(0.0, profile=Profile(W_deg2=1.6**2)))


def test_another_powder_is_refused():
    # The rings of LaB6 cannot be read as those of silicon within 5 % of distance.
    counts = np.random.default_rng(1).poisson(drawn(0.0)).astype(float)
    with pytest.raises(InputError, match="Si"):
        calibrated(counts, crystal=load_crystal("Si"))


def test_a_pattern_with_too_few_lines_is_refused():
    narrow = Geometry(two_theta_min_deg=3.0, two_theta_max_deg=5.5, n_channels=200)
    with pytest.raises(InputError, match=r"at least 3 lines .* LaB6 has 2 between 3° and 5.5°"):
        calibrated(np.ones(200), geometry=narrow)
